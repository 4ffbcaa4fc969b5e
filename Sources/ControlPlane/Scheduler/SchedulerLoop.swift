import KubernetesAPI
import KubernetesClient
import Scheduling

/// The state of a scheduler that runs: what it knows, and which writes are under way.
struct SchedulerLoop {
  enum News: Sendable {
    case change(SchedulingCore.Kind, SchedulingCore.Change)
    case bound(String)
    case bindingFailed(String)
    /// Volumes are reserved or asked for; the pod is bound once its claims are.
    case volumesAsked(Waiting)
    case preemptionFailed(String)
  }

  /// A pod whose claims get their volumes.
  struct Waiting: Sendable {
    let pod: PodReference
    let node: String
    let claims: [String]
    let schedulerName: String
    let deadline: Timestamp
  }

  private let core: SchedulingCore
  private let inbox: Inbox<News>
  private let writes: SchedulerWrites
  private let time: TimeSource
  private var synced: Set<SchedulingCore.Kind> = []
  private var bindings = 0
  private var waiting: [String: Waiting] = [:]
  private var alarm: (at: Timestamp, task: Task<Void, Never>)?

  init(profiles: [Profile], inbox: Inbox<News>, writes: SchedulerWrites, time: TimeSource) {
    core = SchedulingCore(profiles: profiles)
    self.inbox = inbox
    self.writes = writes
    self.time = time
  }

  /// Takes in what there is and decides as far as it can.
  mutating func turn() {
    let news = inbox.take()
    var claimsChanged = false
    for entry in news {
      if case .change(.persistentVolumeClaims, _) = entry { claimsChanged = true }
      take(entry)
    }
    guard synced.count == SchedulingCore.Kind.allCases.count else { return }
    if claimsChanged || !waiting.isEmpty { bindWaiting() }
    var decisions = 0
    while bindings < PodScheduler.bindingsMax, decisions < PodScheduler.batchMax, let outcome = core.next(now: time.now()) {
      decisions += 1
      perform(outcome)
    }
    if decisions == PodScheduler.batchMax { inbox.poke() }
    setAlarm()
  }

  func stop() { alarm?.task.cancel() }

  private mutating func take(_ news: News) {
    switch news {
    case .change(let kind, let change):
      core.apply(kind, change, now: time.now())
      if case .synced = change { synced.insert(kind) }
    case .bound: bindings -= 1
    case .bindingFailed(let uid):
      bindings -= 1
      core.bindingFailed(uid, now: time.now())
    case .volumesAsked(let entry): waiting[entry.pod.uid] = entry
    case .preemptionFailed(let uid): core.preemptionFailed(uid, now: time.now())
    }
  }

  /// Writes run beside the loop, so that the bindings of a burst share the store's commits.
  private mutating func perform(_ outcome: SchedulingOutcome) {
    let (inbox, writes, time) = (inbox, writes, time)
    switch outcome {
    case .bind(let pod, let node, let steps, let schedulerName):
      bindings += 1
      if steps.isEmpty { return bind(pod, node, schedulerName) }
      Task {
        do {
          try await writes.perform(steps, on: node)
          let deadline = time.now().advanced(bySeconds: PodScheduler.volumePatience)
          inbox.put(
            .volumesAsked(
              Waiting(pod: pod, node: node, claims: steps.map(\.claim), schedulerName: schedulerName, deadline: deadline)))
        } catch {
          writes.log.debug("volumes of \(pod.namespace)/\(pod.name) were not asked for: \(error)")
          inbox.put(.bindingFailed(pod.uid))
        }
      }
    case .refuse(let refusal):
      Task { if await !writes.tell(refusal) { inbox.put(.preemptionFailed(refusal.pod.uid)) } }
    }
  }

  private func bind(_ pod: PodReference, _ node: String, _ schedulerName: String) {
    let (inbox, writes) = (inbox, writes)
    Task {
      let isBound = await writes.bind(pod, to: node, schedulerName: schedulerName)
      inbox.put(isBound ? .bound(pod.uid) : .bindingFailed(pod.uid))
    }
  }

  private mutating func bindWaiting() {
    let now = time.now()
    for (uid, entry) in waiting {
      if core.areBound(entry.claims) {
        waiting[uid] = nil
        bind(entry.pod, entry.node, entry.schedulerName)
      } else if entry.deadline <= now || !core.isBinding(uid) {
        waiting[uid] = nil
        bindings -= 1
        core.bindingFailed(uid, now: now)
      }
    }
  }

  /// Wakes the loop when a pause is over.
  private mutating func setAlarm() {
    var next = core.nextTurn
    for entry in waiting.values { next = min(next ?? entry.deadline, entry.deadline) }
    // What is to be done at once waits for a binding to end, or for the rest of a batch.
    guard let next, next.nanosecondsSinceEpoch > 0 else { return }
    // A pause that ended since the decisions were taken.
    guard next > time.now() else {
      if bindings < PodScheduler.bindingsMax { inbox.poke() }
      return
    }
    if let alarm, alarm.at <= next, alarm.at > time.now() { return }
    alarm?.task.cancel()
    let (inbox, time) = (inbox, time)
    alarm = (
      next,
      Task {
        // A sleep may end a little early by this clock: the alarm would then count as one that is still to come, and nobody wakes.
        while time.now() < next {
          guard (try? await time.sleep(max(0.001, next.seconds(since: time.now())))) != nil else { return }
        }
        inbox.poke()
      }
    )
  }
}
