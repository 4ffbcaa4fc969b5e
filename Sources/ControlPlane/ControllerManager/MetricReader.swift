import JSONCodec
import KubernetesAPI
import KubernetesClient
import Reconcilers

/// Reads what an autoscaler's metrics are now: of resources from the cluster's own metrics API, others from the APIs that an adapter
/// serves through an APIService.
///
/// Source: the types of custom.metrics.k8s.io/v1beta1 and v1beta2, external.metrics.k8s.io/v1beta1 and metrics.k8s.io/v1beta1.
struct MetricReader: Sendable {
  let client: KubernetesClient
  let kinds: KindDirectory
  let namespace: String
  /// The target's pods.
  let selector: String
  let now: Timestamp

  func reading(_ json: JSON) async -> AutoscalerRound.Reading {
    guard let metric = AutoscalerMetric(json) else { return .failed("unknown metric source type \"\(json["type"].string ?? "")\"") }
    do {
      switch metric.source {
      case .resource, .containerResource: return try await resource(metric)
      case .pods: return try await pods(metric)
      case .object: return try await object(metric)
      case .external: return try await external(metric)
      }
    } catch {
      let what = metric.isResource ? "metrics for resource" : "\(metric.source.rawValue.lowercased()) metric"
      return .failed("unable to get \(what) \(metric.name): \(error)")
    }
  }

  private func resource(_ metric: AutoscalerMetric) async throws -> AutoscalerRound.Reading {
    let path = ResourcePath(group: "metrics.k8s.io", version: "v1beta1", "pods", namespace: namespace)
    let items = try await client.list(path, labelSelector: selector).items
    return .usage(items.compactMap { usage($0, metric.name, container: metric.container) })
  }

  private func usage(_ item: JSON, _ resource: String, container: String?) -> PodUsage? {
    var milli: Int64 = 0
    var found = false
    for json in item["containers"].array ?? [] where container == nil || json["name"].string == container {
      guard let value = json["usage"][resource].quantity else { return nil }
      milli += value.milliValue
      found = true
    }
    guard found else { return nil }
    return PodUsage(
      pod: item.objectName.name, milli: milli, at: item["timestamp"].timestamp ?? now,
      windowSeconds: Self.seconds(item["window"].string ?? "") ?? 60)
  }

  private func pods(_ metric: AutoscalerMetric) async throws -> AutoscalerRound.Reading {
    let items = try await custom("namespaces/\(namespace)/pods/*/\(metric.name)", metric, [("labelSelector", selector)])
    return .usage(
      items.compactMap { item in
        guard let value = item["value"].quantity else { return nil }
        return PodUsage(
          pod: item["describedObject"]["name"].string ?? "", milli: value.milliValue, at: item["timestamp"].timestamp ?? now,
          windowSeconds: item["windowSeconds"].int.map(Double.init) ?? 60)
      })
  }

  private func object(_ metric: AutoscalerMetric) async throws -> AutoscalerRound.Reading {
    let described = metric.spec["describedObject"]
    let name = described["name"].string ?? ""
    guard let kind = kinds.kind(apiVersion: described["apiVersion"].string ?? "v1", described["kind"].string ?? "") else {
      return .failed("no matches for kind \"\(described["kind"].string ?? "")\" in group \"\(described["apiVersion"].string ?? "")\"")
    }
    let place =
      kind == .namespace
      ? "namespaces/\(name)/metrics" : kind.isNamespaced ? "namespaces/\(namespace)/\(kind)/\(name)" : "\(kind)/\(name)"
    guard let value = try await custom("\(place)/\(metric.name)", metric, []).first?["value"].quantity else {
      return .failed("no value of metric \(metric.name) for \(kind) \(name)")
    }
    return .value(milli: value.milliValue)
  }

  private func external(_ metric: AutoscalerMetric) async throws -> AutoscalerRound.Reading {
    let path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/\(namespace)/\(metric.name)"
    let items = try await client.document(path, query: metric.selector.map { [("labelSelector", $0)] } ?? [])["items"].array ?? []
    let values = items.compactMap { $0["value"].quantity?.milliValue }
    return values.isEmpty ? .failed("no metrics returned from external metrics API") : .value(milli: values.reduce(0, +))
  }

  /// Values of custom.metrics.k8s.io, in the newest version that is served.
  private func custom(_ path: String, _ metric: AutoscalerMetric, _ query: [(name: String, value: String)]) async throws -> [JSON] {
    let services = ResourcePath(group: "apiregistration.k8s.io", "apiservices")
    let isNew = (try? await client.get(services, name: "v1beta2.custom.metrics.k8s.io")) != nil
    let query = query + (metric.selector.map { [("metricLabelSelector", $0)] } ?? [])
    return try await client.document("/apis/custom.metrics.k8s.io/\(isNew ? "v1beta2" : "v1beta1")/\(path)", query: query)["items"].array
      ?? []
  }

  /// A duration as Go writes it: `15.012s`, `1m2.5s`.
  static func seconds(_ text: String) -> Double? {
    let units = ["h": 3600.0, "m": 60, "s": 1, "ms": 0.001]
    var (sum, rest) = (0.0, text[...])
    while !rest.isEmpty {
      let number = rest.prefix { $0.isNumber || $0 == "." }
      let unit = rest.dropFirst(number.count).prefix { $0.isLetter }
      guard let value = Double(number), let factor = units[String(unit)] else { return nil }
      sum += value * factor
      rest = rest.dropFirst(number.count + unit.count)
    }
    return text.isEmpty ? nil : sum
  }
}
