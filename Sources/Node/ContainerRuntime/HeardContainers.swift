import CLinux
import Synchronization

/// Events that come while a sandbox is being recovered, before there is one to tell.
final class HeardContainers: Sendable {
  private let events = Mutex<[pod_event]?>([])

  /// False once they were taken: then the sandbox is there.
  func put(_ event: pod_event) -> Bool {
    events.withLock { events in
      guard events != nil else { return false }
      events?.append(event)
      return true
    }
  }

  func take() -> [pod_event] {
    events.withLock { events in
      defer { events = nil }
      return events ?? []
    }
  }
}
