import APIServer
import ArgumentParser
import ContainerRuntime
import FoundationEssentials
import KubernetesAPI
import PodNetwork
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// `swiftlet down`: stops pods and takes away what they left; with --purge also all data.
struct Down: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stops pods cleanly and removes links, rules, mounts and cgroups; with --purge also all data.")

  /// Seconds that containers get after their stop signal.
  static let graceSeconds = 10.0

  @OptionGroup var paths: PathOptions
  @OptionGroup var node: NodeOptions
  @Option(help: "The administrator's kubeconfig that --purge removes.") var kubeconfig = "/etc/swiftlet/admin.kubeconfig"
  @Flag(help: "Also remove all data: database, keys, images, logs, kubeconfig.") var purge = false

  func run() async throws {
    try await Role.exitingCleanly {
      try requireRoot("down")
      guard FileManager.default.fileExists(atPath: paths.dataDirectory) else { return print("nothing is there at \(paths.dataDirectory)") }
      let lock = try InstanceLock(directory: paths.dataDirectory)
      defer { withExtendedLifetime(lock) {} }
      let count = try await stopPods()
      try removeNetwork()
      try removeCgroups()
      remove(paths.runDirectory)
      if purge {
        for path in [paths.dataDirectory, paths.logDirectory, kubeconfig] { remove(path) }
      }
      print("stopped \(count) pod\(count == 1 ? "" : "s")\(purge ? " and removed all data" : "; data is kept in \(paths.dataDirectory)")")
    }
  }

  private func stopPods() async throws -> Int {
    let runtime = try await ContainerRuntime(
      configuration: RuntimeConfiguration(
        supervisorPath: FilePath(Machine.programDirectory).appending("swiftlet-pod"), runDirectory: paths.run,
        stateDirectory: paths.data.appending("runtime"), cgroupRoot: node.cgroupRoot.map { FilePath($0) }, allowMissingControllers: true))
    let sandboxes = try await runtime.recover()
    await withTaskGroup(of: Void.self) { group in
      for sandbox in sandboxes { group.addTask { await Self.stop(sandbox, runtime) } }
    }
    return sandboxes.count
  }

  /// TERM, then a while, then whatever is left is killed with the sandbox.
  private static func stop(_ sandbox: SandboxState, _ runtime: ContainerRuntime) async {
    let pod = Pod(sandbox.labels["pod"])
    let seconds = min(Double(pod.spec.terminationGracePeriodSeconds), graceSeconds)
    for container in sandbox.containers where container.phase == .running {
      try? await runtime.signalContainer(container.id, in: sandbox.id, signal: SIGTERM)
    }
    let deadline = Timestamp.now.advanced(bySeconds: seconds)
    while Timestamp.now < deadline, (try? runtime.state(of: sandbox.id))?.containers.contains(where: { $0.phase == .running }) ?? false {
      try? await Task.sleep(for: .milliseconds(20))
    }
    do {
      try await runtime.removeSandbox(sandbox.id)
    } catch {
      print("pod \(pod.namespace)/\(pod.name) (\(sandbox.id)) was not removed: \(error)")
    }
  }

  /// The first range of the cluster's, which an all-in-one node has.
  private var nodeRange: String { IPv4Range(node.podCIDR)?.subrange(bits: 24, index: 0)?.text ?? node.podCIDR }

  private func removeNetwork() throws {
    guard FileManager.default.fileExists(atPath: paths.data.appending("network").string) else { return }
    try PodNetwork(PodNetworkSettings.configuration(paths, node, podCIDR: nodeRange)).remove()
  }

  private func removeCgroups() throws {
    guard let root = node.cgroupRoot ?? MachineChecks.cgroup2Mount().map({ $0 + "/swiftlet" }), FileManager.default.fileExists(atPath: root)
    else { return }
    try CgroupTree(root: FilePath(root)).remove()
  }

  private func remove(_ path: String) {
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      if FileManager.default.fileExists(atPath: path) { print("\(path) was not removed: \(error)") }
    }
  }
}
