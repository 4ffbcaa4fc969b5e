import APIMachinery
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging

extension APIServer {
  /// Objects that every cluster has: its namespaces and the service of the API itself.
  func bootstrapObjects() async throws {
    let client = KubernetesClient(transport: LocalTransport(server: self, user: .controlPlane))
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
      try await Self.ensure(client, .namespaces, ["kind": "Namespace", "apiVersion": "v1", "metadata": ["name": .string(name)]])
      await NamespaceController(client: client, server: self).furnish(name)
    }
    guard let range = IPv4Range(configuration.serviceCIDR) else { return }
    try await ensureServiceRange(client, range)
    try await Self.ensure(
      client, .services("default"),
      [
        "kind": "Service", "apiVersion": "v1",
        "metadata": ["name": "kubernetes", "labels": ["component": "apiserver", "provider": "kubernetes"]],
        "spec": [
          "type": "ClusterIP", "clusterIP": .string(range.address(at: 1)),
          "ports": [["name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443]],
        ],
      ])
  }

  private func ensureServiceRange(_ client: KubernetesClient, _ range: IPv4Range) async throws {
    let ranges = ServiceRanges.path
    try await Self.ensure(
      client, ranges,
      [
        "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1", "metadata": ["name": "kubernetes"],
        "spec": ["cidrs": [.string(range.text)]],
      ])
    var object = try await client.get(ranges, name: "kubernetes")
    guard object["status"]["conditions"].isEmpty else { return }
    object["status"]["conditions"] = [ServiceRanges.condition(isReady: true)]
    try await client.update(ranges, name: "kubernetes", subresource: "status", object)
  }

  static func ensure(_ client: KubernetesClient, _ path: ResourcePath, _ object: JSON) async throws {
    // Looked for first: to create it again would claim what it has already claimed, an address say.
    do {
      _ = try await client.get(path, name: object["metadata"]["name"].string ?? "")
      return
    } catch let error as APIStatusError where error.isNotFound {
    }
    do {
      try await client.create(path, object)
    } catch let error as APIStatusError where error.isAlreadyExists {
    }
  }
}

/// Gives each node a range of pod addresses of its own.
struct NodeRangeController: Sendable {
  /// The size of a node's range.
  static let nodeBits = 24

  let client: KubernetesClient
  let range: String
  let log: Logger

  func run() async {
    guard let cluster = IPv4Range(range) else { return }
    var taken: [String: String] = [:]
    for await event in client.reflect(.nodes, log: log) {
      switch event {
      case .synced(let nodes):
        taken = [:]
        for node in nodes { note(node, in: &taken) }
        for node in nodes { await assign(node, cluster, &taken) }
      case .changed(let node):
        note(node, in: &taken)
        await assign(node, cluster, &taken)
      case .deleted(let node): taken[node["metadata"]["name"].string ?? ""] = nil
      }
    }
  }

  private func note(_ node: JSON, in taken: inout [String: String]) {
    if let cidr = node["spec"]["podCIDR"].string, let name = node["metadata"]["name"].string { taken[name] = cidr }
  }

  private func assign(_ node: JSON, _ cluster: IPv4Range, _ taken: inout [String: String]) async {
    // News from before our own patch show the node without the range that it has.
    guard node["spec"]["podCIDR"].isEmpty, let name = node["metadata"]["name"].string, taken[name] == nil else { return }
    let used = Set(taken.values)
    let bits = max(Self.nodeBits, cluster.bits)
    for index in 0..<(UInt32(1) << UInt32(bits - cluster.bits)) {
      guard let candidate = cluster.subrange(bits: bits, index: index)?.text, !used.contains(candidate) else { continue }
      do {
        try await client.patch(.nodes, name: name, ["spec": ["podCIDR": .string(candidate), "podCIDRs": [.string(candidate)]]])
        taken[name] = candidate
      } catch {
        log.warning("node \(name) got no pod range: \(error)")
      }
      return
    }
    log.error("no pod range is left for node \(name): --pod-cidr \(cluster.text) is used up")
  }
}
