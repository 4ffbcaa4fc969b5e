import JSONCodec
import KubernetesAPI
import NFTables

/// TCP, UDP or SCTP with its number in IP headers.
package enum TransportProtocol: UInt8, Hashable, Sendable, Comparable {
  case tcp = 6, udp = 17, sctp = 132

  /// As Kubernetes writes it; nothing means TCP.
  package init?(_ text: String?) {
    switch text {
    case nil, "TCP": self = .tcp
    case "UDP": self = .udp
    case "SCTP": self = .sctp
    default: return nil
    }
  }

  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// An object's namespace and name.
package struct ObjectName: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let namespace: String
  package let name: String

  package init(_ namespace: String, _ name: String) {
    self.namespace = namespace
    self.name = name
  }

  package var description: String { "\(namespace)/\(name)" }
  package static func < (left: Self, right: Self) -> Bool { (left.namespace, left.name) < (right.namespace, right.name) }
}

/// What the rules need of a Service (core/v1).
package struct ServiceFacts: Hashable, Sendable {
  package struct Port: Hashable, Sendable {
    package let name: String
    package let transport: TransportProtocol
    package let port: UInt16
    /// 0: none.
    package let nodePort: UInt16
  }

  package let name: ObjectName
  package let clusterIPs: [IPAddress]
  package let externalIPs: [IPAddress]
  /// status.loadBalancer.ingress, without those whose ipMode says that the balancer itself must see the traffic.
  package let loadBalancerIPs: [IPAddress]
  /// Empty: everybody. Otherwise who may use the load balancer's addresses.
  package let sourceRanges: [IPPrefix]
  package let ports: [Port]
  /// Seconds that a client keeps its endpoint; nil without affinity.
  package let affinitySeconds: Int?
  package let isInternalLocal: Bool
  package let isExternalLocal: Bool
  /// 0: none.
  package let healthCheckNodePort: UInt16

  /// Nil: a Service that has no address in the cluster (headless, ExternalName, none given yet), or is somebody else's.
  package init?(_ json: JSON) {
    let metadata = json["metadata"]
    let spec = json["spec"]
    guard let name = metadata["name"].string, let namespace = metadata["namespace"].string, spec["type"].string != "ExternalName",
      metadata["labels"]["service.kubernetes.io/service-proxy-name"].isNull
    else { return nil }
    let texts = spec["clusterIPs"].array.map { $0.compactMap(\.string) } ?? [spec["clusterIP"].string].compactMap { $0 }
    clusterIPs = texts.compactMap { IPAddress($0) }
    guard !clusterIPs.isEmpty else { return nil }
    self.name = ObjectName(namespace, name)
    let isBalanced = spec["type"].string == "LoadBalancer"
    externalIPs = (spec["externalIPs"].array ?? []).compactMap { $0.string.flatMap { IPAddress($0) } }
    loadBalancerIPs =
      isBalanced
      ? (json["status"]["loadBalancer"]["ingress"].array ?? []).compactMap {
        $0["ipMode"].string == "Proxy" ? nil : $0["ip"].string.flatMap { IPAddress($0) }
      } : []
    sourceRanges =
      isBalanced ? (spec["loadBalancerSourceRanges"].array ?? []).compactMap { $0.string.flatMap { Self.range($0) } } : []
    ports = (spec["ports"].array ?? []).compactMap { port in
      guard let transport = TransportProtocol(port["protocol"].string), let number = port["port"].int.flatMap({ UInt16(exactly: $0) })
      else { return nil }
      return Port(
        name: port["name"].string ?? "", transport: transport, port: number,
        nodePort: port["nodePort"].int.flatMap { UInt16(exactly: $0) } ?? 0)
    }
    affinitySeconds =
      spec["sessionAffinity"].string == "ClientIP"
      ? min(max(spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].int ?? 10_800, 1), 86_400) : nil
    isInternalLocal = spec["internalTrafficPolicy"].string == "Local"
    isExternalLocal = spec["externalTrafficPolicy"].string == "Local"
    healthCheckNodePort = spec["healthCheckNodePort"].int.flatMap { UInt16(exactly: $0) } ?? 0
  }

  /// The API tolerates spaces around ranges, and ranges written by older servers.
  private static func range(_ text: String) -> IPPrefix? {
    var trimmed = Substring(text)
    while trimmed.first == " " { trimmed.removeFirst() }
    while trimmed.last == " " { trimmed.removeLast() }
    return IPPrefix(trimmed)
  }
}

