import JSONCodec
import KubernetesAPI
import OCISpec
import PodLifecycle

/// What a container may do, resolved from its own security context, its pod's, and the image's user.
package struct ContainerSecurity: Sendable, Equatable {
  package var user = ContainerUser()
  package var capabilities: Set<String> = []
  package var isPrivileged = false
  package var noNewPrivileges = false
  package var readOnlyRoot = false
  package var seccomp = Seccomp.runtimeDefault

  package enum Seccomp: Sendable, Equatable {
    case runtimeDefault, unconfined
    /// A path below the node's folder of profiles.
    case file(String)
  }

  /// What a container gets without asking, as in CRI-O: nine of the kernel's 41.
  package static let defaultCapabilities: Set<String> = [
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL",
  ]
  /// capabilities(7), by number.
  package static let allCapabilities = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
  ]

  /// `add` and `drop` on top of the default set; a name may have the prefix CAP_.
  package static func capabilities(_ json: JSON) throws(ContainerConfigError) -> Set<String> {
    func names(_ key: String) throws(ContainerConfigError) -> [String] {
      var result: [String] = []
      for item in json[key].array ?? [] {
        var name = (item.string ?? "").uppercasedASCII
        if name.hasPrefix("CAP_") { name.removeFirst(4) }
        guard name == "ALL" || allCapabilities.contains(name) else {
          throw ContainerConfigError(reason: WaitingReason.createContainerError, "unknown capability \"CAP_\(name)\" to \(key)")
        }
        result.append(name)
      }
      return result
    }
    let add = try names("add")
    let drop = try names("drop")
    var result = add.contains("ALL") ? Set(allCapabilities) : defaultCapabilities
    if drop.contains("ALL") { result = [] }
    result.formUnion(add.filter { $0 != "ALL" })
    if add.contains("ALL") { result.formUnion(allCapabilities) }
    // What is dropped by name is gone even where everything was added.
    result.subtract(drop.filter { $0 != "ALL" })
    return result
  }

  /// Resolves it all; `accounts` are the image's own /etc/passwd and /etc/group.
  package init(pod: Pod, container: Container, imageUser: String, accounts: ImageAccounts) throws(ContainerConfigError) {
    let own = container.securityContext
    let shared = pod.spec.securityContext
    func setting(_ key: String) -> JSON { own[key].isNull ? shared[key] : own[key] }

    user = try ContainerUser(
      runAsUser: setting("runAsUser").int, runAsGroup: setting("runAsGroup").int, imageUser: imageUser, accounts: accounts)
    try Self.checkNonRoot(
      isDemanded: setting("runAsNonRoot").bool ?? false, runAsUser: setting("runAsUser").int, imageUser: imageUser, uid: user.uid,
      where: "(pod: \"\(pod.name)_\(pod.namespace)(\(pod.uid))\", container: \(container.name))")
    if shared["supplementalGroupsPolicy"].string == "Strict" { user.supplementalGroups = [] }
    user.add(groups: (shared["supplementalGroups"].array ?? []).compactMap(\.int))
    if let group = shared["fsGroup"].int { user.add(groups: [group]) }

    isPrivileged = own["privileged"].bool ?? false
    capabilities = isPrivileged ? Set(Self.allCapabilities) : try Self.capabilities(own["capabilities"])
    noNewPrivileges = own["allowPrivilegeEscalation"].bool == false && !isPrivileged
    readOnlyRoot = own["readOnlyRootFilesystem"].bool ?? false
    let profile = setting("seccompProfile")
    switch profile["type"].string {
    case _ where isPrivileged: seccomp = .unconfined
    case "Unconfined": seccomp = .unconfined
    case "Localhost":
      guard let file = profile["localhostProfile"].string, !file.isEmpty else {
        throw ContainerConfigError(
          reason: WaitingReason.createContainerError, "localhostProfile must be set if seccompProfile type is Localhost.")
      }
      seccomp = .file(file)
    default: seccomp = .runtimeDefault
    }
  }

  private static func checkNonRoot(
    isDemanded: Bool, runAsUser: Int?, imageUser: String, uid: UInt32, where place: String
  ) throws(ContainerConfigError) {
    guard isDemanded else { return }
    if let runAsUser {
      if runAsUser == 0 { throw ContainerConfigError("container's runAsUser breaks non-root policy \(place)") }
      return
    }
    let name = imageUser.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).first.map(String.init) ?? ""
    if name.isEmpty || Int(name) == 0 || uid == 0 {
      throw ContainerConfigError("container has runAsNonRoot and image will run as root \(place)")
    }
    if Int(name) == nil {
      throw ContainerConfigError(
        "container has runAsNonRoot and image has non-numeric user (\(name)), cannot verify user is non-root \(place)")
    }
  }
}

extension String {
  var uppercasedASCII: String {
    String(decoding: utf8.map { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) ? $0 - 32 : $0 }, as: UTF8.self)
  }
}
