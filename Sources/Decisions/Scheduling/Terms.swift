import JSONCodec
import KubernetesAPI

/// Labels of a node, a pod or a namespace.
package typealias Labels = [String: String]

extension JSON {
  /// The fields that are text, as in `metadata.labels`.
  var labels: Labels {
    guard let object else { return [:] }
    var result = Labels(minimumCapacity: object.count)
    for (key, value) in object { if let text = value.string { result[key] = text } }
    return result
  }

  var items: [JSON] { array ?? [] }
  var texts: [String] { items.compactMap(\.string) }
}

/// One condition on labels, or on a node's name.
struct Requirement: Hashable, Sendable {
  enum Operator: Hashable, Sendable { case isIn, notIn, exists, doesNotExist, greater, less, never }
  let key: String
  let test: Operator
  let values: [String]
  let bound: Int64

  init(key: String, isIn values: [String]) {
    self.key = key
    test = .isIn
    self.values = values
    bound = 0
  }

  init(key: String, notIn values: [String]) {
    self.key = key
    test = .notIn
    self.values = values
    bound = 0
  }

  /// Of a match expression; what cannot be read is never fulfilled.
  init(_ expression: JSON) {
    key = expression["key"].string ?? ""
    values = expression["values"].texts
    let number = values.count == 1 ? Int64(values[0]) : nil
    bound = number ?? 0
    test =
      switch expression["operator"].string {
      case "In": .isIn
      case "NotIn": .notIn
      case "Exists": .exists
      case "DoesNotExist": .doesNotExist
      case "Gt" where number != nil: .greater
      case "Lt" where number != nil: .less
      default: .never
      }
  }

  /// `NotIn` holds also where the key is missing.
  func holds(_ value: String?) -> Bool {
    switch test {
    case .isIn: value.map(values.contains) ?? false
    case .notIn: !(value.map(values.contains) ?? false)
    case .exists: value != nil
    case .doesNotExist: value == nil
    case .greater: value.flatMap { Int64($0) }.map { $0 > bound } ?? false
    case .less: value.flatMap { Int64($0) }.map { $0 < bound } ?? false
    case .never: false
    }
  }
}

/// A metav1.LabelSelector. Without requirements it selects everything; a missing one (nil where it is optional) selects nothing.
struct Selector: Hashable, Sendable {
  var requirements: [Requirement]

  init(_ requirements: [Requirement]) { self.requirements = requirements }

  /// Nil where there is none.
  init?(_ json: JSON) {
    guard let object = json.object else { return nil }
    requirements = []
    for (key, value) in (object["matchLabels"] ?? .null).labels.sorted(by: { $0.key < $1.key }) {
      requirements.append(Requirement(key: key, isIn: [value]))
    }
    for expression in (object["matchExpressions"] ?? .null).items { requirements.append(Requirement(expression)) }
  }

  /// `app=web` as in a Service's selector.
  init(equal labels: Labels) {
    requirements = labels.sorted { $0.key < $1.key }.map { Requirement(key: $0.key, isIn: [$0.value]) }
  }

  func matches(_ labels: Labels) -> Bool { requirements.allSatisfy { $0.holds(labels[$0.key]) } }

  /// Adds what matchLabelKeys mean for a pod; the API server may have done so already.
  mutating func require(_ keys: [String], of labels: Labels, equal: Bool = true) {
    for key in keys {
      guard let value = labels[key] else { continue }
      let requirement = equal ? Requirement(key: key, isIn: [value]) : Requirement(key: key, notIn: [value])
      if !requirements.contains(requirement) { requirements.append(requirement) }
    }
  }
}

/// A term of a node selector: all its conditions on labels and on the node's name.
struct NodeTerm: Hashable, Sendable {
  var labels: [Requirement]
  var fields: [Requirement]

  init(_ json: JSON) {
    labels = json["matchExpressions"].items.map(Requirement.init)
    fields = json["matchFields"].items.map(Requirement.init)
  }

  init(labels: [Requirement]) {
    self.labels = labels
    fields = []
  }

  /// A term without conditions matches nothing.
  func matches(_ node: NodeFacts) -> Bool {
    if labels.isEmpty && fields.isEmpty { return false }
    return labels.allSatisfy { $0.holds(node.labels[$0.key]) }
      && fields.allSatisfy { $0.holds($0.key == "metadata.name" ? node.name : nil) }
  }

  static func any(_ terms: [NodeTerm], match node: NodeFacts) -> Bool { terms.contains { $0.matches(node) } }
}

/// Which pods a term of affinity or a constraint means.
struct PodMatcher: Hashable, Sendable {
  /// Sorted.
  let namespaces: [String]
  let namespaceSelector: Selector?
  let selector: Selector?

