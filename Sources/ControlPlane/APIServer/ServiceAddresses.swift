import JSONCodec
import KubernetesAPI
import RevisionStore

/// Cluster addresses and node ports of Services.
///
/// The list of Services is the record of what is taken: an address is free where no Service has it. Two that are
/// created at the same moment are kept apart by a key of their own for each address, which the database lets only one write.
enum ServiceAddresses {
  static let nodePorts = 30000...32767
  /// Random tries before a range counts as full.
  static let triesMax = 256

  private static let addressPrefix = "/registry/ranges/serviceips/"
  private static let portPrefix = "/registry/ranges/servicenodeports/"

  static func assign(_ service: inout JSON, old: JSON?, _ resources: Resources) async throws {
    let type = service["spec"]["type"].string ?? "ClusterIP"
    guard type != "ExternalName" else { return }
    if let old, service["spec"]["clusterIP"].isNull { service["spec"]["clusterIP"] = old["spec"]["clusterIP"] }
    if service["spec"]["clusterIP"].isNull, let first = service["spec"]["clusterIPs"][0].string {
      service["spec"]["clusterIP"] = .string(first)
    }
    if service["spec"]["clusterIP"].isEmpty {
      service["spec"]["clusterIP"] = .string(try await freeAddress(resources))
    } else if old == nil, let address = service["spec"]["clusterIP"].string, address != "None" {
      try await claim(address, service, resources)
    }
    service["spec"]["clusterIPs"] = [service["spec"]["clusterIP"]]
    if service["spec"]["ipFamilies"].isEmpty { service["spec"]["ipFamilies"] = ["IPv4"] }
    if service["spec"]["ipFamilyPolicy"].isEmpty { service["spec"]["ipFamilyPolicy"] = "SingleStack" }
    guard type == "NodePort" || type == "LoadBalancer" else { return }
    var ports = service["spec"]["ports"].array ?? []
    for i in ports.indices where (ports[i]["nodePort"].int ?? 0) == 0 {
      let previous = (old?["spec"]["ports"].array ?? []).first { $0["port"] == ports[i]["port"] && $0["protocol"] == ports[i]["protocol"] }
      if let kept = previous?["nodePort"].int, kept != 0 {
        ports[i]["nodePort"] = JSON(kept)
      } else {
        ports[i]["nodePort"] = JSON(try await freePort(resources))
      }
    }
    service["spec"]["ports"] = .array(ports)
  }

  private static func claim(_ address: String, _ service: JSON, _ resources: Resources) async throws {
    guard let range = resources.serviceRange, range.contains(address) else {
      throw invalid(
        service, "spec.clusterIPs",
        "failed to allocate IP \(address): the provided IP (\(address)) is not in the valid range. The range of valid IPs is \(resources.serviceRange?.text ?? "none")"
      )
    }
    do {
      try await resources.store.write(.put(key: addressPrefix + address, value: Array("claimed".utf8), .absent))
    } catch let error as RevisionStoreError {
      guard case .conflict = error.code else { throw error }
      throw invalid(service, "spec.clusterIPs", "failed to allocate IP \(address): provided IP is already allocated")
    }
  }

  private static func invalid(_ service: JSON, _ field: String, _ detail: String) -> APIFailure {
    let name = service["metadata"]["name"].string ?? ""
    let value = service["spec"]["clusterIPs"].isNull ? JSON.array([service["spec"]["clusterIP"]]) : service["spec"]["clusterIPs"]
    let message = "Invalid value: \(value.text()): \(detail)"
    return APIFailure(
      422, "Invalid", "Service \"\(name)\" is invalid: \(field): \(message)",
      details: [
        "name": .string(name), "kind": "Service",
        "causes": [["reason": "FieldValueInvalid", "message": .string(message), "field": .string(field)]],
      ])
  }

  private static func freeAddress(_ resources: Resources) async throws -> String {
    guard let range = resources.serviceRange else { throw APIFailure.internalError("the server has no --service-cidr") }
    for _ in 0..<triesMax {
      // The first addresses are left to Services that ask for theirs (kubernetes, DNS).
      let address = range.address(at: UInt32.random(in: min(16, range.size / 2)..<max(range.size - 1, 2)))
      if await tryClaim(addressPrefix + address, resources) { return address }
    }
    throw APIFailure.internalError("failed to allocate a serviceIP: range is full")
  }

