import JSONCodec
import NFTables

/// The cluster's names: what the Kubernetes DNS specification 1.1 says of Services and EndpointSlices, kept up to date by changes.
package struct ClusterZone: Sendable {
  /// Seconds that clients may keep an answer.
  package static let ttl: UInt32 = 5

  package let domain: DNSName
  /// What ns.dns.<domain> is.
  let serverAddress: IPAddress
  /// Pods' and services' addresses: nobody else is asked for their names.
  let ranges: [IPPrefix]
  let pods: [IPPrefix]
  private var services: [ServiceKey: ServiceNames] = [:]
  private var slices: [ServiceKey: [String: [EndpointNames]]] = [:]
  private var serviceOfSlice: [ServiceKey: ServiceKey] = [:]
  private var namespaces: [String: Int] = [:]
  /// Owners of names by address.
  private var reverse: [IPAddress: Set<DNSName>] = [:]
  private var reverseOf: [ServiceKey: [(IPAddress, DNSName)]] = [:]

  package init(domain: DNSName, serverAddress: IPAddress, podRanges: [IPPrefix], serviceRanges: [IPPrefix]) {
    self.domain = domain
    self.serverAddress = serverAddress
    pods = podRanges
    ranges = podRanges + serviceRanges
  }

  package mutating func put(service json: JSON) {
    guard let key = ServiceKey(json), let names = ServiceNames(json) else { return remove(service: json) }
    if services.updateValue(names, forKey: key) == nil { namespaces[key.namespace, default: 0] += 1 }
    index(key)
  }

  package mutating func remove(service json: JSON) {
    guard let key = ServiceKey(json), services.removeValue(forKey: key) != nil else { return }
    namespaces[key.namespace, default: 1] -= 1
    if namespaces[key.namespace] == 0 { namespaces[key.namespace] = nil }
    index(key)
  }

  package mutating func put(slice json: JSON) {
    guard let name = ServiceKey(json), let service = json["metadata"]["labels"]["kubernetes.io/service-name"].string else {
      return remove(slice: json)
    }
    let key = ServiceKey(name.namespace, service)
    if let old = serviceOfSlice[name], old != key { remove(slice: json) }
    serviceOfSlice[name] = key
    slices[key, default: [:]][name.name] = EndpointNames.all(json)
    index(key)
  }

  package mutating func remove(slice json: JSON) {
    guard let name = ServiceKey(json), let key = serviceOfSlice.removeValue(forKey: name) else { return }
    slices[key]?[name.name] = nil
    if slices[key]?.isEmpty == true { slices[key] = nil }
    index(key)
  }

  package mutating func replace(services list: [JSON]) {
    let known = Set(list.compactMap { ServiceKey($0) })
    for key in services.keys where !known.contains(key) { remove(service: key.json) }
    for json in list { put(service: json) }
  }

  package mutating func replace(slices list: [JSON]) {
    let known = Set(list.compactMap { ServiceKey($0) })
    for key in serviceOfSlice.keys where !known.contains(key) { remove(slice: key.json) }
    for json in list { put(slice: json) }
  }

  /// Names by address of one service.
  private mutating func index(_ key: ServiceKey) {
    for (address, name) in reverseOf.removeValue(forKey: key) ?? [] {
      reverse[address]?.remove(name)
      if reverse[address]?.isEmpty == true { reverse[address] = nil }
    }
    guard let service = services[key] else { return }
    var owners: [(IPAddress, DNSName)] = []
    switch service.kind {
    case .clusterIPs(let addresses):
      if let name = name(key) { owners = addresses.map { ($0, name) } }
    case .headless:
      for endpoint in endpoints(key) where endpoint.hasHostname {
        if let name = name(key, endpoint.label) { owners.append((endpoint.address, name)) }
      }
    case .externalName: break
    }
    for (address, name) in owners { reverse[address, default: []].insert(name) }
    if !owners.isEmpty { reverseOf[key] = owners }
  }

  func endpoints(_ key: ServiceKey) -> [EndpointNames] { (slices[key] ?? [:]).sorted { $0.key < $1.key }.flatMap(\.value) }
  func service(_ key: ServiceKey) -> ServiceNames? { services[key] }
  func hasNamespace(_ name: String) -> Bool { namespaces[name] != nil }
  func owners(of address: IPAddress) -> [DNSName] { (reverse[address] ?? []).sorted { $0.description < $1.description } }

  /// `<labels>.<service>.<namespace>.svc.<domain>`
  func name(_ key: ServiceKey, _ labels: String...) -> DNSName? {
    DNSName(labels: (labels + [key.name, key.namespace, "svc"]).map { Array($0.utf8) } + domain.labels)
  }
}

