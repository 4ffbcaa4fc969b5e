import APIMachinery
import JSONCodec
import KubernetesAPI

/// An address that the server itself connects to.
struct Backend: Sendable, Hashable {
  var host: String
  var port: Int
}

/// Finds where the program behind a Service listens. The server connects to an endpoint rather than to the cluster address: it
/// needs no service proxy on its machine.
struct ServiceBackends: Sendable {
  let resources: Resources

  /// - Parameters:
  ///   - port: the name or number of one of the Service's ports; empty for its only one.
  ///   - followsNames: whether an ExternalName leads out of the cluster, as for webhooks and aggregated servers.
  func resolve(namespace: String, name: String, port: String, followsNames: Bool = true) async throws -> Backend {
    let service = try await resources.object("services", namespace: namespace, name: name)
    let ports = service["spec"]["ports"].array ?? []
    let chosen =
      port.isEmpty && ports.count == 1 ? ports[0] : ports.first { $0["name"].string == port || ($0["port"].int).map(String.init) == port }
    guard let chosen, let number = chosen["port"].int else {
      throw APIFailure.unavailable("no service port \"\(port)\" found for service \"\(name)\"")
    }
    if service["spec"]["type"].string == "ExternalName", let host = service["spec"]["externalName"].string {
      guard followsNames else { throw APIFailure.unavailable("no endpoints available for service \"\(name)\"") }
      return Backend(host: host, port: number)
    }
    if let backend = try await endpoint(namespace, name, portName: chosen["name"].string ?? "") { return backend }
    if let backend = try await pod(namespace, selector: service["spec"]["selector"], chosen) { return backend }
    guard service["spec"]["selector"].isEmpty, let address = service["spec"]["clusterIP"].string, address != "None", !address.isEmpty else {
      throw APIFailure.unavailable("no endpoints available for service \"\(name)\"")
    }
    return Backend(host: address, port: number)
  }

  private func endpoint(_ namespace: String, _ name: String, portName: String) async throws -> Backend? {
    var found: [Backend] = []
    for slice in try await resources.all("endpointslices", group: "discovery.k8s.io", namespace: namespace) {
      guard slice["metadata"]["labels"]["kubernetes.io/service-name"].string == name, slice["addressType"].string != "FQDN",
        let port = (slice["ports"].array ?? []).first(where: { ($0["name"].string ?? "") == portName })?["port"].int
      else { continue }
      for endpoint in slice["endpoints"].array ?? [] where endpoint["conditions"]["ready"].bool ?? true {
        if let address = endpoint["addresses"][0].string { found.append(Backend(host: address, port: port)) }
      }
    }
    return found.randomElement()
  }

  /// Before the endpoints are written, the selector tells as much.
  private func pod(_ namespace: String, selector: JSON, _ port: JSON) async throws -> Backend? {
    guard let labels = selector.object, !selector.isEmpty else { return nil }
    let wanted = LabelSelector(labels.map { LabelSelector.Requirement.in(key: $0.0, values: [$0.1.string ?? ""]) })
    var found: [Backend] = []
    for object in try await resources.all("pods", namespace: namespace) where wanted.matches(object["metadata"]["labels"]) {
      let pod = Pod(object)
      guard Self.isReady(pod), let address = object["status"]["podIP"].string, !address.isEmpty else { continue }
      let target = port["targetPort"]
      let named = (pod.spec.containers + pod.spec.initContainers.filter(\.isSidecar)).flatMap(\.ports)
      let number =
        target.int ?? named.first { $0["name"].string == target.string }?["containerPort"].int ?? (target.isNull ? port["port"].int : nil)
      if let number { found.append(Backend(host: address, port: number)) }
    }
    return found.randomElement()
  }

  private static func isReady(_ pod: Pod) -> Bool {
    (pod.status["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
  }
}

extension Resources {
  /// One object, or NotFound.
  func object(_ plural: String, group: String = "", version: String = "v1", namespace: String?, name: String) async throws -> JSON {
    try await stored(
      ResourceRequest(resource: resource(plural, group: group, version: version), namespace: namespace, name: name, subresource: nil)
    ).object
  }

  /// All objects of a kind, in a namespace or everywhere.
  func all(_ plural: String, group: String = "", version: String = "v1", namespace: String? = nil) async throws -> [JSON] {
    let page = try await store.list(
      prefix: ResourceRequest.prefix(resource(plural, group: group, version: version), namespace: namespace), after: nil, limit: nil,
      at: nil)
    return try page.items.map { try decoded.object($0) }
  }
}