  private static func freePort(_ resources: Resources) async throws -> Int {
    for _ in 0..<triesMax {
      let port = Int.random(in: nodePorts)
      if await tryClaim(portPrefix + String(port), resources) { return port }
    }
    throw APIFailure.internalError("failed to allocate a nodePort: range is full")
  }

  private static func tryClaim(_ key: String, _ resources: Resources) async -> Bool {
    (try? await resources.store.write(.put(key: key, value: Array("claimed".utf8), .absent))) != nil
  }

  /// Gives back what a process claimed that ended before it had written the Service. Only before the first request: later, a claim
  /// without a Service belongs to a creation under way.
  static func releaseAbandoned(_ resources: Resources) async throws {
    let services = ResourceRequest.prefix(resources.resource("services"), namespace: nil)
    var held: Set<String> = []
    for stored in try await resources.store.list(prefix: services, after: nil, limit: nil, at: nil).items {
      let spec = try resources.decoded.object(stored)["spec"]
      if let address = spec["clusterIP"].string { held.insert(addressPrefix + address) }
      for port in spec["ports"].array ?? [] {
        if let number = port["nodePort"].int { held.insert(portPrefix + String(number)) }
      }
    }
    for prefix in [addressPrefix, portPrefix] {
      for claim in try await resources.store.list(prefix: prefix, after: nil, limit: nil, at: nil).items where !held.contains(claim.key) {
        try await resources.store.write(.delete(key: claim.key, value: [], .none))
      }
    }
  }

  /// Gives back what a deleted Service held.
  static func release(_ service: JSON, _ resources: Resources) async {
    if let address = service["spec"]["clusterIP"].string, address != "None", !address.isEmpty {
      _ = try? await resources.store.write(.delete(key: addressPrefix + address, value: [], .none))
    }
    for port in service["spec"]["ports"].array ?? [] {
      if let number = port["nodePort"].int, number != 0 {
        _ = try? await resources.store.write(.delete(key: portPrefix + String(number), value: [], .none))
      }
    }
  }
}

/// An IPv4 range such as 10.96.0.0/16.
package struct IPv4Range: Sendable, Equatable {
  let base: UInt32
  let bits: Int

  package init?(_ text: String) {
    let parts = text.split(separator: "/")
    guard parts.count == 2, let bits = Int(parts[1]), (8...30).contains(bits), let address = Self.number(parts[0]) else { return nil }
    self.bits = bits
    base = address & (UInt32.max << UInt32(32 - bits))
  }

  var size: UInt32 { 1 << UInt32(32 - bits) }
  package var text: String { "\(Self.text(base))/\(bits)" }
  package func address(at index: UInt32) -> String { Self.text(base + index) }
  func contains(_ address: String) -> Bool { Self.number(address).map { $0 >= base && $0 - base < size } ?? false }

  package func overlaps(_ other: IPv4Range) -> Bool {
    let bits = min(bits, other.bits)
    return (base ^ other.base) >> UInt32(32 - bits) == 0
  }
  package func contains(_ other: IPv4Range) -> Bool { bits <= other.bits && overlaps(other) }

  static func number(_ text: some StringProtocol) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard let byte = UInt8(part), String(byte) == part else { return nil }
      value = value << 8 | UInt32(byte)
    }
    return value
  }

  static func text(_ value: UInt32) -> String {
    [24, 16, 8, 0].map { String(value >> UInt32($0) & 0xFF) }.joined(separator: ".")
  }

  /// The `index`th subrange of a smaller size.
  package func subrange(bits: Int, index: UInt32) -> IPv4Range? {
    guard bits >= self.bits, bits <= 30, index < 1 << UInt32(bits - self.bits) else { return nil }
    return IPv4Range("\(Self.text(base + index << UInt32(32 - bits)))/\(bits)")
  }
}
