import JSONCodec
import RevisionStore
import Synchronization

/// The most recently written objects as values, so that a change is decoded once for all watchers and selectors, and
/// not at all where it was written in this process.
final class DecodedObjects: Sendable {
  /// How many objects are kept; the oldest goes first.
  static let countMax = 512

  private struct State {
    var objects: [Revision: JSON] = [:]
    var order: [Revision] = []
    var oldest = 0
  }
  private let state = Mutex(State())

  func remember(_ object: JSON, at revision: Revision) {
    state.withLock { state in
      guard state.objects.updateValue(object, forKey: revision) == nil else { return }
      if state.order.count < Self.countMax {
        state.order.append(revision)
      } else {
        state.objects[state.order[state.oldest]] = nil
        state.order[state.oldest] = revision
        state.oldest = (state.oldest + 1) % Self.countMax
      }
    }
  }

  func object(_ value: [UInt8], revision: Revision) throws -> JSON {
    if let known = state.withLock({ $0.objects[revision] }) { return known }
    let object = try StoredForm.decode(value, revision: revision)
    remember(object, at: revision)
    return object
  }

  func object(_ stored: StoredValue) throws -> JSON { try object(stored.value, revision: stored.revision) }
}
