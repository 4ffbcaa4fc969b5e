import JSONCodec
import KubernetesAPI

extension Findings {
  mutating func pod(_ pod: JSON, old: JSON?) {
    let path = FieldPath("spec")
    podSpec(pod["spec"], path)
    if !pod["spec"]["ephemeralContainers"].isEmpty, old == nil {
      forbidden(path / "ephemeralContainers", "cannot be set on create")
    }
    if let old { podUpdate(pod, old: old) }
  }

  /// The template of a workload.
  mutating func template(_ template: JSON, _ path: FieldPath, restartPolicies: [String]) {
    labels(template["metadata"]["labels"], path / "metadata" / "labels")
    annotations(template["metadata"]["annotations"], path / "metadata" / "annotations")
    podSpec(template["spec"], path / "spec")
    if !template["spec"]["ephemeralContainers"].isEmpty {
      forbidden(path / "spec" / "ephemeralContainers", "ephemeral containers not allowed in pod template")
    }
    let policy = template["spec"]["restartPolicy"]
    if let text = policy.string, !restartPolicies.contains(text), ["Always", "OnFailure", "Never"].contains(text) {
      notSupported(path / "spec" / "restartPolicy", policy, restartPolicies)
    }
  }

  mutating func podSpec(_ spec: JSON, _ path: FieldPath) {
    let volumes = self.volumes(spec["volumes"].items, path / "volumes")
    containers(spec, path, volumes: volumes)
    oneOf(spec["restartPolicy"], path / "restartPolicy", ["Always", "OnFailure", "Never"])
    podDNS(spec, path)
    range(spec["activeDeadlineSeconds"], path / "activeDeadlineSeconds", 1...2_147_483_647)
    notNegative(spec["terminationGracePeriodSeconds"], path / "terminationGracePeriodSeconds")
    for field in ["nodeName", "serviceAccountName", "priorityClassName", "runtimeClassName"] where !spec[field].isEmpty {
      check(spec[field], path / field, NameProblems.subdomain)
    }
    for field in ["hostname", "subdomain"] where !spec[field].isEmpty { check(spec[field], path / field, NameProblems.dnsLabel) }
    labels(spec["nodeSelector"], path / "nodeSelector")
    tolerations(spec["tolerations"].items, path / "tolerations")
    affinity(spec["affinity"], path / "affinity")
    topologySpread(spec["topologySpreadConstraints"].items, path / "topologySpreadConstraints")
    podSecurity(spec, path)
    for (i, alias) in spec["hostAliases"].items.enumerated() {
      address(alias["ip"], (path / "hostAliases")[i] / "ip")
      for name in alias["hostnames"].items {
        check(name, (path / "hostAliases")[i] / "hostnames", NameProblems.subdomain)
      }
    }
    for (i, gate) in spec["readinessGates"].items.enumerated() {
      check(gate["conditionType"], (path / "readinessGates")[i] / "conditionType", NameProblems.qualified)
    }
    var gates: Set<String> = []
    for (i, gate) in spec["schedulingGates"].items.enumerated() {
      check(gate["name"], (path / "schedulingGates")[i], NameProblems.qualified)
      if !gates.insert(gate["name"].string ?? "").inserted { duplicate((path / "schedulingGates")[i], gate["name"]) }
    }
    if !gates.isEmpty, !spec["nodeName"].isEmpty {
      forbidden(path / "nodeName", "cannot be set until all schedulingGates have been cleared")
    }
    if !spec["os"].isNull { oneOf(spec["os"]["name"], path / "os" / "name", ["linux", "windows"]) }
  }

