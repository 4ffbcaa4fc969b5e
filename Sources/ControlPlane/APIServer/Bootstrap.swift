import APIMachinery
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Synchronization

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
    let ranges = ResourcePath(group: "networking.k8s.io", "servicecidrs")
    try await Self.ensure(
      client, ranges,
      [
        "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1", "metadata": ["name": "kubernetes"],
        "spec": ["cidrs": [.string(range.text)]],
      ])
    var object = try await client.get(ranges, name: "kubernetes")
    guard object["status"]["conditions"].isEmpty else { return }
    object["status"]["conditions"] = [
      [
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready",
        "lastTransitionTime": .string(Timestamp.now.rfc3339),
      ]
    ]
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

/// Furnishes each namespace with its default service account and the cluster's CA certificate, and empties and removes
/// namespaces that are deleted.
struct NamespaceController: Sendable {
  /// Milliseconds between two looks at a namespace whose last objects are still going.
  static let drainPause = 200
  /// The pause doubles up to this: a finalizer may hold an object for long.
  static let drainPauseMax = 5_000

  let client: KubernetesClient
  let server: APIServer

  func run() async {
    let draining = Draining()
    await withDiscardingTaskGroup { group in
      for await event in client.reflect(.namespaces, log: server.log) {
        let namespaces: [JSON] =
          switch event {
          case .synced(let all): all
          case .changed(let one): [one]
          case .deleted: []
          }
        for namespace in namespaces {
          let name = namespace["metadata"]["name"].string ?? ""
          if namespace["metadata"]["deletionTimestamp"].isNull {
            group.addTask { await furnish(name) }
          } else {
            group.addTask {
              guard draining.begin(name) else { return }
              await drain(name)
              draining.end(name)
            }
          }
        }
      }
    }
  }

  /// Creates what a namespace must have; what is there already stays.
  func furnish(_ name: String) async {
    do {
      try await APIServer.ensure(
        client, .serviceAccounts(name), ["kind": "ServiceAccount", "apiVersion": "v1", "metadata": ["name": "default"]])
      try await APIServer.ensure(
        client, .configMaps(name),
        [
          "kind": "ConfigMap", "apiVersion": "v1",
          "metadata": [
            "name": "kube-root-ca.crt",
            "annotations": [
              "kubernetes.io/description":
                "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc."
            ],
          ],
          "data": ["ca.crt": .string(server.configuration.authorityPEM)],
        ])
    } catch let error as APIStatusError where error.isNotFound || error.code == 403 {
      // The namespace went away in the meantime.
    } catch {
      server.log.warning("namespace \(name) is not furnished: \(error)")
    }
  }

  /// Deletes everything in a namespace and then its finalizer.
  private func drain(_ name: String) async {
    var pause = Self.drainPause
    while !Task.isCancelled {
      do {
        if try await emptied(name) {
          var namespace = try await client.get(.namespaces, name: name)
          guard !namespace["metadata"]["deletionTimestamp"].isNull else { return }
          namespace["spec"]["finalizers"] = .array([])
          try await client.update(.namespaces, name: name, subresource: "finalize", namespace)
          return
        }
      } catch let error as APIStatusError where error.isNotFound {
        return
      } catch {
        server.log.warning("namespace \(name) is not emptied yet: \(error)")
      }
      try? await Task.sleep(for: .milliseconds(pause))
      pause = min(pause * 2, Self.drainPauseMax)
    }
  }

  /// True when nothing is left.
  private func emptied(_ namespace: String) async throws -> Bool {
    var isEmpty = true
    for resource in server.registry.resources
    where resource.isNamespaced && resource.isServed && resource.verbs.contains("delete") && resource.group == resource.storageGroup {
      let path = ResourcePath(group: resource.group, version: resource.version, resource.plural, namespace: namespace)
      for item in try await client.list(path).items {
        isEmpty = false
        if !item["metadata"]["deletionTimestamp"].isNull { continue }
        do {
          try await client.delete(path, name: item["metadata"]["name"].string ?? "")
        } catch let error as APIStatusError where error.isNotFound {
        }
      }
    }
    return isEmpty
  }
}

/// The namespaces that are being emptied: one loop for each, however often it changes meanwhile.
/// What is being emptied, so that nothing is emptied twice at a time.
final class Draining: Sendable {
  private let names = Mutex<Set<String>>([])
  func begin(_ name: String) -> Bool { names.withLock { $0.insert(name).inserted } }
  func end(_ name: String) { names.withLock { _ = $0.remove(name) } }
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
    guard node["spec"]["podCIDR"].isEmpty, let name = node["metadata"]["name"].string else { return }
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
