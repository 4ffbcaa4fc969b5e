import ContainerRuntime
import JSONCodec
import KubernetesAPI
import Logging
import Synchronization
import SystemPackage

/// The volumes and files of the pods on this node; each pod's are its own actor's affair, so that one that hangs on a dead
/// file system delays no other.
package final class VolumeManager: PodVolumes {
  /// Where and for whom.
  package struct Settings: Sendable {
    /// `<dataDirectory>/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`.
    package var dataDirectory: FilePath
    package var clusterDNS: [String]
    package var clusterDomain: String
    package var hostIPs: [String]
    package var hostResolvConf: String = "/etc/resolv.conf"
    package var hostHosts: String = "/etc/hosts"
    package var nodeHostname: String
    package var allocatable: @Sendable () -> [String: Quantity]
    /// The Node's `metadata.labels`: persistent volumes may belong to some nodes only.
    package var nodeLabels: @Sendable () -> JSON = { .null }
    /// Told what about a pod's files is not as its spec asks: a reason and a message for an event.
    package var report: @Sendable (Pod, _ reason: String, _ message: String) -> Void = { _, _, _ in }

    package init(
      dataDirectory: FilePath, clusterDNS: [String], clusterDomain: String, hostIPs: [String], nodeHostname: String,
      allocatable: @escaping @Sendable () -> [String: Quantity] = { [:] }
    ) {
      self.dataDirectory = dataDirectory
      self.clusterDNS = clusterDNS
      self.clusterDomain = clusterDomain
      self.hostIPs = hostIPs
      self.nodeHostname = nodeHostname
      self.allocatable = allocatable
    }
  }

  private let settings: Settings
  private let objects: any ObjectSource
  private let clock: KubeletClock
  private let log: Logger
  private let claims = ClaimUses()
  private let sets = Mutex<[String: PodVolumeSet]>([:])

  package init(settings: Settings, objects: any ObjectSource, clock: KubeletClock = .system, log: Logger) {
    self.settings = settings
    self.objects = objects
    self.clock = clock
    self.log = log
  }

  package func prepare(_ pod: Pod) async throws { try await set(pod).prepare(pod) }

  package func mounts(
    of container: Container, in pod: Pod, podIPs: [String], environment: [String], images: [String: [FilePath]]
  ) async throws -> [ContainerMount] {
    try await set(pod).mounts(of: container, in: pod, podIPs: podIPs, environment: environment, images: images)
  }

  package func update(_ pod: Pod) async {
    guard let set = sets.withLock({ $0[pod.uid] }) else { return }
    await set.update(pod)
  }

  package func teardown(podUID: String) async throws {
    let set =
      sets.withLock { $0.removeValue(forKey: podUID) }
      ?? PodVolumeSet(uid: podUID, settings: settings, objects: objects, claims: claims, clock: clock, log: log)
    do {
      try await set.teardown()
    } catch {
      // So that the next try finds what is left to do.
      sets.withLock { sets in if sets[podUID] == nil { sets[podUID] = set } }
      throw error
    }
  }

  private func set(_ pod: Pod) -> PodVolumeSet {
    sets.withLock { sets in
      if let set = sets[pod.uid] { return set }
      let set = PodVolumeSet(uid: pod.uid, settings: settings, objects: objects, claims: claims, clock: clock, log: log)
      sets[pod.uid] = set
      return set
    }
  }
}