struct ServiceKey: Hashable, Sendable {
  let namespace: String
  let name: String

  init(_ namespace: String, _ name: String) {
    self.namespace = namespace
    self.name = name
  }

  init?(_ json: JSON) {
    guard let namespace = json["metadata"]["namespace"].string, let name = json["metadata"]["name"].string else { return nil }
    self.init(namespace, name)
  }

  var json: JSON { ["metadata": ["namespace": .string(namespace), "name": .string(name)]] }
}

/// What names say of a Service.
struct ServiceNames: Sendable {
  enum Kind: Sendable {
    case clusterIPs([IPAddress])
    case headless
    case externalName(DNSName)
  }

  struct Port: Sendable {
    let name: String
    /// In lower case: tcp, udp, sctp.
    let transport: String
    let port: UInt16
  }

  let kind: Kind
  let ports: [Port]

  init?(_ json: JSON) {
    let spec = json["spec"]
    if spec["type"].string == "ExternalName" {
      guard let target = spec["externalName"].string.flatMap({ DNSName($0) }), !target.labels.isEmpty else { return nil }
      kind = .externalName(target)
    } else if spec["clusterIP"].string == "None" {
      kind = .headless
    } else {
      let texts = spec["clusterIPs"].array.map { $0.compactMap(\.string) } ?? [spec["clusterIP"].string].compactMap { $0 }
      kind = .clusterIPs(texts.compactMap { IPAddress($0) })
    }
    ports = (spec["ports"].array ?? []).compactMap { port in
      port["port"].int.flatMap { UInt16(exactly: $0) }.map {
        Port(name: port["name"].string ?? "", transport: (port["protocol"].string ?? "TCP").lowercased(), port: $0)
      }
    }
  }
}

/// What names say of an endpoint that is ready.
struct EndpointNames: Sendable {
  let address: IPAddress
  /// Its hostname, or its address with dashes.
  let label: String
  let hasHostname: Bool
  let ports: [ServiceNames.Port]

  static func all(_ slice: JSON) -> [EndpointNames] {
    let ports = (slice["ports"].array ?? []).compactMap { port in
      port["port"].int.flatMap { UInt16(exactly: $0) }.map {
        ServiceNames.Port(name: port["name"].string ?? "", transport: (port["protocol"].string ?? "TCP").lowercased(), port: $0)
      }
    }
    return (slice["endpoints"].array ?? []).flatMap { endpoint -> [EndpointNames] in
      guard endpoint["conditions"]["ready"].bool ?? true else { return [] }
      let hostname = endpoint["hostname"].string ?? ""
      return (endpoint["addresses"].array ?? []).compactMap { $0.string.flatMap { IPAddress($0) } }.map { address in
        EndpointNames(address: address, label: hostname.isEmpty ? dashed(address) : hostname, hasHostname: !hostname.isEmpty, ports: ports)
      }
    }
  }

  static func dashed(_ address: IPAddress) -> String {
    String(
      decoding: address.description.utf8.map { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") ? UInt8(ascii: "-") : $0 }, as: UTF8.self)
  }
}
