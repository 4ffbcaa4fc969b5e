import JSONCodec
import KubernetesAPI
import KubernetesClient
import PodLifecycle

/// What is known of the writing of one pod's status.
struct StatusWriter {
  /// How long a status that is about to be overtaken is held back, in seconds.
  static let holdSeconds = 0.3
  /// Pauses after a failed write.
  static let retry = RetryBackoff(first: 0.05, most: 10)

  /// One write at a time; what changes meanwhile goes with the next.
  var isWriting = false
  var held: Task<Void, Never>?
  /// The time at which holding began; a status is held back once, not for ever.
  var heldSince: Timestamp?
  var backoff = StatusWriter.retry
  var isDeleting = false
  /// The server keeps the object because of a finalizer, although its deletion was confirmed.
  var deletedAtVersion: String?
  /// What was written last, and the object's version since: a server that keeps a status in another form than it was
  /// given is not written to again and again.
  var written: (status: JSON, version: String)?
}

/// Writing the status, and the end of the object.
extension PodWorker {
  /// The object that carries the status: the pod itself, or a static pod's mirror.
  private var written: Pod? { isStatic ? mirror : isInAPI ? pod : nil }

  /// Writes the status where it differs from what the API has; then, for a pod that is done, confirms the deletion.
  func publishStatus() {
    guard !isGone else { return }
    guard let target = written else {
      if isDone { gone() }
      return
    }
    guard !statusWriter.isWriting else { return }
    let status = status(for: target)
    let isWritten = statusWriter.written.map { $0.status == status && $0.version == target.metadata.resourceVersion } ?? false
    guard !isWritten, let patch = podStatusPatch(uid: target.uid, from: target.status, to: status) else {
      return statusIsCurrent(target)
    }
    if isPassing, holdBack() { return }
    statusWriter.held?.cancel()
    statusWriter.held = nil
    statusWriter.heldSince = nil
    statusWriter.isWriting = true
    let client = services.client
    Task { [weak self] in
      do {
        let answer = try await client.patch(.pods(target.namespace), name: target.name, subresource: "status", patch)
        await self?.statusWritten(answer, status)
      } catch {
        await self?.statusNotWritten(error)
      }
    }
  }

  private func status(for target: Pod) -> JSON {
    var model = pod
    if isStatic {
      // A mirror is another object: its own generation and what others wrote into its status count.
      model.json["metadata"]["generation"] = target.json["metadata"]["generation"]
      model.status = target.status
    }
    return podStatus(of: model, observed: observed, now: services.clock.now())
  }

  /// Whether this status is on its way to another: a container is being started and nothing is wrong, or the pod goes.
  private var isPassing: Bool {
    if case .terminating = observed.termination { return true }
    guard observed.termination.isSyncing else { return false }
    if observed.containers.values.contains(where: { $0.wait != nil }) { return false }
    if observed.containers.values.contains(where: { ($0.operation == .starting || $0.operation == .pulling) && !$0.isRunning }) {
      return true
    }
    return observed.containers.values.allSatisfy { $0.run == nil }
  }

  /// True where the status is held back for now.
  private func holdBack() -> Bool {
    let now = services.clock.now()
    if let since = statusWriter.heldSince, now.seconds(since: since) >= StatusWriter.holdSeconds { return false }
    guard statusWriter.held == nil else { return true }
    statusWriter.heldSince = now
    let clock = services.clock
    let until = now.advanced(bySeconds: StatusWriter.holdSeconds)
    statusWriter.held = Task { [weak self] in
      guard (try? await clock.sleep(until)) != nil else { return }
      await self?.holdEnded()
    }
    return true
  }

  private func holdEnded() {
    statusWriter.held = nil
    publishStatus()
  }

  private func statusWritten(_ answer: JSON, _ status: JSON) {
    statusWriter.isWriting = false
    statusWriter.backoff.succeeded()
    statusWriter.written = (status, answer["metadata"]["resourceVersion"].string ?? "")
    take(answer)
    reconcile()
  }

  private func take(_ answer: JSON) {
    let newer = Pod(answer)
    if isStatic {
      mirror = newer
    } else if newer.uid == uid, isNewer(newer) {
      pod = newer
    }
  }

  private func statusNotWritten(_ error: any Error) {
    statusWriter.isWriting = false
    if let status = error as? APIStatusError, status.isNotFound || status.code == 409 || status.code == 422 {
      // The object is gone, or another has its name: the watch will tell the same.
      if status.isNotFound || status.message.contains("uid") || status.message.contains("UID") {
        isInAPI = false
        mirror = nil
        if !isStatic, observed.termination.isSyncing { return objectGone(nil) }
        return reconcile()
      }
    }
    services.log.debug("status of \(pod.namespace)/\(pod.name) was not written: \(error)")
    let retryAt = statusWriter.backoff.failed(at: services.clock.now())
    statusWriter.isWriting = true
    let clock = services.clock
    Task { [weak self] in
      try? await clock.sleep(retryAt)
      await self?.retryStatus()
    }
  }

  private func retryStatus() {
    statusWriter.isWriting = false
    publishStatus()
  }

  // MARK: - The end of the object

  private func statusIsCurrent(_ target: Pod) {
    guard observed.termination.isTerminated, !statusWriter.isDeleting else { return }
    if isStatic {
      if isDone { gone() }
      return
    }
    guard target.metadata.deletionTimestamp != nil, statusWriter.deletedAtVersion != target.metadata.resourceVersion else { return }
    statusWriter.isDeleting = true
    let (client, uid) = (services.client, uid)
    Task { [weak self] in
      do {
        let answer = try await client.delete(.pods(target.namespace), name: target.name, gracePeriodSeconds: 0, uid: uid)
        await self?.deletionConfirmed(answer)
      } catch let error as APIStatusError where error.isNotFound || error.code == 409 {
        await self?.gone()
      } catch {
        await self?.deletionFailed(error)
      }
    }
  }

  private func deletionConfirmed(_ answer: JSON) {
    statusWriter.isDeleting = false
    // Finalizers keep the object: the kubelet's part is done, and the watch tells when it goes.
    if let finalizers = answer["metadata"]["finalizers"].array, !finalizers.isEmpty {
      take(answer)
      statusWriter.deletedAtVersion = pod.metadata.resourceVersion
      return
    }
    gone()
  }

  private func deletionFailed(_ error: any Error) {
    services.log.debug("deletion of \(pod.namespace)/\(pod.name) was not confirmed: \(error)")
    let retryAt = statusWriter.backoff.failed(at: services.clock.now())
    let clock = services.clock
    Task { [weak self] in
      try? await clock.sleep(retryAt)
      await self?.retryDeletion()
    }
  }

  private func retryDeletion() {
    statusWriter.isDeleting = false
    publishStatus()
  }

  /// Nothing is left to do or to remember. A static pod that has ended is remembered as long as its manifest is there:
  /// else it would run again.
  private var isDone: Bool {
    observed.termination.isTerminated && (!isStatic || observed.termination.cause == .orphaned || isUnwanted)
  }

  func gone() {
    guard !isGone else { return }
    isGone = true
    timer?.cancel()
    statusWriter.held?.cancel()
    for task in probing.values { task.cancel() }
    for waiter in exitWaiters.values.joined() { waiter.finish() }
    exitWaiters = [:]
    onGone(self)
  }
}
