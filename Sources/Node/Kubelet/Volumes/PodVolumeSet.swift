import ContainerRuntime
import Dispatch
import JSONCodec
import KubernetesAPI
import LinuxKernel
import Logging
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// One pod's volumes and files. Its work is file system calls, so it runs on a thread of its own, not on the shared pool.
actor PodVolumeSet {
  private let uid: String
  private let settings: VolumeManager.Settings
  private let objects: any ObjectSource
  private let claims: ClaimUses
  private let clock: KubeletClock
  private let log: Logger
  private let executor: QueueExecutor
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  private var pod: Pod?
  private var podIPs: [String] = []
  private var followers: [Task<Void, Never>] = []
  /// Warnings that were told already.
  private var reported: Set<String> = []
  /// What the pod's claims led to, by the volume's name.
  private var bound: [String: BoundVolume] = [:]
  private var tokens: [TokenSpec: ServiceAccountToken] = [:]
  /// Subpaths stay open until their container is made anew: its mounts name these descriptors.
  private var subPaths: [String: [SharedDescriptor]] = [:]

  init(uid: String, settings: VolumeManager.Settings, objects: any ObjectSource, claims: ClaimUses, clock: KubeletClock, log: Logger) {
    self.claims = claims
    self.uid = uid
    self.settings = settings
    self.objects = objects
    self.clock = clock
    self.log = log
    executor = QueueExecutor(label: "volumes.\(uid)")
  }

  private var podDirectory: String { settings.dataDirectory.appending("pods").appending(uid).string }

  private func directory(_ plugin: String, _ volume: String) -> String {
    "\(podDirectory)/volumes/kubernetes.io~\(plugin)/\(volume)"
  }

  /// The pod's volumes are being taken away: a preparation that still waits for a token makes nothing anew.
  private var isOver = false

  // MARK: - Making ready

  func prepare(_ pod: Pod) async throws {
    guard !isOver else { throw CancellationError() }
    self.pod = pod
    try HostFiles.makeDirectories(podDirectory, 0o755)
    for volume in usedVolumes(pod) {
      do {
        try await setUp(volume, pod)
        if isOver {
          removeTree(FilePath(podDirectory))
          throw CancellationError()
        }
      } catch let error as VolumeIOError {
        throw VolumeError(volume: volume["name"].string ?? "", "\(error)")
      }
    }
    startFollowing(pod)
  }

  /// Volumes that no container mounts are not set up.
  private func usedVolumes(_ pod: Pod) -> [JSON] {
    let containers = pod.spec.initContainers + pod.spec.containers + pod.spec.ephemeralContainers
    let used = Set(containers.flatMap(\.volumeMounts).compactMap { $0["name"].string })
    return pod.spec.volumes.filter { used.contains($0["name"].string ?? "") }
  }

  private func setUp(_ volume: JSON, _ pod: Pod) async throws {
    let name = volume["name"].string ?? ""
    guard !name.isEmpty, !name.contains("/"), name != "..", name != "." else { throw VolumeError(volume: name, "invalid name") }
    switch VolumeKind(volume) {
    case .hostPath:
      try HostPathVolume.prepare(
        volume["hostPath"]["type"].string ?? "", volume["hostPath"]["path"].string ?? "", volume: name)
    case .emptyDir: try setUpEmptyDir(volume["emptyDir"], name, pod)
    case .projection: try await writeFiles(of: volume, pod)
    case .claim: try await setUpClaim(volume, name, pod)
    // Its image comes with the containers' own.
    case .image: try HostFiles.makeDirectories(directory("image", name), 0o755)
    case .unknown(let kind): throw VolumeError(volume: name, "volumes of type \(kind) are not supported on this node")
    }
  }

  private func setUpEmptyDir(_ source: JSON, _ name: String, _ pod: Pod) throws {
    let path = directory("empty-dir", name)
    let isNew = access(path, F_OK) != 0
    try HostFiles.makeDirectories(path, 0o755)
    let medium = source["medium"].string ?? ""
    switch medium {
    case "": break
    case "Memory": try MemoryVolume.mount(at: path, sizeBytes: memorySize(source, pod))
    default: throw VolumeError(volume: name, "unknown storage medium \"\(medium)\"")
    }
    // What containers have changed since is theirs.
    guard isNew else { return }
    guard chmod(path, 0o777) == 0 else { throw VolumeIOError("chmod", path, errno) }
    if let group = fsGroup(pod) { try VolumeOwnership.give(path, to: group, readOnly: false) }
  }

  private func setUpClaim(_ volume: JSON, _ name: String, _ pod: Pod) async throws {
    guard let claimName = ClaimVolume.claimName(of: volume, in: pod) else { throw VolumeError(volume: name, "no claim is named") }
    let claim = try await objects.object(.claim, pod.namespace, claimName)
    let volumeName = try ClaimVolume.volumeName(claim: claim, named: claimName, for: volume, in: pod)
    let persistent = try await objects.object(.volume, "", volumeName)
    let found = try ClaimVolume.bound(
      persistent, named: volumeName, claim: claim ?? .null, for: volume, nodeLabels: settings.nodeLabels())
    if let exclusive = found.exclusiveClaim, !claims.take(exclusive, for: uid) {
      throw UnprocessedVolume(volume: name, "volume uses the ReadWriteOncePod access mode and is already in use by another pod")
    }
    switch found.source {
    case .hostPath(let type): try HostPathVolume.prepare(type, found.path, volume: volumeName)
    case .local:
      let local = LocalVolumes(dataDirectory: settings.dataDirectory)
      if local.owns(found.path), case .nothing = HostPathVolume.find(found.path) { try local.make(found.path) }
      switch HostPathVolume.find(found.path) {
      case .directory: try giveToGroup(found.path, pod, readOnly: found.isReadOnly)
      case .nothing: throw VolumeError(volume: volumeName, "path \"\(found.path)\" does not exist")
      default:
        throw VolumeError(volume: volumeName, "path \"\(found.path)\" is not a directory; block devices are not supported on this node")
      }
    }
    bound[name] = found
  }

  /// A local volume's files go to the pod's fsGroup; `OnRootMismatch` looks at the root alone.
  private func giveToGroup(_ path: String, _ pod: Pod, readOnly: Bool) throws {
    guard let group = fsGroup(pod), !readOnly else { return }
    let onlyOnMismatch = pod.spec.securityContext["fsGroupChangePolicy"].string == "OnRootMismatch"
    if onlyOnMismatch, VolumeOwnership.rootMatches(path, group, readOnly: false) { return }
    try VolumeOwnership.give(path, to: group, readOnly: false)
  }

  /// The volume's limit or the pod's memory limit, whichever is smaller; nil: half of the machine's memory, as tmpfs has it.
  private func memorySize(_ source: JSON, _ pod: Pod) -> Int64? {
    let own = source["sizeLimit"].quantity.map(\.value).flatMap { $0 > 0 ? $0 : nil }
    let limits = pod.spec.containers.map { $0.limit("memory")?.value }
    let podLimit = limits.contains(nil) ? nil : limits.compactMap(\.self).reduce(0, +)
    return [own, podLimit].compactMap(\.self).min()
  }

  private func fsGroup(_ pod: Pod) -> UInt32? { pod.spec.securityContext["fsGroup"].int.flatMap(UInt32.init(exactly:)) }

  // MARK: - Files from the API

  @discardableResult
  private func writeFiles(of volume: JSON, _ pod: Pod) async throws -> Bool {
    let facts = DownwardAPI(pod: pod, podIPs: podIPs, hostIPs: settings.hostIPs, allocatable: settings.allocatable())
    let payload = VolumePayload(pod: pod, objects: objects, facts: facts) { [self] in try await token($0) }
    guard let files = try await payload.files(of: volume) else { return false }
    let path = directory(VolumeKind.plugin(volume), volume["name"].string ?? "")
    try HostFiles.makeDirectories(path, 0o755)
    return try AtomicWriter(directory: path, group: fsGroup(pod)).write(files, stamp: stamp())
  }

  /// As in `2026_11_23_10_00_00.123456789`.
  private func stamp() -> String {
    let text = clock.now().rfc3339Nano
    let name = text.prefix { $0 != "." }.map { "-T:".contains($0) ? "_" : $0 }
    let fraction = text.drop { $0 != "." }.dropLast()
    // The clock may stand still in a test, and jump back in life.
    return String(name) + fraction + "_" + String(UInt32.random(in: 0...UInt32.max), radix: 36)
  }

  private func token(_ spec: TokenSpec) async throws -> ServiceAccountToken {
    let now = clock.now()
    let known = tokens[spec]
    if let known, now < known.refreshAt { return known }
    do {
      let token = try await objects.token(spec)
      tokens[spec] = token
      return token
    } catch {
      // An old token is better than none, as long as it is good.
      if let known, now < known.expiresAt { return known }
      throw error
    }
  }

  private func startFollowing(_ pod: Pod) {
    guard followers.isEmpty else { return }
    var seen: Set<String> = []
    for volume in usedVolumes(pod) where VolumeKind(volume) == .projection {
      for (kind, name) in VolumePayload.references(volume) where seen.insert("\(kind) \(name)").inserted {
        let changes = objects.changes(kind, pod.namespace, name)
        followers.append(
          Task { [weak self] in
            for await _ in changes {
              guard let self else { return }
              await self.refresh()
            }
          })
      }
    }
    if !tokens.isEmpty { followers.append(Task { [weak self] in await self?.keepTokensFresh() }) }
  }

  /// A failed refresh is tried again after this.
  static let tokenRetrySeconds = 30.0

  private func keepTokensFresh() async {
    while !Task.isCancelled, let next = tokens.values.map(\.refreshAt).min() {
      let now = clock.now()
      let wake = max(next, now.advanced(bySeconds: 1))
      guard (try? await clock.sleep(wake)) != nil else { return }
      await refresh()
      if let still = tokens.values.map(\.refreshAt).min(), still <= clock.now() {
        guard (try? await clock.sleep(clock.now().advanced(bySeconds: Self.tokenRetrySeconds))) != nil else { return }
      }
    }
  }

  /// Writes again what has changed. What is missing now leaves the files as they are.
  private func refresh() async {
    guard let pod else { return }
    for volume in usedVolumes(pod) where VolumeKind(volume) == .projection {
      do {
        try await writeFiles(of: volume, pod)
      } catch {
        log.info("volume not refreshed", metadata: ["pod": "\(pod.namespace)/\(pod.name)", "error": "\(error)"])
      }
    }
  }

  func update(_ pod: Pod) async {
    guard self.pod != nil else { return }
    self.pod = pod
    await refresh()
  }

  // MARK: - Mounts

  func mounts(of container: Container, in pod: Pod, podIPs: [String], environment: [String], images: [String: [FilePath]])
    async throws -> [ContainerMount]
  {
    self.podIPs = podIPs
    var open: [SharedDescriptor] = []
    var mounts: [ContainerMount] = []
    for mount in container.volumeMounts {
      mounts.append(try volumeMount(mount, container, pod, environment, images, &open))
    }
    subPaths[container.name] = open
    let own = Set(mounts.map(\.target))
    for (target, path) in try files(pod) where !own.contains(target) {
      mounts.append(
        ContainerMount(source: .bind(FilePath(path), readOnly: false, propagation: .private), target: target, isDirectory: false))
    }
    return mounts
  }

  private func volumeMount(
    _ mount: JSON, _ container: Container, _ pod: Pod, _ environment: [String], _ images: [String: [FilePath]],
    _ open: inout [SharedDescriptor]
  ) throws -> ContainerMount {
    let name = mount["name"].string ?? ""
    guard let volume = pod.spec.volumes.first(where: { $0["name"].string == name }) else {
      throw ContainerConfigError("cannot find volume \"\(name)\" to mount into container \"\(container.name)\"")
    }
    let kind = VolumeKind(volume)
    let root = try root(of: volume, name, kind, images)
    var source = root
    if let subPath = try subPath(mount, environment), !subPath.isEmpty {
      let what = "volumeMount \"\(name)\" of container \"\(container.name)\""
      let descriptor = SharedDescriptor(try SubPath.open(subPath, below: root, what: what))
      open.append(descriptor)
      source = "/proc/self/fd/\(descriptor.rawValue)"
    }
    let propagation: MountPropagation =
      switch mount["mountPropagation"].string ?? "None" {
      case "HostToContainer": .hostToContainer
      case "Bidirectional": .bidirectional
      default: .private
      }
    // Files from the API are changed through the API only.
    let readOnly = (mount["readOnly"].bool ?? false) || kind == .projection || kind == .image || bound[name]?.isReadOnly == true
    var result = ContainerMount(
      source: .bind(FilePath(source), readOnly: readOnly, propagation: propagation), target: mount["mountPath"].string ?? "",
      isDirectory: HostPathVolume.find(source) == .directory)
    result.isRecursivelyReadOnly = kind == .projection || ["Enabled", "IfPossible"].contains(mount["recursiveReadOnly"].string ?? "")
    return result
  }

  /// Where a volume's files are on the node.
  private func root(of volume: JSON, _ name: String, _ kind: VolumeKind, _ images: [String: [FilePath]]) throws -> String {
    switch kind {
    case .hostPath: return volume["hostPath"]["path"].string ?? ""
    case .claim:
      guard let found = bound[name] else { throw ContainerConfigError("volume \"\(name)\" is not ready") }
      return found.path
    case .image:
      let path = directory("image", name)
      guard let layers = images[name] else { throw ContainerConfigError("the image of volume \"\(name)\" is not here") }
      try HostFiles.makeDirectories(path, 0o755)
      do {
        try ImageVolume.mount(layers, at: path)
      } catch {
        throw ContainerConfigError(reason: "ImageVolumeMountFailed", "failed to mount the image of volume \"\(name)\": \(error)")
      }
      return path
    case .emptyDir, .projection, .unknown: return directory(VolumeKind.plugin(volume), name)
    }
  }

  private func subPath(_ mount: JSON, _ environment: [String]) throws -> String? {
    guard let expression = mount["subPathExpr"].string, !expression.isEmpty else { return mount["subPath"].string }
    var values: [String: String] = [:]
    for variable in environment {
      let name = variable.prefix { $0 != "=" }
      values[String(name)] = String(variable.dropFirst(name.count + 1))
    }
    var missing: String?
    let expanded = expandVariables(expression) { name in
      if values[name] == nil { missing = missing ?? name }
      return values[name]
    }
    if let missing { throw ContainerConfigError("missing value for \"\(missing)\"") }
    return expanded
  }

  /// The files that every container of the pod has, by where they go.
  private func files(_ pod: Pod) throws -> [(target: String, path: String)] {
    let names = try PodNames(pod, clusterDomain: settings.clusterDomain)
    let hostname = pod.spec.hostNetwork ? settings.nodeHostname : names.hostname
    let resolver = ResolverConfiguration(
      pod, host: ResolverConfiguration(parsing: HostFiles.read(settings.hostResolvConf) ?? ""), clusterDNS: settings.clusterDNS,
      clusterDomain: settings.clusterDomain)
    for warning in resolver.warnings where reported.insert("\(warning)").inserted { settings.report(pod, "DNSConfigForming", "\(warning)") }
    let hosts = PodFiles.hosts(pod, names: names, podIPs: podIPs, hostFile: HostFiles.read(settings.hostHosts) ?? "")
    let texts = [
      ("/etc/hosts", "etc-hosts", hosts), ("/etc/hostname", "etc-hostname", hostname + "\n"),
      ("/etc/resolv.conf", "etc-resolv.conf", resolver.text),
    ]
    try HostFiles.makeDirectories(podDirectory, 0o755)
    return try texts.map { target, file, text in
      let path = "\(podDirectory)/\(file)"
      try HostFiles.write(text, to: path)
      return (target, path)
    }
  }

  // MARK: - The end

  func teardown() async throws {
    isOver = true
    for follower in followers { follower.cancel() }
    followers = []
    subPaths = [:]
    tokens = [:]
    pod = nil
    bound = [:]
    for plugin in ["empty-dir", "image"] {
      let mounted = "\(podDirectory)/volumes/kubernetes.io~\(plugin)"
      for name in AtomicWriter.names(mounted) { try MemoryVolume.unmount("\(mounted)/\(name)") }
    }
    claims.release(all: uid)
    // It enters no other file system: what somebody mounted here by hand is not deleted.
    removeTree(FilePath(podDirectory))
    var status = stat()
    if lstat(podDirectory, &status) == 0 { throw VolumeIOError("rmdir", podDirectory, EBUSY) }
  }
}

/// Runs an actor on one serial queue.
final class QueueExecutor: SerialExecutor {
  private let queue: DispatchQueue

  init(label: String) { queue = DispatchQueue(label: label) }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }
}
