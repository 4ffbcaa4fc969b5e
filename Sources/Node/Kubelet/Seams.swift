import ContainerImages
import ContainerRuntime
import JSONCodec
import KubernetesAPI
import KubernetesClient
import LinuxKernel
import Logging
import PodLifecycle
import PodNetwork
import SystemPackage

/// The part of the container runtime that a pod's life needs. `ContainerRuntime` is one; tests have another that holds
/// its containers in memory.
package protocol PodRuntime: Sendable {
  func createSandbox(_ spec: SandboxSpec) async throws
  /// The pod's network namespace.
  func networkNamespace(of sandbox: String) throws -> OwnedDescriptor
  /// Returns once execve has succeeded.
  func startContainer(_ spec: ContainerSpec, in sandbox: String) async throws -> ContainerState
  func signalContainer(_ id: String, in sandbox: String, signal: Int32) async throws
  /// Runs a command to its end; output beyond `outputMax` bytes is dropped, the process is killed when the task is cancelled.
  func run(_ argv: [String], container: String, in sandbox: String, outputMax: Int) async throws -> CommandResult
  /// Writes other limits into a pod's cgroup and those of containers, by id. Refuses memory limits below what is in use.
  func resize(sandbox: String, pod: ResourceLimits, containers: [String: ResourceLimits]) async throws
  /// Where running and ended containers of a sandbox write, by id.
  func writableDirectories(of sandbox: String) -> [String: FilePath]
  func removeContainer(_ id: String, in sandbox: String) async throws
  /// Kills what is left and takes everything of the sandbox away. Succeeds where there is none.
  func removeSandbox(_ id: String) async throws
}

/// How a command in a container ended.
package struct CommandResult: Sendable {
  package var exitCode: Int32
  /// Standard output and standard error as they came.
  package var output: [UInt8]
  package init(exitCode: Int32, output: [UInt8]) {
    self.exitCode = exitCode
    self.output = output
  }
}

/// The part of the image store that pods need.
package protocol PodImages: Sendable {
  func image(named name: String) async -> ImageRecord?
  func pull(_ name: String, credentials: [RegistryCredential]) async throws -> ImageRecord
  func retain(image id: String, by container: String) async throws
  func release(container: String) async
  /// All images, and which are held.
  func uses() async -> [ImageUse]
  /// Refuses those that are held.
  func remove(image id: String) async throws
}

/// The part of the pod network that a sandbox needs.
package protocol PodNetworking: Sendable {
  /// Gives the namespace its interface, address and host ports; the same again for a sandbox that has them.
  /// Answers with its addresses.
  func attach(sandbox: String, netns: Int32, hostPorts: [HostPort]) async throws -> [String]
  /// Returns when the pod's network policies hold for the addresses: no container of it starts before.
  func protect(_ pod: Pod, sandbox: String, addresses: [String]) async throws
  func detach(sandbox: String) async throws
  /// The addresses that a sandbox has been given; none where it has not.
  func addresses(of sandbox: String) -> [String]
}

/// The rules that lead from services to this node's pods.
package protocol PodEndpoints: Sendable {
  /// Whether services lead to the pod; asked for each pod that ends, so it has to be quick.
  func serves(_ pod: String) -> Bool
  /// Returns when no new connection comes to the pod any more, or when cancelled. `isTold`: the API knows that it ends.
  func withdraw(_ pod: String, isTold: Bool) async
}

/// A pod's volumes and files, from its spec to paths that can be mounted.
package protocol PodVolumes: Sendable {
  /// Makes every volume of the pod ready and keeps those from the API up to date until `teardown`.
  func prepare(_ pod: Pod) async throws
  /// The mounts of a container: its volumeMounts, /etc/hosts, /etc/hostname, /etc/resolv.conf, its devices. `images`: layers of
  /// the images that are volumes, lowest first, by volume.
  func mounts(of container: Container, in pod: Pod, podIPs: [String], environment: [String], images: [String: [FilePath]])
    async throws -> [ContainerMount]
  /// The pod's metadata has changed: downward API files follow.
  func update(_ pod: Pod) async
  func teardown(podUID: String) async throws
}

/// A container's environment from env, envFrom, the downward API and services.
package protocol PodEnvironments: Sendable {
  /// `NAME=value`, in the order of definition; `image` are the image's own variables.
  func environment(of container: Container, in pod: Pod, podIPs: [String], hostIPs: [String], image: [String]) async throws -> [String]
}

/// What a pod cannot be started with as it is; the waiting reason of its container.
package struct ContainerConfigError: Error, CustomStringConvertible, Sendable {
  package let reason: String
  package let message: String
  package init(reason: String = "CreateContainerConfigError", _ message: String) {
    self.reason = reason
    self.message = message
  }
  package var description: String { message }
}

/// Time, so that a test can hold it.
package struct KubeletClock: Sendable {
  package var now: @Sendable () -> Timestamp
  /// Returns at the time or a little later; throws when the task is cancelled.
  package var sleep: @Sendable (_ until: Timestamp) async throws -> Void

  package static let system = KubeletClock(
    now: { Timestamp.now },
    sleep: { until in
      let seconds = until.seconds(since: Timestamp.now)
      guard seconds > 0 else { return }
      try await Task.sleep(for: .nanoseconds(Int64(seconds * 1e9)), tolerance: .milliseconds(seconds > 5 ? 100 : 1))
    })

  package init(now: @escaping @Sendable () -> Timestamp, sleep: @escaping @Sendable (_ until: Timestamp) async throws -> Void) {
    self.now = now
    self.sleep = sleep
  }
}