  private mutating func podDNS(_ spec: JSON, _ path: FieldPath) {
    oneOf(spec["dnsPolicy"], path / "dnsPolicy", ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"])
    let servers = spec["dnsConfig"]["nameservers"].items
    let at = path / "dnsConfig" / "nameservers"
    if spec["dnsPolicy"] == "None" {
      if spec["dnsConfig"].isNull {
        required(path / "dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
      } else if servers.isEmpty {
        required(at, "must provide at least one DNS nameserver when `dnsPolicy` is None")
      }
    }
    if servers.count > 3 { invalid(at, .array(servers), "must not have more than 3 nameservers") }
    for (i, server) in servers.enumerated() { address(server, at[i]) }
    let searches = spec["dnsConfig"]["searches"].items
    if searches.count > 32 { invalid(path / "dnsConfig" / "searches", .array(searches), "must not have more than 32 search paths") }
    if searches.reduce(max(searches.count - 1, 0), { $0 + ($1.string?.utf8.count ?? 0) }) > 2048 {
      invalid(
        path / "dnsConfig" / "searches", .array(searches), "must not have more than 2048 characters (including spaces) in the search list")
    }
    for (i, option) in spec["dnsConfig"]["options"].items.enumerated() where option["name"].isEmpty {
      required((path / "dnsConfig" / "options")[i], "must not be empty")
    }
  }

  /// Parts of lower-case letters, digits, `-` and `_` that begin and end with a letter or digit, between dots or slashes.
  private static func isSysctlName(_ name: String) -> Bool {
    func isEdge(_ byte: UInt8) -> Bool { (97...122).contains(byte) || (48...57).contains(byte) }
    let parts = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
      .flatMap { $0.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) }
    return name.utf8.count <= 253
      && parts.allSatisfy { part in
        guard let first = part.first, let last = part.last, isEdge(first), isEdge(last) else { return false }
        return part.allSatisfy { isEdge($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
      }
  }

  private mutating func podSecurity(_ spec: JSON, _ path: FieldPath) {
    let context = spec["securityContext"]
    let at = path / "securityContext"
    for field in ["runAsUser", "runAsGroup", "fsGroup"] { range(context[field], at / field, 0...2_147_483_647) }
    for (i, group) in context["supplementalGroups"].items.enumerated() { range(group, (at / "supplementalGroups")[i], 0...2_147_483_647) }
    profile(context["seccompProfile"], at / "seccompProfile")
    profile(context["appArmorProfile"], at / "appArmorProfile")
    var sysctls: Set<String> = []
    for (i, sysctl) in context["sysctls"].items.enumerated() {
      let name = sysctl["name"].string ?? ""
      let field = (at / "sysctls")[i] / "name"
      if name.isEmpty {
        required(field)
      } else if !Self.isSysctlName(name) {
        invalid(
          field, sysctl["name"],
          "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$")
      } else if !sysctls.insert(name).inserted {
        duplicate(field, sysctl["name"])
      }
    }
    if spec["shareProcessNamespace"] == true, spec["hostPID"] == true {
      invalid(at / "shareProcessNamespace", true, "ShareProcessNamespace and HostPID cannot both be enabled")
    }
    if spec["hostUsers"] == false {
      for field in ["hostPID", "hostIPC"] where spec[field] == true { forbidden(path / field, "when `hostUsers` is false") }
    }
  }

  /// A seccomp or AppArmor profile: a local one, and only that, has a name.
  mutating func profile(_ profile: JSON, _ path: FieldPath) {
    guard !profile.isNull else { return }
    let types = ["Localhost", "RuntimeDefault", "Unconfined"]
    if profile["type"].isEmpty { return required(path / "type", "type is required when profile is set") }
    oneOf(profile["type"], path / "type", types)
    let isLocal = profile["type"] == "Localhost"
    if isLocal, profile["localhostProfile"].isEmpty {
      required(path / "localhostProfile", "must be set when type is Localhost")
    } else if isLocal {
      relativePath(profile["localhostProfile"], path / "localhostProfile")
    } else if !profile["localhostProfile"].isNull {
      invalid(path / "localhostProfile", profile["localhostProfile"], "may only be set when type is Localhost")
    }
  }
}