/// Where a packet for a service can go.
package struct Backend: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let address: IPAddress
  package let port: UInt16

  package init(_ address: IPAddress, _ port: UInt16) {
    self.address = address
    self.port = port
  }

  package var description: String {
    if case .v6 = address { "[\(address)]:\(port)" } else { "\(address):\(port)" }
  }

  package static func < (left: Self, right: Self) -> Bool { (left.address, left.port) < (right.address, right.port) }
}

/// What the rules need of an EndpointSlice (discovery.k8s.io/v1).
package struct SliceFacts: Hashable, Sendable {
  package struct Endpoint: Hashable, Sendable {
    package let address: IPAddress
    package let isReady: Bool
    /// Serves although it is to end: used when nothing else is left.
    package let isServingTerminating: Bool
    package let node: String?
    /// The pod's UID; only for endpoints of the node that asks.
    package let pod: String?
    /// Zones and nodes that should use it; empty: no such hints.
    package let zoneHints: [String]
    package let nodeHints: [String]

    /// The same, ending: used only where nothing else is left.
    var withdrawn: Endpoint {
      Endpoint(
        address: address, isReady: false, isServingTerminating: isReady || isServingTerminating, node: node, pod: pod,
        zoneHints: zoneHints, nodeHints: nodeHints)
    }
  }

  package struct Port: Hashable, Sendable {
    package let name: String
    package let transport: TransportProtocol
    package let port: UInt16
  }

  package let name: ObjectName
  package let service: ObjectName
  package let endpoints: [Endpoint]
  package let ports: [Port]

  /// Nil: of no service, or of names and not addresses. `node`: whose pods are to be told apart.
  package init?(_ json: JSON, on node: String = "") {
    let metadata = json["metadata"]
    guard let name = metadata["name"].string, let namespace = metadata["namespace"].string,
      let service = metadata["labels"]["kubernetes.io/service-name"].string, json["addressType"].string != "FQDN"
    else { return nil }
    self.name = ObjectName(namespace, name)
    self.service = ObjectName(namespace, service)
    ports = (json["ports"].array ?? []).compactMap { port in
      guard let transport = TransportProtocol(port["protocol"].string), let number = port["port"].int.flatMap({ UInt16(exactly: $0) })
      else { return nil }
      return Port(name: port["name"].string ?? "", transport: transport, port: number)
    }
    endpoints = (json["endpoints"].array ?? []).compactMap { Self.endpoint($0, node) }
  }

  private static func endpoint(_ json: JSON, _ here: String) -> Endpoint? {
    // The addresses of one endpoint mean the same pod; the API says to use the first.
    guard let address = json["addresses"][0].string.flatMap({ IPAddress($0) }) else { return nil }
    let conditions = json["conditions"]
    let isReady = conditions["ready"].bool ?? true
    let isServing = conditions["serving"].bool ?? isReady
    func names(_ list: JSON) -> [String] { (list.array ?? []).compactMap { $0["name"].string } }
    return Endpoint(
      address: address, isReady: isReady, isServingTerminating: isServing && conditions["terminating"].bool ?? false,
      node: json["nodeName"].string, pod: json["nodeName"].string == here ? json["targetRef"]["uid"].string : nil,
      zoneHints: names(json["hints"]["forZones"]), nodeHints: names(json["hints"]["forNodes"]))
  }
}
