import Synchronization

/// Who is in at the moment, and how many were at once.
final class Counter: Sendable {
  private let state = Mutex((names: [String](), most: 0))
  var names: [String] { state.withLock { $0.names } }
  var most: Int { state.withLock { $0.most } }
  func enter(_ name: String) {
    state.withLock {
      $0.names.append(name)
      $0.most = max($0.most, $0.names.count)
    }
  }
  func leave(_ name: String) { state.withLock { state in state.names.removeAll { $0 == name } } }
}
