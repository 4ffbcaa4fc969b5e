import JSONCodec
import KubernetesAPI
import RevisionStore

/// Cluster addresses and node ports of Services.
///
/// Each that is taken has a key of its own in the store, which lets only one writer create it: an IPAddress object for an
/// address, a record for a port. They are taken before the Service is written and given back where that fails.
enum ServiceAddresses {
  static let nodePorts = 30000...32767
  /// Random tries before a range counts as full.
  static let triesMax = 256

  private static let addressPrefix = "/registry/networking.k8s.io/ipaddresses/"
  private static let portPrefix = "/registry/ranges/servicenodeports/"

  // MARK: what a Service holds

  /// The keys of a Service's address and ports.
  static func held(_ service: JSON) -> Set<String> {
    let spec = service["spec"]
    var keys: Set<String> = []
    if spec["type"].string != "ExternalName" {
      for address in spec["clusterIPs"].array ?? [spec["clusterIP"]] {
        if let address = address.string, !address.isEmpty, address != "None" { keys.insert(addressPrefix + address) }
      }
    }
    for port in spec["ports"].array ?? [] {
      if let number = port["nodePort"].int, number != 0 { keys.insert(portPrefix + String(number)) }
    }
    if let number = spec["healthCheckNodePort"].int, number != 0 { keys.insert(portPrefix + String(number)) }
    return keys
  }

  // MARK: taking

  /// Fills in what a Service leaves to the server and takes everything that it newly holds. Returns the keys it took.
  static func assign(_ service: inout JSON, old: JSON?, isDryRun: Bool, _ resources: Resources) async throws -> Set<String> {
    var taking = Taking(before: old.map(held) ?? [], isDryRun: isDryRun, resources: resources)
    do {
      try await assignAddress(&service, old: old, &taking)
      try await assignPorts(&service, old: old, &taking)
      return taking.taken
    } catch {
      await release(taking.taken, resources)
      throw error
    }
  }

  private static func assignAddress(_ service: inout JSON, old: JSON?, _ taking: inout Taking) async throws {
    var spec = service["spec"]
    defer { service["spec"] = spec }
    guard ServiceType.hasAddress(spec) else { return }
    if let old, spec["clusterIP"].isNull { spec["clusterIP"] = old["spec"]["clusterIP"] }
    if spec["clusterIP"].isNull, let first = spec["clusterIPs"][0].string { spec["clusterIP"] = .string(first) }
    if let address = spec["clusterIP"].string, !address.isEmpty {
      if address != "None" { try await takeAddress(address, service, &taking) }
    } else {
      spec["clusterIP"] = .string(try await freeAddress(service, &taking))
    }
    if spec["clusterIPs"].isEmpty || old?["spec"]["clusterIP"] != spec["clusterIP"] && spec["clusterIPs"] == old?["spec"]["clusterIPs"] {
      spec["clusterIPs"] = [spec["clusterIP"]]
    }
    if spec["ipFamilies"].isEmpty { spec["ipFamilies"] = ["IPv4"] }
    if spec["ipFamilyPolicy"].isEmpty { spec["ipFamilyPolicy"] = "SingleStack" }
  }

  private static func assignPorts(_ service: inout JSON, old: JSON?, _ taking: inout Taking) async throws {
    var spec = service["spec"]
    defer { service["spec"] = spec }
    var ports = spec["ports"].array ?? []
    let oldPorts = old?["spec"]["ports"].array ?? []
    guard ServiceType.hasNodePorts(spec) else { return }
    for i in ports.indices where (ports[i]["nodePort"].int ?? 0) != 0 {
      try await takePort(ports[i]["nodePort"].int ?? 0, "spec.ports[\(i)].nodePort", service, &taking)
    }
    var named = Set(ports.compactMap { $0["nodePort"].int })
    for i in ports.indices where (ports[i]["nodePort"].int ?? 0) == 0 {
      let previous = oldPorts.first { $0["port"] == ports[i]["port"] && $0["protocol"] == ports[i]["protocol"] }
      // One port for TCP and UDP under one number gets one node port for both, as clients of DNS expect.
      let twin = ports.first { $0["port"] == ports[i]["port"] && $0["protocol"] != ports[i]["protocol"] && ($0["nodePort"].int ?? 0) != 0 }
      if let kept = previous?["nodePort"].int, kept != 0, !named.contains(kept) {
        ports[i]["nodePort"] = JSON(kept)
      } else if let twin {
        ports[i]["nodePort"] = twin["nodePort"]
      } else {
        ports[i]["nodePort"] = JSON(try await freePort(&taking))
      }
      named.insert(ports[i]["nodePort"].int ?? 0)
    }
    spec["ports"] = .array(ports)
    guard ServiceType.hasHealthCheckPort(spec) else { return }
    if let port = spec["healthCheckNodePort"].int, port != 0 {
      try await takePort(port, "spec.healthCheckNodePort", service, &taking)
    } else if let kept = old?["spec"]["healthCheckNodePort"].int, kept != 0 {
      spec["healthCheckNodePort"] = JSON(kept)
    } else {
      spec["healthCheckNodePort"] = JSON(try await freePort(&taking))
    }
  }