  func matches(_ labels: Labels, namespace: String, namespaceLabels: (String) -> Labels) -> Bool {
    guard let selector else { return false }
    let isMeant = namespaces.contains(namespace) || namespaceSelector.map { $0.matches(namespaceLabels(namespace)) } ?? false
    return isMeant && selector.matches(labels)
  }
}

/// A term of inter-pod affinity.
struct AffinityTerm: Hashable, Sendable {
  let matcher: PodMatcher
  let topologyKey: String

  /// `namespace` and `labels` are those of the pod that has the term.
  init(_ json: JSON, namespace: String, labels: Labels) {
    let named = json["namespaces"].texts
    let byLabels = Selector(json["namespaceSelector"])
    var selector = Selector(json["labelSelector"])
    selector?.require(json["matchLabelKeys"].texts, of: labels)
    selector?.require(json["mismatchLabelKeys"].texts, of: labels, equal: false)
    matcher = PodMatcher(
      namespaces: named.isEmpty && byLabels == nil ? [namespace] : named.sorted(), namespaceSelector: byLabels, selector: selector)
    topologyKey = json["topologyKey"].string ?? ""
  }
}

/// A pod's constraint on how evenly pods lie over a topology.
struct SpreadConstraint: Hashable, Sendable {
  var maxSkew: Int
  var topologyKey: String
  /// DoNotSchedule; else it only counts for scores.
  var isHard: Bool
  var matcher: PodMatcher
  var minDomains: Int
  var honorsAffinity: Bool
  var honorsTaints: Bool

  init(_ json: JSON, namespace: String, labels: Labels) {
    maxSkew = json["maxSkew"].int ?? 1
    topologyKey = json["topologyKey"].string ?? ""
    isHard = json["whenUnsatisfiable"].string != "ScheduleAnyway"
    minDomains = json["minDomains"].int ?? 1
    honorsAffinity = json["nodeAffinityPolicy"].string != "Ignore"
    honorsTaints = json["nodeTaintsPolicy"].string == "Honor"
    var selector = Selector(json["labelSelector"])
    selector?.require(json["matchLabelKeys"].texts, of: labels)
    matcher = PodMatcher(namespaces: [namespace], namespaceSelector: nil, selector: selector)
  }

  /// A default constraint, for the pods that `selector` selects.
  init(_ base: SpreadConstraint, namespace: String, selector: Selector) {
    self = base
    matcher = PodMatcher(namespaces: [namespace], namespaceSelector: nil, selector: selector)
  }

  static let hostname = "kubernetes.io/hostname"
  static let zone = "topology.kubernetes.io/zone"

  /// An empty selector counts no pods (though it matches the pod itself), as upstream has it.
  var countsPods: Bool { !(matcher.selector?.requirements.isEmpty ?? true) }
}

struct Toleration: Hashable, Sendable {
  let key: String
  let exists: Bool
  let value: String
  /// Empty: any.
  let effect: String

  init(_ json: JSON) {
    key = json["key"].string ?? ""
    exists = json["operator"].string == "Exists"
    value = json["value"].string ?? ""
    effect = json["effect"].string ?? ""
  }

  func tolerates(_ taint: Taint) -> Bool {
    guard effect.isEmpty || effect == taint.effect else { return false }
    if key.isEmpty { return exists }
    return key == taint.key && (exists || value == taint.value)
  }
}

struct Taint: Hashable, Sendable {
  let key: String
  let value: String
  let effect: String

  init(_ json: JSON) {
    key = json["key"].string ?? ""
    value = json["value"].string ?? ""
    effect = json["effect"].string ?? ""
  }

  init(key: String, effect: String) {
    self.key = key
    value = ""
    self.effect = effect
  }

  static let unschedulable = Taint(key: "node.kubernetes.io/unschedulable", effect: "NoSchedule")

  /// Keeps pods away that do not tolerate it.
  var isHard: Bool { effect == "NoSchedule" || effect == "NoExecute" }
}

/// A port of the host that a pod wants.
struct HostPort: Hashable, Sendable {
  let transport: String
  let address: String
  let port: Int

  static let anyAddress = "0.0.0.0"

  /// The ports of the containers that run as long as the pod.
  static func of(_ spec: JSON) -> [HostPort] {
    var result: [HostPort] = []
    func take(_ container: JSON) {
      for port in container["ports"].items {
        guard let number = port["hostPort"].int, number > 0 else { continue }
        let address = port["hostIP"].string ?? ""
        result.append(
          HostPort(transport: port["protocol"].string ?? "TCP", address: address.isEmpty ? anyAddress : address, port: number))
      }
    }
    for container in spec["containers"].items { take(container) }
    for container in spec["initContainers"].items where container["restartPolicy"].string == "Always" { take(container) }
    return result
  }

  /// Two wishes clash where protocol and number are the same and the addresses are equal or one is any address.
  func clashes(with other: HostPort) -> Bool {
    port == other.port && transport == other.transport
      && (address == other.address || address == Self.anyAddress || other.address == Self.anyAddress)
  }
}
