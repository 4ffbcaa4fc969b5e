import JSONCodec
import KubernetesAPI
import NFTables
import ServiceRules

/// What the rules need of a NetworkPolicy (networking.k8s.io/v1).
package struct PolicyFacts: Hashable, Sendable {
  /// As the pod that the policy selects sees it.
  package enum Direction: String, CaseIterable, Sendable {
    case ingress, egress

    /// The field of a rule that names the other side.
    var peersField: String { self == .ingress ? "from" : "to" }
  }

  /// What is allowed: packets that fit one of the peers and one of the ports.
  package struct Rule: Hashable, Sendable {
    /// Nil: everybody.
    package let peers: Peers?
    /// Nil: every port of every protocol.
    package let ports: [Port]?
  }

  package struct Peers: Hashable, Sendable {
    package let pods: [PodSelection]
    package let blocks: [Block]
  }

  package struct Block: Hashable, Sendable {
    package let range: IPPrefix
    package let except: [IPPrefix]
  }

  package enum Port: Hashable, Sendable {
    case numbers(TransportProtocol, ClosedRange<UInt16>)
    /// A port of the pod that is called, by the name that its container gives it.
    case named(TransportProtocol, String)
  }

  package let name: ObjectName
  package let pods: LabelSelector
  /// A direction that is missing here is not the policy's business; one without rules allows nothing.
  package let rules: [Direction: [Rule]]

  /// Nil: an object without a name.
  package init?(_ json: JSON) {
    guard let name = json["metadata"]["name"].string, let namespace = json["metadata"]["namespace"].string else { return nil }
    self.name = ObjectName(namespace, name)
    let spec = json["spec"]
    // A selector that cannot be read protects everything rather than nothing.
    pods = LabelSelector(json: spec["podSelector"]) ?? .everything
    var rules: [Direction: [Rule]] = [:]
    for direction in Self.directions(spec) {
      rules[direction] = (spec[direction.rawValue].array ?? []).map { Rule($0, direction, namespace: namespace) }
    }
    self.rules = rules
  }

  private static func directions(_ spec: JSON) -> [Direction] {
    guard let types = spec["policyTypes"].array, !types.isEmpty else {
      return spec["egress"].array?.isEmpty == false ? [.ingress, .egress] : [.ingress]
    }
    return Direction.allCases.filter { direction in types.contains { $0.string?.lowercased() == direction.rawValue } }
  }
}

extension PolicyFacts.Rule {
  fileprivate init(_ json: JSON, _ direction: PolicyFacts.Direction, namespace: String) {
    let peers = json[direction.peersField].array ?? []
    self.peers = peers.isEmpty ? nil : PolicyFacts.Peers(peers, namespace: namespace)
    let ports = json["ports"].array ?? []
    self.ports = ports.isEmpty ? nil : ports.compactMap { PolicyFacts.Port($0) }
  }
}

extension PolicyFacts.Peers {
  /// What cannot be read allows nobody.
  fileprivate init(_ peers: [JSON], namespace: String) {
    blocks = peers.compactMap { PolicyFacts.Block($0["ipBlock"]) }
    pods = peers.filter { $0["ipBlock"].isNull }.compactMap { PodSelection($0, namespace: namespace) }
  }
}

extension PolicyFacts.Block {
  fileprivate init?(_ json: JSON) {
    guard let range = json["cidr"].string.flatMap({ IPPrefix($0) }) else { return nil }
    self.range = range
    except = (json["except"].array ?? []).compactMap { $0.string.flatMap { IPPrefix($0) } }
  }
}

extension PolicyFacts.Port {
  fileprivate init?(_ json: JSON) {
    guard let transport = TransportProtocol(json["protocol"].string) else { return nil }
    let port = json["port"]
    if let name = port.string {
      self = .named(transport, name)
    } else if port.isNull {
      self = .numbers(transport, 0...UInt16.max)
    } else if let first = port.int.flatMap({ UInt16(exactly: $0) }) {
      let last = json["endPort"].int.flatMap { UInt16(exactly: $0) } ?? first
      self = .numbers(transport, first...max(first, last))
    } else {
      return nil
    }
  }
}

/// Pods of one namespace, or of all whose labels fit.
package struct PodSelection: Hashable, Sendable {
  package enum Namespaces: Hashable, Sendable {
    case one(String)
    case labelled(LabelSelector)
  }

  package let namespaces: Namespaces
  package let pods: LabelSelector

  package init(_ namespaces: Namespaces, pods: LabelSelector) {
    self.namespaces = namespaces
    self.pods = pods
  }

  static let everywhere = PodSelection(.labelled(.everything), pods: .everything)

  fileprivate init?(_ peer: JSON, namespace: String) {
    // A missing selector of pods means all pods of the namespaces; one of namespaces the policy's own.
    guard let pods = LabelSelector(json: peer["podSelector"]) else { return nil }
    if peer["namespaceSelector"].isNull {
      self.init(.one(namespace), pods: pods)
    } else if let namespaces = LabelSelector(json: peer["namespaceSelector"]) {
      self.init(.labelled(namespaces), pods: pods)
    } else {
      return nil
    }
  }

  func selects(_ pod: PolicyPod, labelsOfNamespace: Labels?) -> Bool {
    switch namespaces {
    case .one(let name): if name != pod.name.namespace { return false }
    case .labelled(let selector):
      // A namespace that is not known yet has no labels, and nobody is let in on their absence.
      guard let labelsOfNamespace, selector.matches({ labelsOfNamespace[$0] }) else { return false }
    }
    return pods.matches { pod.labels[$0] }
  }
}

package typealias Labels = [String: String]

extension JSON {
  /// `metadata.labels` of an object.
  var labelValues: Labels {
    var labels: Labels = [:]
    for (key, value) in self["metadata"]["labels"].object ?? JSONObject() { labels[key] = value.string ?? "" }
    return labels
  }
}