  private static func takeAddress(_ address: String, _ service: JSON, _ taking: inout Taking) async throws {
    guard !taking.holds(addressPrefix + address) else { return }
    guard try await ServiceRanges.open(taking.resources).contains(where: { $0.contains(address) }) else {
      throw invalid(
        service, "spec.clusterIPs", service["spec"]["clusterIPs"].isNull ? [.string(address)] : service["spec"]["clusterIPs"],
        "failed to allocate IP \(address): the provided network does not match the current range")
    }
    guard try await taking.take(addressPrefix + address, addressObject(address, service)) else {
      throw invalid(
        service, "spec.clusterIPs", service["spec"]["clusterIPs"].isNull ? [.string(address)] : service["spec"]["clusterIPs"],
        "failed to allocate IP \(address): provided IP is already allocated")
    }
  }

  private static func takePort(_ port: Int, _ field: String, _ service: JSON, _ taking: inout Taking) async throws {
    guard !taking.holds(portPrefix + String(port)) else { return }
    guard nodePorts.contains(port) else {
      throw invalid(
        service, field, JSON(port),
        "provided port is not in the valid range. The range of valid ports is \(nodePorts.lowerBound)-\(nodePorts.upperBound)")
    }
    guard try await taking.take(portPrefix + String(port), Array("{}".utf8)) else {
      throw invalid(service, field, JSON(port), "provided port is already allocated")
    }
  }

  private static func freeAddress(_ service: JSON, _ taking: inout Taking) async throws -> String {
    guard let own = taking.resources.serviceRange else { throw APIFailure.internalError("the server has no --service-cidr") }
    if let address = try await freeAddress(in: own, service, &taking) { return address }
    for range in try await ServiceRanges.open(taking.resources).dropFirst() {
      if let address = try await freeAddress(in: range, service, &taking) { return address }
    }
    throw APIFailure.internalError("failed to allocate a serviceIP: range is full")
  }

  private static func freeAddress(in range: IPv4Range, _ service: JSON, _ taking: inout Taking) async throws -> String? {
    for _ in 0..<triesMax {
      // The first addresses are left to Services that ask for theirs (kubernetes, DNS).
      let address = range.address(at: UInt32.random(in: min(16, range.size / 2)..<max(range.size - 1, 2)))
      if try await taking.take(addressPrefix + address, addressObject(address, service)) { return address }
    }
    return nil
  }

  private static func freePort(_ taking: inout Taking) async throws -> Int {
    for _ in 0..<triesMax {
      let port = Int.random(in: nodePorts)
      if try await taking.take(portPrefix + String(port), Array("{}".utf8)) { return port }
    }
    throw APIFailure.internalError("failed to allocate a nodePort: range is full")
  }

  private static func addressObject(_ address: String, _ service: JSON) -> [UInt8] {
    StoredForm.encode([
      "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
      "metadata": [
        "name": .string(address), "uid": .string(UUIDs.random()), "creationTimestamp": .string(Timestamp.now.rfc3339),
        "labels": ["ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"],
      ],
      "spec": [
        "parentRef": [
          "resource": "services", "namespace": service["metadata"]["namespace"], "name": service["metadata"]["name"],
        ]
      ],
    ])
  }

  private static func invalid(_ service: JSON, _ field: String, _ value: JSON, _ detail: String) -> APIFailure {
    let name = service["metadata"]["name"].string ?? ""
    let message = "Invalid value: \(value.text()): \(detail)"
    return APIFailure(
      422, "Invalid", "Service \"\(name)\" is invalid: \(field): \(message)",
      details: [
        "name": .string(name), "kind": "Service",
        "causes": [["reason": "FieldValueInvalid", "message": .string(message), "field": .string(field)]],
      ])
  }

  // MARK: giving back

  static func release(_ keys: Set<String>, _ resources: Resources) async {
    for key in keys {
      do {
        guard let value = try await resources.store.get(key, at: nil) else { continue }
        try await resources.store.write(.delete(key: key, value: value.value, .none))
      } catch {
        resources.log.warning("\(key) could not be given back: \(error)")
      }
    }
  }

  /// Gives back what no Service holds: a crash between two writes leaves it behind. Run before requests are served.
  static func repair(_ resources: Resources) async throws {
    let services = try await resources.store.list(
      prefix: ResourceRequest.prefix(resources.resource("services"), namespace: nil), after: nil, limit: nil, at: nil)
    var kept: Set<String> = []
    for value in services.items { kept.formUnion(held(try StoredForm.decode(value.value, revision: value.revision))) }
    for prefix in [addressPrefix, portPrefix] {
      let claims = try await resources.store.list(prefix: prefix, after: nil, limit: nil, at: nil)
      var lost = Set(claims.items.map(\.key)).subtracting(kept)
      if prefix == addressPrefix {
        // Addresses that people claim for something else stay.
        for value in claims.items where lost.contains(value.key) {
          let object = try StoredForm.decode(value.value, revision: value.revision)
          if object["spec"]["parentRef"]["resource"].string != "services" { lost.remove(value.key) }
        }
      }
      await release(lost, resources)
    }
  }
}

/// What one request takes for its Service.
private struct Taking {
  /// What the Service held already.
  let before: Set<String>
  let isDryRun: Bool
  let resources: Resources
  var taken: Set<String> = []

  func holds(_ key: String) -> Bool { before.contains(key) || taken.contains(key) }

  /// False where somebody else has it. A dry run only looks.
  mutating func take(_ key: String, _ value: [UInt8]) async throws -> Bool {
    guard !holds(key) else { return true }
    if isDryRun { return try await resources.store.get(key, at: nil) == nil }
    do {
      try await resources.store.write(.put(key: key, value: value, .absent))
    } catch let error as RevisionStoreError {
      guard case .conflict = error.code else { throw error }
      return false
    }
    taken.insert(key)
    return true
  }
}
