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

  @OptionGroup var paths: PathOptions
  @OptionGroup var node: NodeOptions
  @Option(help: "The administrator's kubeconfig that --purge removes.") var kubeconfig = "/etc/swiftlet/admin.kubeconfig"
  @Flag(help: "Also remove all data: database, keys, images, logs, kubeconfig.") var purge = false

  func run() async throws {
    try await Role.exitingCleanly {
      try requireRoot("down")
      try await TakingDown(paths: paths, node: node, kubeconfig: kubeconfig).run(purge: purge)
    }
  }
}

/// Takes an instance off its machine.
struct TakingDown {
  /// Seconds that containers get after their stop signal.
  static let graceSeconds = 10.0

  let paths: PathOptions
  let node: NodeOptions
  /// The administrator's kubeconfig where the instance's record names none; nil: a node has none.
  let kubeconfig: String?

  func run(purge: Bool) async throws {
    guard FileManager.default.fileExists(atPath: paths.dataDirectory) else { return print("nothing is there at \(paths.dataDirectory)") }
    let lock = try InstanceLock(directory: paths.dataDirectory)
    defer { withExtendedLifetime(lock) {} }
    var record = InstanceRecord(data: paths.data)
    let places = Places(record, paths, node, kubeconfig: kubeconfig)
    let pods = podUIDs
    let count = try await stopPods(places)
    try removeMounts()
    try removeNetwork(places)
    try await NodeServices.remove(
      interfacePrefix: places.interfacePrefix, serviceCIDR: record.values["service-cidr"] ?? node.serviceCIDR, options: node)
    try removeCgroups(places)
    Leftovers.remove(Leftovers.run, in: places.run)
    record.forgetPlaces()
    if purge {
      Leftovers.removeLogs(of: pods, in: places.logs)
      if let kubeconfig = places.kubeconfig { Leftovers.removeFile(kubeconfig) }
      Leftovers.remove(Leftovers.data, in: paths.dataDirectory)
    }
    print("stopped \(count) pod\(count == 1 ? "" : "s")\(purge ? " and removed all data" : "; data is kept in \(paths.dataDirectory)")")
  }

  /// Where the instance lives: as it was started, else as the options say.
  private struct Places {
    let run: String, logs: String, interfacePrefix: String
    let kubeconfig: String?
    let cgroupRoot: String?

    init(_ record: InstanceRecord, _ paths: PathOptions, _ node: NodeOptions, kubeconfig: String?) {
      run = record.values["run-dir"] ?? paths.runDirectory
      logs = record.values["log-dir"] ?? paths.logDirectory
      self.kubeconfig = record.values["kubeconfig"] ?? kubeconfig
      interfacePrefix = record.values["interface-prefix"] ?? node.interfacePrefix
      let root = record.values["cgroup-root"] ?? node.cgroupRoot ?? ""
      cgroupRoot = root.isEmpty ? nil : root
    }
  }

  private var podUIDs: Set<String> {
    let files = FileManager.default
    return Set(
      ["pods", "runtime/sandboxes"].flatMap { (try? files.contentsOfDirectory(atPath: paths.data.appending($0).string)) ?? [] })
  }

  private func stopPods(_ places: Places) async throws -> Int {
    let runtime = try await ContainerRuntime(
      configuration: RuntimeConfiguration(
        supervisorPath: FilePath(Machine.programDirectory).appending("swiftlet-pod"), runDirectory: FilePath(places.run),
        stateDirectory: paths.data.appending("runtime"), cgroupRoot: places.cgroupRoot.map { FilePath($0) }, allowMissingControllers: true))
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

  /// Volumes in memory are mounted below the data directory.
  private func removeMounts() throws {
    let below = paths.data.appending("pods").string + "/"
    for mount in MachineChecks.mounts().reversed() where mount.hasPrefix(below) {
      guard umount2(mount, Int32(MNT_DETACH) | Int32(UMOUNT_NOFOLLOW)) == 0 || errno == EINVAL else {
        throw StartFailure("\(mount) cannot be unmounted: \(String(cString: strerror(errno)))")
      }
    }
  }

  private func removeNetwork(_ places: Places) throws {
    let directory = paths.data.appending("network")
    guard FileManager.default.fileExists(atPath: directory.string) else { return }
    let range = NodeRange.recorded(in: directory) ?? node.podCIDR
    try PodNetwork(
      PodNetworkSettings.configuration(paths, interfacePrefix: places.interfacePrefix, podCIDR: range, clusterCIDR: range)
    ).remove()
  }

  private func removeCgroups(_ places: Places) throws {
    guard let root = places.cgroupRoot ?? MachineChecks.cgroup2Mount().map({ $0 + "/swiftlet" }),
      FileManager.default.fileExists(atPath: root)
    else { return }
    try CgroupTree(root: FilePath(root)).remove()
  }
}

/// Removes files that are Swiftlet's own by their names, and the folder around them only where nothing else is in it.
private enum Leftovers {
  static let run = ["agent.sock", "images.sock", "pods", "swiftlet.lock", "up.pid"]
  static let data = [
    "agent", "images", "instance.json", "network", "pki", "pods", "probe", "runtime", "state.db", "state.db-shm", "state.db-wal",
    "state.db.lock",
    "swiftlet.log", "swiftlet.lock",
  ]

  static func remove(_ names: [String], in directory: String) {
    for name in names { removeFile(directory + "/" + name, andFolder: false) }
    removeFolder(directory)
  }

  /// Logs of these pods: folders `<namespace>_<name>_<uid>`.
  static func removeLogs(of pods: Set<String>, in directory: String) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
      guard let uid = name.split(separator: "_").last, pods.contains(String(uid)) else { continue }
      removeFile(directory + "/" + name, andFolder: false)
    }
    removeFolder(directory)
  }

  /// A file or a tree; with it a folder `swiftlet` around it where this was the last thing there.
  static func removeFile(_ path: String, andFolder: Bool = true) {
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      if FileManager.default.fileExists(atPath: path) { print("\(path) was not removed: \(error)") }
    }
    let folder = FilePath(path).removingLastComponent()
    if andFolder, folder.lastComponent?.string == "swiftlet" { removeFolder(folder.string, isQuiet: true) }
  }

  private static func removeFolder(_ path: String, isQuiet: Bool = false) {
    if rmdir(path) == 0 || errno == ENOENT || isQuiet { return }
    print("\(path) stays: \(errno == ENOTEMPTY ? "there are other files in it" : String(cString: strerror(errno)))")
  }
}
