import NFTables
import Netlink
import ServiceRules

/// Pods of this node that end: services let go of them before they are told to stop. See docs/decisions/services.md.
extension ServiceProxy {
  /// For connections that were chosen before the rules changed: they are on their way, or wait to be accepted.
  static let lingerSeconds = 0.1
  /// The most that other nodes get to follow the slices.
  static let othersSecondsMax = 0.5
  /// How often, and for how long at most, it is asked whether requests are still being answered.
  static let drainStepSeconds = 0.05
  static let drainSecondsMax = 0.5

  /// Whether services lead to a pod of this node.
  package nonisolated func serves(_ pod: String) -> Bool { served.withLock { $0.contains(pod) } }

  /// Takes a pod of this node, which is about to be told to end, out of the rules for new connections, and returns when nobody sends it
  /// any: the kernel here has the rules, the slices say it to other nodes and those had time to follow, and what was on its way has come
  /// and gone. The caller limits it; cancelled, it returns.
  /// - Parameter isTold: the API knows that the pod ends; else there is nothing to wait for in the slices
  package func withdraw(_ pod: String, isTold: Bool) async {
    let addresses = state.addresses(ofPod: pod)
    state.withdraw(pod: pod)
    tell()
    let mine = wanted
    await waitUntil { $0.told >= mine || !($0.state.hasChanges || $0.isTelling || $0.mustCompare) }
    var pause = Self.lingerSeconds
    if isTold, configuration.hasOtherNodes() {
      await waitUntil { !$0.state.isOffered(pod: pod) }
      // The others run the same program on the same event: what our kernel takes for a change is the measure of theirs.
      pause = max(pause, min(statistics.lastSeconds * 4, Self.othersSecondsMax))
    }
    try? await Task.sleep(for: .seconds(pause))
    await drain(addresses)
  }

  /// Waits for connections that are open, such as requests that take long on a busy machine. Those that stay open, such as kept ones, are
  /// not waited for beyond `drainSecondsMax`.
  private func drain(_ addresses: Set<IPAddress>) async {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(Self.drainSecondsMax)
    do {
      let reader = try flows ?? KernelRules(configuration.hostNamespace.map { .existing($0) } ?? .current)
      flows = reader
      while clock.now < end, !Task.isCancelled {
        let began = clock.now
        if try await reader.openConnections(to: addresses) == 0 { return }
        // A table so large that asking takes long is not asked again and again.
        if clock.now - began > .seconds(Self.drainStepSeconds) { return }
        try await Task.sleep(for: .seconds(Self.drainStepSeconds))
      }
    } catch is CancellationError {
    } catch {
      log.debug("the connections of a pod that ends could not be read: \(error)")
    }
  }

  private func waitUntil(_ isMet: (isolated ServiceProxy) -> Bool) async {
    while !isMet(self), !Task.isCancelled {
      let number = waiterNumber
      waiterNumber += 1
      let (news, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
      waiters[number] = continuation
      for await _ in news { break }
      waiters[number] = nil
    }
  }

  func wakeWaiters() { for waiter in waiters.values { waiter.yield() } }
}
