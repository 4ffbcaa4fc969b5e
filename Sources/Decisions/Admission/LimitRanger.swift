import JSONCodec
import KubernetesAPI

/// LimitRange objects: defaults for what containers leave out, and bounds on what pods and claims ask for.
enum LimitRanger {
  static let annotation = "kubernetes.io/limit-ranger"

  static func facts(_ attributes: AdmissionAttributes) -> Set<AdmissionFact> {
    guard let namespace = attributes.namespace, isPod(attributes) || isClaim(attributes) else { return [] }
    return [.limitRanges(namespace: namespace)]
  }

  /// Containers cannot be added to a pod later, so its updates are not looked at.
  private static func isPod(_ attributes: AdmissionAttributes) -> Bool { attributes.creates("pods") }
  private static func isClaim(_ attributes: AdmissionAttributes) -> Bool {
    attributes.creates("persistentvolumeclaims") || attributes.updates("persistentvolumeclaims")
  }

  private static func ranges(_ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) -> [JSON] {
    attributes.namespace.map { cluster.objects(.limitRanges(namespace: $0)) } ?? []
  }

  // MARK: defaults

  static func mutate(_ pod: inout JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) {
    guard isPod(attributes) else { return }
    for range in ranges(attributes, cluster) {
      var defaults: (requests: JSON, limits: JSON) = (.null, .null)
      for item in range["spec"]["limits"].array ?? [] where item["type"] == "Container" {
        for (name, value) in item["defaultRequest"].object ?? JSONObject() { defaults.requests[name] = value }
        for (name, value) in item["default"].object ?? JSONObject() { defaults.limits[name] = value }
      }
      guard !defaults.requests.isEmpty || !defaults.limits.isEmpty else { continue }
      var notes: [String] = []
      for (list, role) in [("containers", "container"), ("initContainers", "init container")] {
        guard var containers = pod["spec"][list].array else { continue }
        for i in containers.indices {
          let added = [
            fill(&containers[i], "requests", defaults.requests).map { "\($0) request" },
            fill(&containers[i], "limits", defaults.limits).map { "\($0) limit" },
          ]
          notes += added.compactMap { $0 }.map { "\($0) for \(role) \(containers[i]["name"].string ?? "")" }
        }
        pod["spec"][list] = .array(containers)
      }
      if !notes.isEmpty {
        pod["metadata"]["annotations"][annotation] = .string("LimitRanger plugin set: " + notes.joined(separator: "; "))
      }
    }
  }

  /// Adds what is missing; the names that it added, sorted.
  private static func fill(_ container: inout JSON, _ list: String, _ defaults: JSON) -> String? {
    var added: [String] = []
    for (name, value) in defaults.object ?? JSONObject() where container["resources"][list][name].isNull {
      container["resources"][list][name] = value
      added.append(name)
    }
    return added.isEmpty ? nil : added.sorted().joined(separator: ", ")
  }

  // MARK: bounds

  static func validate(_ object: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    guard isPod(attributes) || isClaim(attributes) else { return }
    for range in ranges(attributes, cluster) {
      var problems: [String] = []
      for item in range["spec"]["limits"].array ?? [] {
        let type = item["type"].string ?? ""
        switch (type, isPod(attributes)) {
        case ("Container", true):
          for container in (object["spec"]["containers"].array ?? []) + (object["spec"]["initContainers"].array ?? []) {
            let resources = container["resources"]
            problems += check(item, ResourceAmounts(resources["requests"]), ResourceAmounts(resources["limits"]))
          }
        case ("Pod", true): problems += check(item, PodResources.requests(of: object), PodResources.limits(of: object))
        case ("PersistentVolumeClaim", false):
          let requests = ResourceAmounts(object["spec"]["resources"]["requests"])
          problems += amounts(item["min"]).compactMap { minimum($0.name, $0.amount, type, requests, ResourceAmounts()) }
          problems += amounts(item["max"]).compactMap { maximumRequest($0.name, $0.amount, type, requests) }
        default: break
        }
      }
      guard !problems.isEmpty else { continue }
      throw .forbidden(object, attributes, aggregate(problems))
    }
  }

  /// One problem as it is; several in brackets, each once.
  private static func aggregate(_ problems: [String]) -> String {
    var seen: Set<String> = []
    let unique = problems.filter { seen.insert($0).inserted }
    return unique.count == 1 ? unique[0] : "[\(unique.joined(separator: ", "))]"
  }

  private static func amounts(_ list: JSON) -> [(name: String, amount: Quantity)] {
    (list.object ?? JSONObject()).compactMap { name, value in value.quantity.map { (name, $0) } }
  }

  private static func check(_ item: JSON, _ requests: ResourceAmounts, _ limits: ResourceAmounts) -> [String] {
    let type = item["type"].string ?? ""
    return amounts(item["min"]).compactMap { minimum($0.name, $0.amount, type, requests, limits) }
      + amounts(item["max"]).compactMap { maximum($0.name, $0.amount, type, requests, limits) }
      + amounts(item["maxLimitRequestRatio"]).compactMap { ratio($0.name, $0.amount, type, requests, limits) }
  }

  private static func minimum(
    _ name: String, _ bound: Quantity, _ type: String, _ requests: ResourceAmounts, _ limits: ResourceAmounts
  ) -> String? {
    let head = "minimum \(name) usage per \(type) is \(bound.text)"
    guard let request = requests[name] else { return "\(head).  No request is specified" }
    if request < bound { return "\(head), but request is \(request.text)" }
    if let limit = limits[name], limit < bound { return "\(head), but limit is \(limit.text)" }
    return nil
  }

  private static func maximum(
    _ name: String, _ bound: Quantity, _ type: String, _ requests: ResourceAmounts, _ limits: ResourceAmounts
  ) -> String? {
    let head = "maximum \(name) usage per \(type) is \(bound.text)"
    guard let limit = limits[name] else { return "\(head).  No limit is specified" }
    if bound < limit { return "\(head), but limit is \(limit.text)" }
    if let request = requests[name], bound < request { return "\(head), but request is \(request.text)" }
    return nil
  }

  /// For claims, which have no limits.
  private static func maximumRequest(_ name: String, _ bound: Quantity, _ type: String, _ requests: ResourceAmounts) -> String? {
    let head = "maximum \(name) usage per \(type) is \(bound.text)"
    guard let request = requests[name] else { return "\(head).  No request is specified" }
    return bound < request ? "\(head), but request is \(request.text)" : nil
  }

  private static func ratio(
    _ name: String, _ bound: Quantity, _ type: String, _ requests: ResourceAmounts, _ limits: ResourceAmounts
  ) -> String? {
    let head = "\(name) max limit to request ratio per \(type) is \(bound.text)"
    guard let request = requests[name], request.nanoValue != 0 else { return "\(head), but no request is specified or request is 0" }
    guard let limit = limits[name], limit.nanoValue != 0 else { return "\(head), but no limit is specified or limit is 0" }
    let observed = Double(limit.nanoValue) / Double(request.nanoValue)
    guard observed > Double(bound.nanoValue) / 1e9 else { return nil }
    return "\(head), but provided ratio is \(sixDecimals(observed))"
  }

  /// As C's `%f`.
  private static func sixDecimals(_ value: Double) -> String {
    let scaled = Int128((value * 1e6).rounded())
    let fraction = String(scaled % 1_000_000)
    return "\(scaled / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
  }
}
