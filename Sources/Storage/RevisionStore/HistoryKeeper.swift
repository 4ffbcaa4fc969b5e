/// Decides how much history to forget: a pure function of what was committed when.
struct HistoryKeeper {
  private let limits: StoreLimits
  /// At these times these were the newest revisions, oldest first.
  private var marks: [(at: Duration, revision: Revision)] = []
  private(set) var compacted: Revision
  /// Short histories are not worth a compaction.
  static let compactionMin: Revision = 100

  init(compacted: Revision, newest: Revision, now: Duration, limits: StoreLimits) {
    self.limits = limits
    self.compacted = compacted
    marks = [(now, newest)]
  }

  mutating func noteCompacted(_ revision: Revision) { compacted = max(compacted, revision) }

  /// Notes that `newest` is committed; answers the revision to compact to, or nil.
  mutating func committed(_ newest: Revision, now: Duration) -> Revision? {
    var target: Revision = 0
    while let first = marks.first, now - first.at >= limits.historyAge {
      target = first.revision
      marks.removeFirst()
    }
    if marks.last.map({ now - $0.at >= limits.historyMarkInterval }) ?? true { marks.append((now, newest)) }
    // A tenth above the limit before it acts, so that it acts seldom.
    if newest - compacted > limits.historyRevisionsMax + limits.historyRevisionsMax / 10 {
      target = max(target, newest - limits.historyRevisionsMax)
    }
    return target - compacted >= min(Self.compactionMin, limits.historyRevisionsMax) ? target : nil
  }
}
