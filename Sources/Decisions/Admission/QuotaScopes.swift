import JSONCodec
import KubernetesAPI

/// Which objects and which of its limits a quota is about.
enum QuotaScopes {
  /// `scopes` and `scopeSelector`, in one form.
  private static func selectors(of quota: JSON) -> [JSON] {
    let plain = (quota["spec"]["scopes"].array ?? []).map { scope -> JSON in ["scopeName": scope, "operator": "Exists"] }
    return plain + (quota["spec"]["scopeSelector"]["matchExpressions"].array ?? [])
  }

  /// Whether all scopes of a quota hold of an object. Scopes speak of pods, one of claims; a quota that has any is not
  /// about other kinds.
  static func match(_ quota: JSON, _ object: JSON, group: String, resource: String) -> Bool {
    selectors(of: quota).allSatisfy { selector in
      switch (group, resource) {
      case ("", "pods"): matches(selector, pod: object)
      case ("", "persistentvolumeclaims"): matches(selector, claim: object)
      default: false
      }
    }
  }

  private static func matches(_ selector: JSON, pod: JSON) -> Bool {
    let spec = pod["spec"]
    let isBestEffort = QOSClass(spec: PodSpec(spec)) == .bestEffort
    let isTerminating = (spec["activeDeadlineSeconds"].int ?? -1) >= 0
    switch selector["scopeName"].string {
    case "Terminating": return isTerminating
    case "NotTerminating": return !isTerminating
    case "BestEffort": return isBestEffort
    case "NotBestEffort": return !isBestEffort
    case "PriorityClass": return matches(selector, names: [spec["priorityClassName"].string ?? ""])
    case "CrossNamespacePodAffinity": return reachesOtherNamespaces(spec["affinity"])
    default: return false
    }
  }

  private static func matches(_ selector: JSON, claim: JSON) -> Bool {
    guard selector["scopeName"] == "VolumeAttributesClass" else { return false }
    let names = [
      claim["spec"]["volumeAttributesClassName"], claim["status"]["currentVolumeAttributesClassName"],
      claim["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ]
    let given = names.compactMap(\.string).filter { !$0.isEmpty }
    return matches(selector, names: given.isEmpty ? [""] : given)
  }

  /// The operators of `scopeSelector`; "" stands for no name. Several names match where one does.
  private static func matches(_ selector: JSON, names: [String]) -> Bool {
    let values = (selector["values"].array ?? []).compactMap(\.string)
    return names.contains { name in
      switch selector["operator"].string {
      case "Exists": !name.isEmpty
      case "DoesNotExist": name.isEmpty
      case "In": !name.isEmpty && values.contains(name)
      case "NotIn": name.isEmpty || !values.contains(name)
      default: false
      }
    }
  }

  private static func reachesOtherNamespaces(_ affinity: JSON) -> Bool {
    ["podAffinity", "podAntiAffinity"].map { affinity[$0] }.contains { side in
      let required = side["requiredDuringSchedulingIgnoredDuringExecution"].array ?? []
      let preferred = (side["preferredDuringSchedulingIgnoredDuringExecution"].array ?? []).map { $0["podAffinityTerm"] }
      return (required + preferred).contains { !$0["namespaces"].isEmpty || !$0["namespaceSelector"].isNull }
    }
  }

  private static let podLimits: Set<String> = [
    "pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu",
    "limits.memory", "limits.ephemeral-storage",
  ]

  /// Whether a limit counts objects of a resource.
  static func isAbout(_ limit: String, group: String, resource: String) -> Bool {
    if limit == QuotaUsage.count(group, resource) { return true }
    switch (group, resource) {
    case ("", "pods"):
      let isExtended = limit.hasPrefix("requests.") && !ResourceNames.isNative(limit)
      return podLimits.contains(limit) || limit.hasPrefix("hugepages-") || limit.hasPrefix("requests.hugepages-") || isExtended
    case ("", "services"): return ["services", "services.nodeports", "services.loadbalancers"].contains(limit)
    case ("", "persistentvolumeclaims"):
      let names = ["persistentvolumeclaims", "requests.storage"]
      return names.contains(limit) || names.contains { limit.hasSuffix(QuotaUsage.classSuffix + $0) }
    case ("resource.k8s.io", "resourceclaims"): return limit.hasSuffix(QuotaUsage.deviceSuffix)
    case ("", _): return limit == resource && QuotaUsage.plainlyCounted.contains(resource)
    default: return false
    }
  }
}
