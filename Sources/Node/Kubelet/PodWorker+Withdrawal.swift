import KubernetesAPI

/// Services let go of a pod before its containers hear that they are to stop.
extension PodWorker {
  /// The most seconds that a stop signal waits for services, and the most of the grace.
  static let withdrawalSecondsMax = 2.0
  static let withdrawalShareMax = 0.5

  /// Begins once for the pod; nothing where no service leads to it, or where there is no grace to wait in.
  func withdraw(deadline: Timestamp, now: Timestamp) {
    guard withdrawal == nil, let endpoints = services.endpoints, deadline > now, endpoints.serves(uid) else { return }
    let most = min(Self.withdrawalSecondsMax, deadline.seconds(since: now) * Self.withdrawalShareMax)
    let (uid, clock, isTold) = (uid, services.clock, pod.metadata.deletionTimestamp != nil)
    withdrawal = Task {
      _ = await withDeadline(now.advanced(bySeconds: most), clock: clock) { await endpoints.withdraw(uid, isTold: isTold) }
    }
  }
}
