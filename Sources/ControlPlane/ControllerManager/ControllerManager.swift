import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers

/// All controllers of a cluster, over shared caches; of several processes one leads.
package final class ControllerManager: Sendable {
  private let client: KubernetesClient
  private let identity: String?
  private let reconcilers: [any Reconciler]
  private let time: TimeSource
  private let log: Logger

  /// The controllers that every cluster runs.
  package static var standard: [any Reconciler] {
    [
      ReplicaSetReconciler.replicaSets, ReplicaSetReconciler.replicationControllers, DeploymentReconciler(), EndpointSliceReconciler(),
      EndpointsReconciler(), EndpointSliceMirroringReconciler(), StatefulSetReconciler(), DaemonSetReconciler(), JobReconciler(),
      FinishedJobReconciler(), CronJobReconciler(zoneFile: ZoneFiles.read), DisruptionBudgetReconciler(), NodeLifecycleReconciler(),
      TaintEvictionReconciler(), PodCollectionReconciler(), VolumeBindingReconciler(), VolumeProtectionReconciler(),
      EphemeralVolumeReconciler(),
      LocalPathReconciler(), AttachmentReconciler(), LeaseCleanupReconciler(), NodeTimeToLiveReconciler(),
      ServiceLoadBalancerReconciler(),
    ]
  }

  /// Those of a cluster whose load balancers a cloud-controller-manager outside makes.
  package static var withExternalCloud: [any Reconciler] { standard.filter { !($0 is ServiceLoadBalancerReconciler) } }

  /// `identity` names this process among those that could lead; nil: there are no others, and no Lease is needed.
  package init(
    client: KubernetesClient, identity: String? = nil, reconcilers: [any Reconciler] = ControllerManager.standard,
    time: TimeSource = .system, log: Logger
  ) {
    self.client = client
    self.identity = identity
    self.reconcilers = reconcilers
    self.time = time
    self.log = log
  }

  /// Runs until the task is cancelled.
  package func run() async {
    guard let identity else { return await lead() }
    await LeaderElection(client: client, name: "kube-controller-manager", identity: identity, time: time, log: log).run {
      await self.lead()
    }
  }

  private func lead() async {
    let caches = SharedCaches(client: client, time: time, log: log)
    let events = EventSink(client: client, log: log)
    let kinds = KindDirectory(caches: caches)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await caches.run() }
      group.addTask { await events.run() }
      let collector = GarbageCollector(client: client, caches: caches, kinds: kinds, time: time, log: log)
      group.addTask { await collector.run() }
      let autoscaler = AutoscalerController(client: client, caches: caches, kinds: kinds, events: events, time: time)
      group.addTask { await autoscaler.run() }
      for reconciler in reconcilers {
        let runner = ControllerRunner(reconciler, caches: caches, client: client, events: events, time: time, log: log)
        group.addTask { await runner.run() }
      }
    }
  }
}
