import ContainerImages
import ContainerRuntime
import JSONCodec
import KubernetesAPI
import OCISpec
import PodLifecycle
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// From a container of a pod and its image to what the runtime starts. Every value that decides something about the host
/// (paths, mounts, capabilities) comes from the pod; the image gives argv, environment, user and working directory.
struct ContainerSpecBuilder: Sendable {
  /// A log file is rotated at this many bytes.
  static let idBytes = 32

  let pod: Pod
  let container: Container
  let role: ContainerRole
  let attempt: Int
  let image: ImageRecord
  let observed: PodObservation
  let services: PodServices
  /// Of the pod's image volumes, by volume.
  var volumeImages: [String: ImageRecord] = [:]

  /// The spec, and the user for the container's status.
  func build() async throws -> (ContainerSpec, JSON) {
    let security = try security()
    let variables = try await services.environments.environment(
      of: container, in: pod, podIPs: observed.podIPs, hostIPs: observed.hostIPs, image: image.config.environment)
    let hostname = try podHostname(pod, clusterDomain: services.configuration.clusterDomain)
    let environment = withDefaults(variables, home: security.user.home, hostname: hostname)
    let mounts = try await services.volumes.mounts(
      of: container, in: pod, podIPs: observed.podIPs, environment: environment, images: volumeImages.mapValues(\.layers))
    var spec = ContainerSpec(
      name: container.name, attempt: attempt, id: Self.newID(),
      logPath: FilePath(services.logPath(of: pod, container: container.name, attempt: attempt)))
    spec.rootfsLayers = image.layers
    spec.argv = try argv(environment)
    spec.environment = environment
    spec.workingDirectory =
      !container.workingDir.isEmpty ? container.workingDir : image.config.workingDirectory.isEmpty ? "/" : image.config.workingDirectory
    spec.mounts = mounts
    apply(security, to: &spec)
    spec.seccomp = try seccomp(security)
    let values = CgroupValues(container: container, pod: pod, nodeMemoryBytes: services.memoryBytes)
    spec.limits = ResourceLimits(values)
    spec.oomScoreAdj = values.oomScoreAdj
    spec.stdin = container.stdin
    spec.stdinOnce = container.stdinOnce
    spec.tty = container.tty
    spec.terminationMessagePath = container.terminationMessagePath
    spec.stopSignal = signalNumber(container.lifecycle["stopSignal"].string ?? image.config.stopSignal)
    return (spec, security.user.status)
  }

  private func security() throws -> ContainerSecurity {
    let accounts = ImageAccounts(
      passwd: LayerFiles.text("etc/passwd", layers: image.layers, bytesMax: ImageAccounts.fileBytesMax),
      group: LayerFiles.text("etc/group", layers: image.layers, bytesMax: ImageAccounts.fileBytesMax))
    return try ContainerSecurity(pod: pod, container: container, imageUser: image.config.user, accounts: accounts)
  }

  /// Profiles of pods are files below `<dataDirectory>/seccomp`. Never run with less than was asked for.
  private func seccomp(_ security: ContainerSecurity) throws -> SeccompChoice {
    switch security.seccomp {
    case .runtimeDefault: return .runtimeDefault
    case .unconfined: return .unconfined
    case .file(let name):
      let root = services.configuration.dataDirectory.appending("seccomp")
      let parts = name.split(separator: "/")
      guard !name.hasPrefix("/"), !parts.isEmpty, !parts.contains("..") else {
        throw ContainerConfigError(
          reason: WaitingReason.createContainerError, "seccomp profile \"\(name)\": must be a relative path without '..'")
      }
      let path = root.pushing(FilePath(name))
      guard HostPathVolume.find(path.string) == .file else {
        throw ContainerConfigError(reason: WaitingReason.createContainerError, "cannot load seccomp profile \"\(path)\": no such file")
      }
      return .file(path)
    }
  }

  private func apply(_ security: ContainerSecurity, to spec: inout ContainerSpec) {
    spec.uid = security.user.uid
    spec.gid = security.user.gid
    spec.supplementalGroups = security.user.groups
    spec.capabilities = security.capabilities.sorted()
    spec.privileged = security.isPrivileged
    spec.noNewPrivileges = security.noNewPrivileges
    spec.readOnlyRootfs = security.readOnlyRoot
    spec.maskPaths = !security.isPrivileged && container.securityContext["procMount"].string != "Unmasked"
  }

  /// PATH, HOSTNAME and HOME are there even where neither the image nor the pod sets them.
  private func withDefaults(_ variables: [String], home: String, hostname: String) -> [String] {
    var result = variables
    func has(_ name: String) -> Bool { result.contains { $0.hasPrefix(name + "=") } }
    if !has("PATH") { result.insert("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", at: 0) }
    if !has("HOSTNAME") { result.append("HOSTNAME=\(hostname)") }
    if !has("HOME") { result.append("HOME=\(home)") }
    if container.tty, !has("TERM") { result.append("TERM=xterm") }
    return result
  }

  /// `command` replaces the image's entrypoint and its arguments, `args` only the arguments.
  private func argv(_ environment: [String]) throws -> [String] {
    var values: [String: String] = [:]
    for variable in environment {
      guard let equals = variable.firstIndex(of: "=") else { continue }
      values[String(variable[..<equals])] = String(variable[variable.index(after: equals)...])
    }
    let command = container.command.map { expandVariables($0) { values[$0] } }
    let args = container.args.map { expandVariables($0) { values[$0] } }
    let program = command.isEmpty ? image.config.entrypoint : command
    let rest = !args.isEmpty ? args : command.isEmpty ? image.config.command : []
    guard !(program + rest).isEmpty else {
      throw ContainerConfigError(
        reason: WaitingReason.createContainerError, "no command specified: the image has none, so the pod must name one")
    }
    return program + rest
  }

  /// 64 hexadecimal digits.
  static func newID() -> String {
    let digits = Array("0123456789abcdef".utf8)
    var random = SystemRandomNumberGenerator()
    var text: [UInt8] = []
    for _ in 0..<idBytes / 8 {
      var word = random.next()
      for _ in 0..<16 {
        text.append(digits[Int(word & 15)])
        word >>= 4
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}

/// Replaces `$(NAME)` by the variable's value; `$$` stands for `$`, and what is unknown stays as it is written.
func expandVariables(_ text: String, _ value: (String) -> String?) -> String {
  guard text.utf8.contains(UInt8(ascii: "$")) else { return text }
  var result = ""
  var rest = Substring(text)
  while let dollar = rest.firstIndex(of: "$") {
    result += rest[..<dollar]
    rest = rest[rest.index(after: dollar)...]
    if rest.first == "$" {
      result += "$"
      rest = rest.dropFirst()
    } else if rest.first == "(", let end = rest.firstIndex(of: ")") {
      let name = String(rest[rest.index(after: rest.startIndex)..<end])
      result += value(name) ?? "$(\(name))"
      rest = rest[rest.index(after: end)...]
    } else {
      result += "$"
    }
  }
  return result + rest
}

/// `repository@sha256:...` where the image was pulled, else its id.
func imageID(_ image: ImageRecord) -> String { image.repoDigests.first ?? image.id }
