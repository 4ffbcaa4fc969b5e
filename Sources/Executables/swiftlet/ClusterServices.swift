import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging

/// The endpoints of the API itself, and the service that tools look for when they look for the cluster's DNS.
struct ClusterServices {
  /// Milliseconds between two tries, as while the server furnishes its namespaces; doubles up to `pauseMax`.
  static let pauseMin = 200
  static let pauseMax = 10_000

  let client: KubernetesClient
  /// Where the API server is reached: address and port.
  let server: (address: String, port: Int)
  let dnsAddress: String?
  let log: Logger

  /// Writes what is missing or differs; tries until it could.
  func ensure() async {
    var pause = Self.pauseMin
    while !Task.isCancelled {
      do {
        try await ensureOnce()
        return
      } catch is CancellationError {
        return
      } catch {
        log.debug("endpoints of the API server: \(error)")
        try? await Task.sleep(for: .milliseconds(pause))
        pause = min(pause * 2, Self.pauseMax)
      }
    }
  }

  private func ensureOnce() async throws {
    try await DefaultStorageClass(client: client).ensure()
    let ports: JSON = [["name": "https", "port": JSON(server.port), "protocol": "TCP"]]
    try await put(
      ResourcePath("endpoints", namespace: "default"),
      [
        "kind": "Endpoints", "apiVersion": "v1",
        "metadata": ["name": "kubernetes", "labels": ["endpointslice.kubernetes.io/skip-mirror": "true"]],
        "subsets": [["addresses": [["ip": .string(server.address)]], "ports": ports]],
      ], same: ["subsets"])
    try await put(
      ResourcePath(group: "discovery.k8s.io", "endpointslices", namespace: "default"),
      slice("kubernetes", of: "kubernetes", server.address, ports), same: ["endpoints", "ports"])
    guard let dnsAddress else { return }
    let names: [JSON] = [("dns", "UDP"), ("dns-tcp", "TCP")].map {
      ["name": .string($0.0), "port": 53, "protocol": .string($0.1)]
    }
    try await put(
      .services("kube-system"),
      [
        "kind": "Service", "apiVersion": "v1",
        "metadata": [
          "name": "kube-dns",
          "labels": ["k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "ClusterDNS"],
        ],
        "spec": ["type": "ClusterIP", "clusterIP": .string(dnsAddress), "ports": .array(names)],
      ], same: [])
    try await put(
      ResourcePath(group: "discovery.k8s.io", "endpointslices", namespace: "kube-system"),
      slice("kube-dns", of: "kube-dns", dnsAddress, .array(names)), same: ["endpoints", "ports"])
  }

  private func slice(_ name: String, of service: String, _ address: String, _ ports: JSON) -> JSON {
    [
      "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
      "metadata": [
        "name": .string(name),
        "labels": ["kubernetes.io/service-name": .string(service), "endpointslice.kubernetes.io/managed-by": "swiftlet"],
      ],
      "endpoints": [["addresses": [.string(address)], "conditions": ["ready": true]]], "ports": ports,
    ]
  }

  /// Creates the object, or writes its fields in `same` where they differ.
  private func put(_ path: ResourcePath, _ object: JSON, same: [String]) async throws {
    let name = object["metadata"]["name"].string ?? ""
    do {
      var found = try await client.get(path, name: name)
      if same.allSatisfy({ found[$0] == object[$0] }) { return }
      for field in same { found[field] = object[field] }
      try await client.update(path, name: name, found)
    } catch let error as APIStatusError where error.isNotFound {
      try await client.create(path, object)
    }
  }
}
