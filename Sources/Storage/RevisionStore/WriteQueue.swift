/// What waits for the writer, and which of it goes into the next commit. Values only; `StoreWriter` locks and acts.
struct WriteQueue {
  struct Entry: Sendable {
    let mutation: Mutation
    let answer: CheckedContinuation<Revision, any Error>
  }

  private var entries: [Entry] = []
  private var start = 0

  var count: Int { entries.count - start }

  mutating func append(_ entry: Entry) { entries.append(entry) }

  /// The oldest entries within the limits of one commit, at least one if there is any.
  mutating func takeBatch(mutationsMax: Int, bytesMax: Int) -> [Entry] {
    var bytes = 0
    var end = start
    while end < entries.count, end - start < mutationsMax {
      bytes += entries[end].mutation.value.count
      if bytes > bytesMax, end > start { break }
      end += 1
    }
    let batch = Array(entries[start..<end])
    start = end
    if start == entries.count {
      entries.removeAll(keepingCapacity: entries.capacity <= 1_024)
      start = 0
    }
    return batch
  }

  mutating func takeAll() -> [Entry] {
    defer { self = WriteQueue() }
    return Array(entries[start...])
  }
}
