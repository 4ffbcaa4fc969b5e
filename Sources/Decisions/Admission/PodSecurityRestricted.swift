import JSONCodec

/// The rules that the level restricted adds: today's good practice, at the cost of some programs that do not run under it.
extension PodSecurityCheck {
  static let restricted = [
    PodSecurityCheck(
      "allowPrivilegeEscalation", .restricted,
      [
        (8, privilegeEscalation), (25, { $0.isWindows ? nil : privilegeEscalation($0) }),
      ]),
    PodSecurityCheck(
      "capabilities_restricted", .restricted, overrides: "capabilities_baseline",
      [
        (22, droppedCapabilities), (25, { $0.isWindows ? nil : droppedCapabilities($0) }),
      ]),
    PodSecurityCheck("procMount_restricted", .restricted, overrides: "procMount", [(35, procMount)]),
    PodSecurityCheck("restrictedVolumes", .restricted, overrides: "hostPathVolumes", [(0, volumeTypes)]),
    PodSecurityCheck("runAsNonRoot", .restricted, [(0, nonRoot), (35, { $0.hasUserNamespace ? nil : nonRoot($0) })]),
    PodSecurityCheck("runAsUser", .restricted, [(23, rootUser), (35, { $0.hasUserNamespace ? nil : rootUser($0) })]),
    PodSecurityCheck(
      "seccompProfile_restricted", .restricted, overrides: "seccompProfile_baseline",
      [
        (19, seccompNeeded), (25, { $0.isWindows ? nil : seccompNeeded($0) }),
      ]),
  ]

  @Sendable private static func privilegeEscalation(_ pod: CheckedPod) -> PodSecurityViolation? {
    let names = pod.names { $0["securityContext"]["allowPrivilegeEscalation"] != false }
    guard !names.isEmpty else { return nil }
    return PodSecurityViolation(
      reason: "allowPrivilegeEscalation != false",
      detail: "\(Phrases.containers(names)) must set securityContext.allowPrivilegeEscalation=false")
  }

  @Sendable private static func droppedCapabilities(_ pod: CheckedPod) -> PodSecurityViolation? {
    var details: [String] = []
    let keeping = pod.names { !($0["securityContext"]["capabilities"]["drop"].array ?? []).contains("ALL") }
    if !keeping.isEmpty { details.append("\(Phrases.containers(keeping)) must set securityContext.capabilities.drop=[\"ALL\"]") }
    let (adding, capabilities) = added(pod, beyond: ["NET_BIND_SERVICE"])
    if !adding.isEmpty {
      details.append("\(Phrases.containers(adding)) must not include \(Phrases.quoted(capabilities)) in securityContext.capabilities.add")
    }
    return details.isEmpty
      ? nil : PodSecurityViolation(reason: "unrestricted capabilities", detail: details.joined(separator: "; "))
  }

  private static let freeVolumes: Set<String> = [
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
  ]

  @Sendable private static func volumeTypes(_ pod: CheckedPod) -> PodSecurityViolation? {
    var types: Set<String> = []
    let bad = (pod.spec["volumes"].array ?? []).filter { volume in
      let sources = (volume.object ?? JSONObject()).keys.filter { $0 != "name" }
      if sources.contains(where: freeVolumes.contains) { return false }
      types.insert(sources.first ?? "unknown")
      return true
    }
    guard !bad.isEmpty else { return nil }
    let names = bad.map { $0["name"].string ?? "" }
    let use = Phrases.plural("uses", "use", names.count)
    let what = Phrases.plural("restricted volume type", "restricted volume types", types.count)
    return PodSecurityViolation(
      reason: "restricted volume types",
      detail: "\(Phrases.plural("volume", "volumes", names.count)) \(Phrases.quoted(names)) \(use) \(what) \(Phrases.quoted(types))")
  }

  @Sendable private static func nonRoot(_ pod: CheckedPod) -> PodSecurityViolation? {
    let reason = "runAsNonRoot != true"
    let podValue = pod.spec["securityContext"]["runAsNonRoot"]
    let explicit = pod.names { $0["securityContext"]["runAsNonRoot"] == false }
    if let setters = Phrases.setters(pod: podValue == false, explicit) {
      return PodSecurityViolation(reason: reason, detail: "\(setters) must not set securityContext.runAsNonRoot=false")
    }
    guard podValue != true else { return nil }
    let silent = pod.names { $0["securityContext"]["runAsNonRoot"].isNull }
    return silent.isEmpty
      ? nil
      : PodSecurityViolation(
        reason: reason, detail: "pod or \(Phrases.containers(silent)) must set securityContext.runAsNonRoot=true")
  }

  @Sendable private static func rootUser(_ pod: CheckedPod) -> PodSecurityViolation? {
    let names = pod.names { $0["securityContext"]["runAsUser"] == 0 }
    guard let setters = Phrases.setters(pod: pod.spec["securityContext"]["runAsUser"] == 0, names) else { return nil }
    return PodSecurityViolation(reason: "runAsUser=0", detail: "\(setters) must not set runAsUser=0")
  }

  @Sendable private static func seccompNeeded(_ pod: CheckedPod) -> PodSecurityViolation? {
    if let violation = seccompProfile(pod) { return violation }
    guard pod.spec["securityContext"]["seccompProfile"].isNull else { return nil }
    let silent = pod.names { $0["securityContext"]["seccompProfile"].isNull }
    guard !silent.isEmpty else { return nil }
    return PodSecurityViolation(
      reason: "seccompProfile",
      detail: "pod or \(Phrases.containers(silent)) must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"")
  }
}
