import JSONCodec

/// The rules of the level baseline: no known way out of the container.
extension PodSecurityCheck {
  static let baseline = [
    PodSecurityCheck("appArmorProfile", .baseline, [(0, appArmorProfile)]),
    PodSecurityCheck("capabilities_baseline", .baseline, [(0, addedCapabilities)]),
    PodSecurityCheck("hostNamespaces", .baseline, [(0, hostNamespaces)]),
    PodSecurityCheck("hostPathVolumes", .baseline, [(0, hostPathVolumes)]),
    PodSecurityCheck("hostPorts", .baseline, [(0, hostPorts)]),
    PodSecurityCheck("hostProbesAndHostLifecycle", .baseline, [(34, handlerHosts)]),
    PodSecurityCheck("privileged", .baseline, [(0, privileged)]),
    PodSecurityCheck("procMount", .baseline, [(0, procMount), (35, { $0.hasUserNamespace ? nil : procMount($0) })]),
    PodSecurityCheck(
      "seLinuxOptions", .baseline,
      [
        (0, { seLinuxOptions($0, types: seLinuxTypes) }), (31, { seLinuxOptions($0, types: seLinuxTypes.union(["container_engine_t"])) }),
      ]),
    PodSecurityCheck("seccompProfile_baseline", .baseline, [(0, seccompAnnotations), (19, seccompProfile)]),
    PodSecurityCheck(
      "sysctls", .baseline,
      [
        (0, { sysctls($0, since: 0) }), (27, { sysctls($0, since: 27) }), (29, { sysctls($0, since: 29) }),
        (32, { sysctls($0, since: 32) }),
      ]),
    PodSecurityCheck("windowsHostProcess", .baseline, [(0, windowsHostProcess)]),
  ]

  @Sendable private static func appArmorProfile(_ pod: CheckedPod) -> PodSecurityViolation? {
    func isForbidden(_ context: JSON) -> Bool {
      let profile = context["appArmorProfile"]
      return !profile.isNull && profile["type"] != "RuntimeDefault" && profile["type"] != "Localhost"
    }
    var values = Set<String>()
    let podContext = pod.spec["securityContext"]
    if isForbidden(podContext) { values.insert(podContext["appArmorProfile"]["type"].string ?? "") }
    let containers = pod.containers.filter { isForbidden($0["securityContext"]) }
    for container in containers { values.insert(container["securityContext"]["appArmorProfile"]["type"].string ?? "") }
    var setters = Phrases.setters(pod: isForbidden(podContext), containers.map { $0["name"].string ?? "" }).map { [$0] } ?? []

    var annotations: [String] = []
    for (key, value) in pod.annotations.object ?? JSONObject() where key.hasPrefix("container.apparmor.security.beta.kubernetes.io/") {
      let text = value.string ?? ""
      if !text.isEmpty, text != "runtime/default", !text.hasPrefix("localhost/") { annotations.append("\(key)=\"\(text)\"") }
    }
    if !annotations.isEmpty { setters.append(Phrases.plural("annotation", "annotations", annotations.count)) }
    guard !setters.isEmpty else { return nil }
    let bad = values.sorted() + annotations.sorted()
    return PodSecurityViolation(
      reason: Phrases.plural("forbidden AppArmor profile", "forbidden AppArmor profiles", bad.count),
      detail: "\(setters.joined(separator: " and ")) must not set AppArmor profile type to \(Phrases.quoted(bad))")
  }

  private static let defaultCapabilities: Set<String> = [
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYS_CHROOT",
  ]

  /// Containers that add capabilities which are not in `allowed`, and which.
  static func added(_ pod: CheckedPod, beyond allowed: Set<String>) -> (containers: [String], capabilities: Set<String>) {
    var found: Set<String> = []
    let names = pod.names { container in
      let extra = (container["securityContext"]["capabilities"]["add"].array ?? []).compactMap(\.string).filter { !allowed.contains($0) }
      found.formUnion(extra)
      return !extra.isEmpty
    }
    return (names, found)
  }

