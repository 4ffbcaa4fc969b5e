/// The newest events, without a gap in their revisions, within a count and a weight.
struct EventRing {
  private var storage: [ChangeEvent?] = []
  private var start = 0
  private(set) var bytes = 0
  private let countMax: Int
  private let bytesMax: Int
  /// The newest revision that was appended, or that the ring started after.
  private(set) var newest: Revision

  init(after revision: Revision, countMax: Int, bytesMax: Int) {
    newest = revision
    self.countMax = countMax
    self.bytesMax = bytesMax
  }

  var count: Int { storage.count - start }
  /// Events after this revision are all here.
  var coversAfter: Revision { newest - Revision(count) }

  mutating func append(_ event: ChangeEvent) {
    precondition(event.revision == newest + 1, "events enter in revision order, without a gap")
    storage.append(event)
    newest = event.revision
    bytes += event.byteCount
    while count > countMax || (bytes > bytesMax && count > 0) { dropOldest() }
  }

  private mutating func dropOldest() {
    bytes -= storage[start]?.byteCount ?? 0
    storage[start] = nil
    start += 1
    if start > 64, start * 2 > storage.count {
      storage.removeFirst(start)
      start = 0
    }
  }

  /// Whether it is known that no key with this prefix changed after a revision.
  func isUnchanged(_ prefix: String, since revision: Revision) -> Bool {
    revision >= coversAfter && changes(prefix: prefix, after: revision, eventsMax: 1, bytesMax: .max).events.isEmpty
  }

  /// Matching events after a revision that the ring covers, and how far that is complete.
  func changes(prefix: String, after revision: Revision, eventsMax: Int, bytesMax: Int) -> WatchBatch {
    precondition(revision >= coversAfter)
    var events: [ChangeEvent] = []
    var weight = 0
    var index = start + Int(revision - coversAfter)
    while index < storage.count {
      if let event = storage[index], event.key.hasPrefix(prefix) {
        events.append(event)
        weight += event.byteCount
        if events.count >= eventsMax || weight >= bytesMax {
          return WatchBatch(events: events, completeTo: event.revision)
        }
      }
      index += 1
    }
    return WatchBatch(events: events, completeTo: newest)
  }
}
