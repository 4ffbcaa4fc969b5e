/// A set of completion indexes as Jobs write it: `1,3-5,7`.
struct CompletionIndexes: Equatable {
  private(set) var values: Set<Int>

  init(_ values: Set<Int> = []) { self.values = values }

  /// Indexes at or above `limit` are left out: the job may have been made smaller.
  init(text: String, below limit: Int = .max) {
    values = []
    for part in text.split(separator: ",") {
      let bounds = part.split(separator: "-").compactMap { Int($0) }
      guard let first = bounds.first, let last = bounds.last, first <= last, first < limit else { continue }
      values.formUnion(first...min(last, limit - 1))
    }
  }

  var count: Int { values.count }
  func contains(_ index: Int) -> Bool { values.contains(index) }
  mutating func insert(_ index: Int) { values.insert(index) }

  /// Two neighbours stand apart, three and more as a range.
  var text: String {
    var parts: [String] = []
    var run: (first: Int, last: Int)?
    func close() {
      guard let run else { return }
      switch run.last - run.first {
      case 0: parts.append("\(run.first)")
      case 1: parts += ["\(run.first)", "\(run.last)"]
      default: parts.append("\(run.first)-\(run.last)")
      }
    }
    for value in values.sorted() {
      if let current = run, value == current.last + 1 {
        run = (current.first, value)
      } else {
        close()
        run = (value, value)
      }
    }
    close()
    return parts.joined(separator: ",")
  }
}
