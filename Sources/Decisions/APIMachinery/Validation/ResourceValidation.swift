import JSONCodec
import KubernetesAPI

extension Findings {
  /// `resources` of a container: names, amounts, and that nothing is requested beyond its limit.
  mutating func resources(_ resources: JSON, _ path: FieldPath, claims: Set<String>) {
    guard resources.object != nil else { return }
    for kind in ["limits", "requests"] {
      for (name, amount) in resources[kind].object ?? JSONObject() {
        let at = (path / kind)[key: name]
        resourceName(name, at)
        quantity(amount, at)
        if Self.needsWholeNumbers(name), let value = amount.string.flatMap({ Quantity($0) }), value.milliValue % 1000 != 0 {
          invalid(at, amount, "must be an integer")
        }
      }
    }
    requestsWithinLimits(resources, path)
    for (i, claim) in resources["claims"].items.enumerated() where !claims.contains(claim["name"].string ?? "") {
      notFound((path / "claims")[i] / "name", claim["name"])
    }
  }

  private mutating func requestsWithinLimits(_ resources: JSON, _ path: FieldPath) {
    let limits = resources["limits"]
    for (name, amount) in resources["requests"].object ?? JSONObject() {
      guard let request = amount.string.flatMap({ Quantity($0) }) else { continue }
      let at = path / "requests"
      guard let limit = limits[name].string.flatMap({ Quantity($0) }) else {
        if Self.isOvercommitForbidden(name) { required(path / "limits", "Limit must be set for non overcommitable resources") }
        continue
      }
      if Self.isOvercommitForbidden(name) {
        if request != limit { invalid(at, amount, "must be equal to \(name) limit of \(limit.text)") }
      } else if limit < request {
        invalid(at, amount, "must be less than or equal to \(name) limit of \(limit.text)")
      }
    }
    let names = ["limits", "requests"].flatMap { (resources[$0].object ?? JSONObject()).keys }
    if names.contains(where: { $0.hasPrefix("hugepages-") }), !names.contains("cpu"), !names.contains("memory") {
      forbidden(path, "HugePages require cpu or memory")
    }
  }

  private static func isStandard(_ name: String) -> Bool {
    ["cpu", "memory", "ephemeral-storage"].contains(name) || name.hasPrefix("hugepages-")
  }
  private static func isExtended(_ name: String) -> Bool { name.contains("/") && !name.hasPrefix("kubernetes.io/") }
  private static func isOvercommitForbidden(_ name: String) -> Bool { isExtended(name) || name.hasPrefix("hugepages-") }
  private static func needsWholeNumbers(_ name: String) -> Bool { isExtended(name) }

  private mutating func resourceName(_ name: String, _ path: FieldPath) {
    for problem in NameProblems.qualified(name) { invalid(path, .string(name), problem) }
    if !name.contains("/"), !Self.isStandard(name) { invalid(path, .string(name), "must be a standard resource for containers") }
  }

  mutating func quantity(_ amount: JSON, _ path: FieldPath) {
    if let value = amount.string.flatMap({ Quantity($0) }), value.nanoValue < 0 {
      invalid(path, amount, "must be greater than or equal to 0")
    }
  }

  mutating func resourceQuota(_ quota: JSON, old: JSON?) {
    for field in ["hard"] {
      for (name, amount) in quota["spec"][field].object ?? JSONObject() {
        let at = (FieldPath("spec") / field)[key: name]
        for problem in NameProblems.qualified(name) { invalid(at, .string(name), problem) }
        quantity(amount, at)
        let counts = [
          "pods", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "resourcequotas",
          "services.nodeports", "services.loadbalancers",
        ]
        if name.hasPrefix("count/") || counts.contains(name), let value = amount.string.flatMap({ Quantity($0) }),
          value.milliValue % 1000 != 0
        {
          invalid(at, amount, "must be an integer")
        }
      }
    }
    let scopes = quota["spec"]["scopes"].items.compactMap(\.string)
    for (a, b) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] where scopes.contains(a) && scopes.contains(b) {
      invalid(FieldPath("spec.scopes"), quota["spec"]["scopes"], "conflicting scopes")
    }
    if let old, Set(scopes) != Set(old["spec"]["scopes"].items.compactMap(\.string)) {
      invalid(FieldPath("spec.scopes"), quota["spec"]["scopes"], "field is immutable")
    }
  }

  mutating func limitRange(_ range: JSON) {
    var types: Set<String> = []
    for (i, item) in range["spec"]["limits"].items.enumerated() {
      let path = FieldPath("spec.limits")[i]
      if !types.insert(item["type"].string ?? "").inserted { duplicate(path / "type", item["type"]) }
      if item["type"] == "Pod" {
        for field in ["default", "defaultRequest"] where !item[field].isEmpty {
          forbidden(path / field, "may not be specified when `type` is 'Pod'")
        }
      }
      let names = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"].flatMap { (item[$0].object ?? JSONObject()).keys }
      for name in Set(names).sorted() { limits(item, name, path) }
    }
  }

  private mutating func limits(_ item: JSON, _ name: String, _ path: FieldPath) {
    func amount(_ field: String) -> Quantity? { item[field][name].string.flatMap { Quantity($0) } }
    /// Pairs of fields of which the first may not be above the second.
    let order = [
      ("min", "max"), ("defaultRequest", "max"), ("default", "max"), ("min", "defaultRequest"), ("min", "default"),
      ("defaultRequest", "default"),
    ]
    for (low, high) in order {
      guard let a = amount(low), let b = amount(high), b < a else { continue }
      let label = ["defaultRequest": "default request", "default": "default"]
      // What is named is the default where there is one, else the minimum.
      let field = low == "min" && label[high] != nil ? high : low
      invalid(
        (path / field)[key: name], item[field][name],
        "\(label[low] ?? low) value \(a.text) is greater than \(label[high] ?? high) value \(b.text)")
    }
    if let ratio = amount("maxLimitRequestRatio"), ratio < Quantity(1) {
      invalid((path / "maxLimitRequestRatio")[key: name], item["maxLimitRequestRatio"][name], "ratio \(ratio.text) is less than 1")
    }
  }
}
