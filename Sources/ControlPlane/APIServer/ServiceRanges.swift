import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging

/// Ranges of cluster addresses: the server's own and those that ServiceCIDR objects add.
enum ServiceRanges {
  static let path = ResourcePath(group: "networking.k8s.io", "servicecidrs")
  static let finalizer = "networking.k8s.io/service-cidr-finalizer"

  /// The IPv4 ranges that addresses may be taken from now, the server's own first.
  static func open(_ resources: Resources) async throws -> [IPv4Range] {
    guard let own = resources.serviceRange else { return [] }
    let objects = try await resources.all("servicecidrs", group: "networking.k8s.io", namespace: nil)
    let added = objects.filter { $0["metadata"]["deletionTimestamp"].isNull && isReady($0) }.flatMap(ranges)
    return [own] + added.filter { $0 != own }
  }

  private static func isReady(_ object: JSON) -> Bool {
    (object["status"]["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
  }

  static func ranges(_ object: JSON) -> [IPv4Range] {
    (object["spec"]["cidrs"].array ?? []).compactMap { $0.string.flatMap(IPv4Range.init) }
  }

  /// Whether no address would be without a range if this one went.
  static func isFree(_ object: JSON, others: [JSON], addresses: [String]) -> Bool {
    let (own, rest) = (ranges(object), others.filter { $0["metadata"]["deletionTimestamp"].isNull }.flatMap(ranges))
    return !addresses.contains { address in own.contains { $0.contains(address) } && !rest.contains { $0.contains(address) } }
  }

  static func condition(isReady: Bool) -> JSON {
    [
      "type": "Ready", "status": isReady ? "True" : "False", "reason": isReady ? "" : "Terminating",
      "message": isReady
        ? "Kubernetes Service CIDR is ready"
        : "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
      "lastTransitionTime": .string(Timestamp.now.rfc3339),
    ]
  }
}

/// Says of each ServiceCIDR that it is ready, and keeps a deleted one for as long as its addresses are in use.
struct ServiceRangeController: Sendable {
  let client: KubernetesClient
  let log: Logger

  private static let addresses = ResourcePath(group: "networking.k8s.io", "ipaddresses")
  private static let allocator = "ipaddress.kubernetes.io/managed-by=ipallocator.k8s.io"

  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await event in client.reflect(ServiceRanges.path, log: log) {
          switch event {
          case .synced(let all): for object in all { await handle(object) }
          case .changed(let object): await handle(object)
          // An address that two ranges had may hold another range now, or no longer.
          case .deleted: await handleLeaving()
          }
        }
      }
      group.addTask {
        for await event in client.reflect(Self.addresses, labelSelector: Self.allocator, log: log) {
          if case .deleted = event { await handleLeaving() }
        }
      }
    }
  }

  private func handleLeaving() async {
    guard let all = try? await client.list(ServiceRanges.path).items else { return }
    for object in all where !object["metadata"]["deletionTimestamp"].isNull { await handle(object) }
  }

  private func handle(_ object: JSON) async {
    let name = object["metadata"]["name"].string ?? ""
    do {
      if object["metadata"]["deletionTimestamp"].isNull {
        try await furnish(object, name)
      } else {
        try await release(object, name)
      }
    } catch let error as APIStatusError where error.isNotFound || error.code == 409 {
      // Another change came first; it is an event of its own.
    } catch {
      if !Task.isCancelled { log.warning("service range \(name): \(error)") }
    }
  }

  private func furnish(_ object: JSON, _ name: String) async throws {
    let finalizers = object["metadata"]["finalizers"].array ?? []
    if !finalizers.contains(.string(ServiceRanges.finalizer)) {
      var object = object
      object["metadata"]["finalizers"] = .array(finalizers + [.string(ServiceRanges.finalizer)])
      // The write is an event that brings the object back here.
      try await client.update(ServiceRanges.path, name: name, object)
    } else if !hasCondition(object, "True") {
      try await tell(object, name, isReady: true)
    }
  }

  private func release(_ object: JSON, _ name: String) async throws {
    let finalizers = object["metadata"]["finalizers"].array ?? []
    guard finalizers.contains(.string(ServiceRanges.finalizer)) else { return }
    let others = try await client.list(ServiceRanges.path).items.filter { $0["metadata"]["name"].string != name }
    let addresses = try await client.list(Self.addresses, labelSelector: Self.allocator).items.compactMap { $0["metadata"]["name"].string }
    guard ServiceRanges.isFree(object, others: others, addresses: addresses) else {
      if !hasCondition(object, "False") { try await tell(object, name, isReady: false) }
      return
    }
    var object = object
    object["metadata"]["finalizers"] = .array(finalizers.filter { $0.string != ServiceRanges.finalizer })
    try await client.update(ServiceRanges.path, name: name, object)
  }

  private func hasCondition(_ object: JSON, _ status: String) -> Bool {
    (object["status"]["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == status }
  }

  private func tell(_ object: JSON, _ name: String, isReady: Bool) async throws {
    var object = object
    let rest = (object["status"]["conditions"].array ?? []).filter { $0["type"].string != "Ready" }
    object["status"]["conditions"] = .array(rest + [ServiceRanges.condition(isReady: isReady)])
    try await client.update(ServiceRanges.path, name: name, subresource: "status", object)
  }
}