  @Sendable private static func addedCapabilities(_ pod: CheckedPod) -> PodSecurityViolation? {
    let (names, capabilities) = added(pod, beyond: defaultCapabilities)
    guard !names.isEmpty else { return nil }
    return PodSecurityViolation(
      reason: "non-default capabilities",
      detail: "\(Phrases.containers(names)) must not include \(Phrases.quoted(capabilities)) in securityContext.capabilities.add")
  }

  @Sendable private static func hostNamespaces(_ pod: CheckedPod) -> PodSecurityViolation? {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].filter { pod.spec[$0] == true }.map { "\($0)=true" }
    return shared.isEmpty ? nil : PodSecurityViolation(reason: "host namespaces", detail: shared.joined(separator: ", "))
  }

  @Sendable private static func hostPathVolumes(_ pod: CheckedPod) -> PodSecurityViolation? {
    let names = (pod.spec["volumes"].array ?? []).filter { !$0["hostPath"].isNull }.map { $0["name"].string ?? "" }
    guard !names.isEmpty else { return nil }
    return PodSecurityViolation(
      reason: "hostPath volumes", detail: "\(Phrases.plural("volume", "volumes", names.count)) \(Phrases.quoted(names))")
  }

  @Sendable private static func hostPorts(_ pod: CheckedPod) -> PodSecurityViolation? {
    var ports: Set<String> = []
    let names = pod.names { container in
      let own = (container["ports"].array ?? []).compactMap { $0["hostPort"].int }.filter { $0 != 0 }.map(String.init)
      ports.formUnion(own)
      return !own.isEmpty
    }
    guard !names.isEmpty else { return nil }
    let uses = Phrases.plural("uses", "use", names.count)
    let what = Phrases.plural("hostPort", "hostPorts", ports.count)
    return PodSecurityViolation(
      reason: "hostPort", detail: "\(Phrases.containers(names)) \(uses) \(what) \(ports.sorted().joined(separator: ", "))")
  }

  /// The kubelet would send the request of a probe or a hook to whatever host it names.
  @Sendable private static func handlerHosts(_ pod: CheckedPod) -> PodSecurityViolation? {
    var hosts: Set<String> = []
    let names = pod.names { container in
      let handlers =
        ["livenessProbe", "readinessProbe", "startupProbe"].map { container[$0] }
        + ["postStart", "preStop"].map { container["lifecycle"][$0] }
      let own = handlers.flatMap { [$0["httpGet"]["host"], $0["tcpSocket"]["host"]] }.compactMap(\.string).filter { !$0.isEmpty }
      hosts.formUnion(own)
      return !own.isEmpty
    }
    guard !names.isEmpty else { return nil }
    let unique = Array(Set(names)).sorted()
    let what = Phrases.plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.count)
    return PodSecurityViolation(
      reason: "probe or lifecycle host",
      detail: "\(Phrases.containers(unique)) \(Phrases.plural("uses", "use", unique.count)) \(what) \(Phrases.quoted(hosts))")
  }

  @Sendable private static func privileged(_ pod: CheckedPod) -> PodSecurityViolation? {
    let names = pod.names { $0["securityContext"]["privileged"] == true }
    return names.isEmpty
      ? nil
      : PodSecurityViolation(reason: "privileged", detail: "\(Phrases.containers(names)) must not set securityContext.privileged=true")
  }

  @Sendable static func procMount(_ pod: CheckedPod) -> PodSecurityViolation? {
    var types: Set<String> = []
    let names = pod.names { container in
      guard let type = container["securityContext"]["procMount"].string, type != "Default" else { return false }
      types.insert(type)
      return true
    }
    guard !names.isEmpty else { return nil }
    return PodSecurityViolation(
      reason: "procMount", detail: "\(Phrases.containers(names)) must not set securityContext.procMount to \(Phrases.quoted(types))")
  }

  private static let seLinuxTypes: Set<String> = ["", "container_t", "container_init_t", "container_kvm_t"]

  private static func seLinuxOptions(_ pod: CheckedPod, types allowed: Set<String>) -> PodSecurityViolation? {
    var types: Set<String> = []
    var setsUser = false
    var setsRole = false
    func isForbidden(_ options: JSON) -> Bool {
      let type = options["type"].string ?? ""
      if !allowed.contains(type) { types.insert(type) }
      let (user, role) = (!options["user"].isEmpty, !options["role"].isEmpty)
      setsUser = setsUser || user
      setsRole = setsRole || role
      return !allowed.contains(type) || user || role
    }
    let isPodForbidden = isForbidden(pod.spec["securityContext"]["seLinuxOptions"])
    let names = pod.names { isForbidden($0["securityContext"]["seLinuxOptions"]) }
    guard let setters = Phrases.setters(pod: isPodForbidden, names) else { return nil }
    var bad: [String] = []
    if !types.isEmpty { bad.append("\(Phrases.plural("type", "types", types.count)) \(Phrases.quoted(types))") }
    if setsUser { bad.append("user may not be set") }
    if setsRole { bad.append("role may not be set") }
    return PodSecurityViolation(
      reason: "seLinuxOptions",
      detail: "\(setters) set forbidden securityContext.seLinuxOptions: \(bad.joined(separator: "; "))")
  }

  /// Before 1.19 profiles stood in annotations.
  @Sendable private static func seccompAnnotations(_ pod: CheckedPod) -> PodSecurityViolation? {
    let keys =
      ["seccomp.security.alpha.kubernetes.io/pod"]
      + pod.containers.map { "container.seccomp.security.alpha.kubernetes.io/\($0["name"].string ?? "")" }
    let bad = Set(
      keys.compactMap { key -> String? in
        guard let value = pod.annotations[key].string else { return nil }
        if value == "runtime/default" || value == "docker/default" || value.hasPrefix("localhost/") { return nil }
        return "\(key)=\"\(value)\""
      })
    guard !bad.isEmpty else { return nil }
    let what = Phrases.plural("annotation", "annotations", bad.count)
    return PodSecurityViolation(reason: "seccompProfile", detail: "forbidden \(what) \(bad.sorted().joined(separator: ", "))")
  }

  static func isGoodSeccomp(_ type: JSON) -> Bool { type == "RuntimeDefault" || type == "Localhost" }

  @Sendable static func seccompProfile(_ pod: CheckedPod) -> PodSecurityViolation? {
    var types: Set<String> = []
    func isForbidden(_ context: JSON) -> Bool {
      let profile = context["seccompProfile"]
      guard !profile.isNull, !isGoodSeccomp(profile["type"]) else { return false }
      types.insert(profile["type"].string ?? "")
      return true
    }
    let isPodForbidden = isForbidden(pod.spec["securityContext"])
    let names = pod.names { isForbidden($0["securityContext"]) }
    guard let setters = Phrases.setters(pod: isPodForbidden, names) else { return nil }
    return PodSecurityViolation(
      reason: "seccompProfile", detail: "\(setters) must not set securityContext.seccompProfile.type to \(Phrases.quoted(types))")
  }

  /// Safe sysctls and the release that first let them pass.
  private static let safeSysctls: [String: Int] = [
    "kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.tcp_syncookies": 0, "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0, "net.ipv4.ip_local_reserved_ports": 27, "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29, "net.ipv4.tcp_keepalive_intvl": 29, "net.ipv4.tcp_keepalive_probes": 29, "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
  ]

  private static func sysctls(_ pod: CheckedPod, since minor: Int) -> PodSecurityViolation? {
    let names = (pod.spec["securityContext"]["sysctls"].array ?? []).map { $0["name"].string ?? "" }
    let bad = names.filter { (safeSysctls[$0] ?? .max) > minor }
    return bad.isEmpty ? nil : PodSecurityViolation(reason: "forbidden sysctls", detail: bad.joined(separator: ", "))
  }

  @Sendable private static func windowsHostProcess(_ pod: CheckedPod) -> PodSecurityViolation? {
    func isHostProcess(_ context: JSON) -> Bool { context["windowsOptions"]["hostProcess"] == true }
    let names = pod.names { isHostProcess($0["securityContext"]) }
    guard let setters = Phrases.setters(pod: isHostProcess(pod.spec["securityContext"]), names) else { return nil }
    return PodSecurityViolation(
      reason: "hostProcess", detail: "\(setters) must not set securityContext.windowsOptions.hostProcess=true")
  }
}
