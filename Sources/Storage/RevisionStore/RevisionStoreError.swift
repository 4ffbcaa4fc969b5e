/// Why the store did not do as asked, where, and how to mend it.
package struct RevisionStoreError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// The precondition did not hold; the key's state now, nil where it does not exist.
    case conflict(current: StoredValue?)
    /// There is no such key to change.
    case notFound
    /// The revision asked for is forgotten; `oldest` is the first one that is not.
    case compacted(oldest: Revision)
    /// The revision asked for has not happened yet.
    case future(current: Revision)
    /// The reader left too many changes unread; a watch from `resumeFrom` continues where this one ended.
    case slowWatcher(resumeFrom: Revision)
    /// Too many writes are waiting; nothing was written. Try again later.
    case overloaded
    /// The value is larger than the store takes.
    case tooLarge(limit: Int)
    case closed
    case corrupt
    /// No space: nothing of the failed write is left.
    case diskFull
    /// Another process has the store open.
    case locked
    /// This process may not read or write the file.
    case notPermitted
    /// A newer program made the file.
    case incompatible
    case io
  }

  package let code: Code
  /// A sentence for a person.
  package let message: String

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  package var description: String { message }

  static func compacted(_ asked: Revision, oldest: Revision) -> Self {
    .init(.compacted(oldest: oldest), "revision \(asked) has been compacted; the oldest is \(oldest)")
  }

  static func future(_ asked: Revision, current: Revision) -> Self {
    .init(.future(current: current), "revision \(asked) has not happened yet; the current one is \(current)")
  }

  static let closed = Self(.closed, "the store is closed")
}
