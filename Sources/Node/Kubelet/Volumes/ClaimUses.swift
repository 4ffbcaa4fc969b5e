import Synchronization

/// Which pod of this node uses a claim that only one pod may use.
final class ClaimUses: Sendable {
  private let users = Mutex<[String: String]>([:])

  /// False where another pod has it.
  func take(_ claim: String, for pod: String) -> Bool {
    users.withLock { users in
      if let user = users[claim], user != pod { return false }
      users[claim] = pod
      return true
    }
  }

  func release(all pod: String) { users.withLock { users in users = users.filter { $0.value != pod } } }
}
