import KubernetesAPI

/// What became of work with a deadline.
package enum DeadlineOutcome<Value: Sendable>: Sendable {
  case finished(Value)
  case timedOut
}

/// Runs `body` until it ends or the deadline passes; then `body` is cancelled, and the answer comes as soon as it has
/// noticed: what runs under a deadline must heed cancellation or have a limit of its own.
package func withDeadline<Value: Sendable>(
  _ deadline: Timestamp, clock: KubeletClock, _ body: @escaping @Sendable () async -> Value
) async -> DeadlineOutcome<Value> {
  await withTaskGroup(of: DeadlineOutcome<Value>.self) { group in
    group.addTask { .finished(await body()) }
    group.addTask {
      try? await clock.sleep(deadline)
      return .timedOut
    }
    let first = await group.next()!
    group.cancelAll()
    return first
  }
}
