import APIMachinery
import AsyncHTTPClient
import JSONCodec
import KubernetesAPI
import NIOCore
import RevisionStore

/// metrics.k8s.io: how much nodes and pods use now, asked of their kubelets when somebody wants to know.
struct MetricsAPI: Sendable {
  /// Kubelets that are asked at a time.
  static let nodesAtOnce = 64
  /// Seconds that a kubelet may take, and bytes that it may say.
  static let fetchSeconds: Int64 = 5
  static let summaryBytesMax = 32 << 20

  static let group = "metrics.k8s.io"

  let server: APIServer

  func perform(_ call: APICall, _ request: ResourceRequest) async throws -> APIResult {
    guard call.method == "GET", !call.flag("watch"), request.subresource == nil else { throw APIFailure.methodNotAllowed("") }
    let found = request.resource.plural == "nodes" ? try await nodes(call, request) : try await pods(call, request)
    if let name = request.name {
      if let one = found.first { return .object(one) }
      throw request.resource.plural == "nodes"
        ? APIFailure.notFound(request.resource, name)
        : APIFailure(
          404, "NotFound", "podmetrics.metrics.k8s.io \"\(request.namespace ?? "")/\(name)\" not found",
          details: ["name": .string("\(request.namespace ?? "")/\(name)"), "group": "metrics.k8s.io", "kind": "podmetrics"])
    }
    return try shown(found, call, request)
  }

  private func shown(_ items: [JSON], _ call: APICall, _ request: ResourceRequest) throws -> APIResult {
    if case .table(let version, let include) = (call.answerForm ?? AnswerForm()).rendering {
      return .object(table(resource: request.resource, objects: items, now: .now, includeObject: include, version: version))
    }
    return .object([
      "kind": .string(request.resource.listKind), "apiVersion": .string(request.resource.apiVersion), "metadata": .object(JSONObject()),
      "items": .array(items),
    ])
  }

  /// The objects that the metrics are of, in the order of their names.
  private func subjects(_ call: APICall, _ request: ResourceRequest) async throws -> [JSON] {
    let selection = try Selection(call, request)
    if let name = request.name {
      let core = server.resources.resource(request.resource.plural)
      let key = ResourceRequest.prefix(core, namespace: request.namespace) + name
      guard let value = try await server.resources.store.get(key, at: nil) else { return [] }
      return [try server.resources.decoded.object(value)]
    }
    return try await server.resources.all(request.resource.plural, namespace: request.namespace).filter(selection.matches)
  }

  private func nodes(_ call: APICall, _ request: ResourceRequest) async throws -> [JSON] {
    let all = try await subjects(call, request)
    let readings = await readings(of: Set(all.compactMap { $0["metadata"]["name"].string }))
    return all.compactMap { node in
      guard let name = node["metadata"]["name"].string, let pair = readings[name], let last = pair.newer.node,
        let usage = ResourceUsage(from: pair.older.node, to: last)
      else { return nil }
      var result = Self.head("NodeMetrics", node, usage)
      result["usage"] = usage.json
      return result
    }
  }

  private func pods(_ call: APICall, _ request: ResourceRequest) async throws -> [JSON] {
    let all = try await subjects(call, request).filter { $0["status"]["phase"].string == "Running" }
    let readings = await readings(of: Set(all.compactMap { $0["spec"]["nodeName"].string }))
    return all.compactMap { pod in
      let name = UsageReading.PodName(namespace: pod["metadata"]["namespace"].string ?? "", name: pod["metadata"]["name"].string ?? "")
      guard let pair = readings[pod["spec"]["nodeName"].string ?? ""], let containers = pair.newer.pods[name] else { return nil }
      let usages = containers.sorted { $0.key < $1.key }.compactMap { container, last in
        ResourceUsage(from: pair.older.pods[name]?[container], to: last).map { (container, $0) }
      }
      guard let first = usages.first else { return nil }
      var result = Self.head("PodMetrics", pod, first.1)
      result["containers"] = .array(usages.map { ["name": .string($0), "usage": $1.json] })
      return result
    }
  }

  private static func head(_ kind: String, _ object: JSON, _ usage: ResourceUsage) -> JSON {
    let metadata = object["metadata"]
    return [
      "kind": .string(kind), "apiVersion": "metrics.k8s.io/v1beta1",
      "metadata": [
        "name": metadata["name"], "namespace": metadata["namespace"], "creationTimestamp": .string(Timestamp.now.rfc3339),
        "labels": metadata["labels"],
      ],
      "timestamp": .string(usage.at.rfc3339), "window": .string(ResourceUsage.duration(usage.seconds)),
    ]
  }

  /// Of the nodes that answer: one that does not is left out, as its pods are.
  private func readings(of nodes: Set<String>) async -> [String: UsageReader.Pair] {
    await withTaskGroup(of: (String, UsageReader.Pair?).self) { group in
      var waiting = nodes.makeIterator()
      var result: [String: UsageReader.Pair] = [:]
      func start(_ name: String) {
        group.addTask {
          do {
            return (name, try await server.usage.readings(of: name))
          } catch {
            server.log.debug("no metrics of node \(name): \(error)")
            return (name, nil)
          }
        }
      }
      for _ in 0..<Self.nodesAtOnce { if let name = waiting.next() { start(name) } }
      for await (name, pair) in group {
        result[name] = pair
        if let next = waiting.next() { start(next) }
      }
      return result
    }
  }

  /// A kubelet's summary, over its own port.
  static func summary(of node: String, _ resources: Resources, _ kubelets: KubeletConnections) async throws -> JSON {
    let object = try await resources.object("nodes", namespace: nil, name: node)
    let target = try NodeProxy.address(of: object)
    let host = target.host.contains(":") ? "[\(target.host)]" : target.host
    let request = HTTPClientRequest(url: "https://\(host):\(target.port)/stats/summary?only_cpu_and_memory=true")
    let answer = try await kubelets.http.execute(request, deadline: .now() + .seconds(fetchSeconds))
    let body = try await answer.body.collect(upTo: summaryBytesMax)
    guard answer.status == .ok else { throw APIFailure.unavailable("the kubelet of \(node) answered \(answer.status.code)") }
    return try JSON.parse(Array(body.readableBytesView))
  }
}
