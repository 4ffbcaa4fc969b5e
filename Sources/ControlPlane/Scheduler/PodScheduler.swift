import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Scheduling

/// Gives pods their nodes: one loop takes in what the watches tell, decides pod by pod, and lets the writes run beside it.
package struct PodScheduler: Sendable {
  /// Decisions in a row before news are looked at again.
  static let batchMax = 200
  /// Bindings under way; further pods wait.
  static let bindingsMax = 1_000
  /// Seconds that claims have until they are bound to volumes.
  static let volumePatience = 600.0

  private let client: KubernetesClient
  private let identity: String?
  private let configuration: SchedulerConfiguration
  private let time: TimeSource
  private let log: Logger

  /// `identity` names this process among those that could lead; nil: there are no others, and no Lease is needed.
  package init(
    client: KubernetesClient, identity: String? = nil, configuration: SchedulerConfiguration = SchedulerConfiguration(),
    time: TimeSource = .system, log: Logger
  ) {
    self.client = client
    self.identity = identity
    self.configuration = configuration
    self.time = time
    self.log = log
  }

  /// Runs until the task is cancelled.
  package func run() async {
    if !configuration.ignored.isEmpty {
      log.warning("the scheduler's configuration has fields without a meaning here: \(configuration.ignored.joined(separator: ", "))")
    }
    guard let identity else { return await lead() }
    await LeaderElection(client: client, name: "kube-scheduler", identity: identity, time: time, log: log).run { await self.lead() }
  }

  private func lead() async {
    let inbox = Inbox<SchedulerLoop.News>()
    let events = EventWriter(client: client, time: time, log: log)
    let writes = SchedulerWrites(client: client, events: events, time: time, log: log)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await events.run() }
      for kind in SchedulingCore.Kind.allCases {
        group.addTask {
          for await event in client.reflect(kind.path, log: log) { inbox.put(.change(kind, SchedulingCore.Change(event))) }
        }
      }
      group.addTask {
        var loop = SchedulerLoop(profiles: configuration.profiles, inbox: inbox, writes: writes, time: time)
        for await _ in inbox.signals { loop.turn() }
        loop.stop()
      }
      await group.next()
      group.cancelAll()
    }
  }
}

extension SchedulingCore.Kind {
  var path: ResourcePath {
    switch self {
    case .nodes: .nodes
    case .pods: .pods()
    case .namespaces: .namespaces
    case .persistentVolumeClaims: ResourcePath("persistentvolumeclaims")
    case .persistentVolumes: ResourcePath("persistentvolumes")
    case .storageClasses: ResourcePath(group: "storage.k8s.io", "storageclasses")
    case .csiNodes: ResourcePath(group: "storage.k8s.io", "csinodes")
    case .disruptionBudgets: ResourcePath(group: "policy", "poddisruptionbudgets")
    case .services: .services()
    case .replicationControllers: ResourcePath("replicationcontrollers")
    case .replicaSets: ResourcePath(group: "apps", "replicasets")
    case .statefulSets: ResourcePath(group: "apps", "statefulsets")
    }
  }
}

extension SchedulingCore.Change {
  init(_ event: ReflectorEvent) {
    switch event {
    case .synced(let all): self = .synced(all)
    case .changed(let object): self = .changed(object)
    case .deleted(let object): self = .deleted(object)
    }
  }
}
