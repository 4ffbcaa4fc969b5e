import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers
import Testing

@testable import ControllerManager

/// Metrics adapters as they are seen from here: a document for each path and query.
private struct Adapters: APITransport {
  let documents: [String: JSON]

  func send(_ request: APIRequest) async throws -> APIResponse {
    let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
    let uri = query.isEmpty ? request.path : "\(request.path)?\(query)"
    guard request.method == "GET", let document = documents[uri] else {
      return APIResponse(status: 404, body: ["code": 404, "reason": "NotFound", "message": .string("nothing at \(uri)")])
    }
    return APIResponse(status: 200, body: document)
  }

  func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> { AsyncThrowingStream { $0.finish() } }
}

@Suite struct MetricReaderTests {
  private static let now = Timestamp(rfc3339: "2026-11-23T10:00:00Z")!

  private func reading(_ metric: JSON, _ documents: [String: JSON]) async -> AutoscalerRound.Reading {
    let client = KubernetesClient(transport: Adapters(documents: documents))
    let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let kinds = KindDirectory(caches: SharedCaches(client: client, time: .system, log: log))
    return await MetricReader(client: client, kinds: kinds, namespace: "shop", selector: "app=web", now: Self.now).reading(metric)
  }

  private func value(_ name: String, _ value: String) -> JSON {
    ["describedObject": ["kind": "Pod", "name": .string(name)], "value": .string(value), "timestamp": "2026-11-23T09:59:50Z"]
  }

  @Test func podsTellTheirOwn() async {
    let path = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/*/requests"
    let metric: JSON = [
      "type": "Pods", "pods": ["metric": ["name": "requests"], "target": ["type": "AverageValue", "averageValue": "10"]],
    ]
    let answer = await reading(metric, ["\(path)?labelSelector=app=web": ["items": [value("a", "12500m"), value("b", "3")]]])
    guard case .usage(let usage) = answer else { Issue.record("\(answer)"); return }
    #expect(usage.map(\.pod) == ["a", "b"] && usage.map(\.milli) == [12_500, 3_000])
    #expect(usage.allSatisfy { $0.at == Self.now.advanced(bySeconds: -10) })
  }

  /// The newest version that is served, and one series of the metric among several.
  @Test(
    arguments: [
      (["apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"], "namespaces/shop/ingresses.networking.k8s.io/front"),
      (["apiVersion": "v1", "kind": "Service", "name": "web"], "namespaces/shop/services/web"),
      (["apiVersion": "v1", "kind": "Node", "name": "n1"], "nodes/n1"),
      (["apiVersion": "v1", "kind": "Namespace", "name": "shop"], "namespaces/shop/metrics"),
    ] as [(JSON, String)])
  func objectsTellTheirs(described: JSON, place: String) async {
    let metric: JSON = [
      "type": "Object",
      "object": [
        "describedObject": described, "target": ["type": "Value", "value": "2k"],
        "metric": ["name": "hits", "selector": ["matchLabels": ["verb": "GET"]]],
      ],
    ]
    let answer = await reading(
      metric,
      [
        "/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io": ["kind": "APIService"],
        "/apis/custom.metrics.k8s.io/v1beta2/\(place)/hits?metricLabelSelector=verb=GET": ["items": [value("x", "3k")]],
      ])
    guard case .value(let milli) = answer else { Issue.record("\(answer)"); return }
    #expect(milli == 3_000_000)
  }

  @Test func externalSeriesAreAdded() async {
    let metric: JSON = [
      "type": "External",
      "external": [
        "metric": ["name": "queue", "selector": ["matchExpressions": [["key": "topic", "operator": "In", "values": ["a", "b"]]]]],
        "target": ["type": "AverageValue", "averageValue": "30"],
      ],
    ]
    let path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue?labelSelector=topic in (a,b)"
    let answer = await reading(metric, [path: ["items": [["value": "40"], ["value": "25500m"]]]])
    guard case .value(let milli) = answer else { Issue.record("\(answer)"); return }
    #expect(milli == 65_500)
    guard case .failed(let message) = await reading(metric, [:]) else { Issue.record("no failure"); return }
    #expect(message.hasPrefix("unable to get external metric queue: nothing at /apis/external.metrics.k8s.io"))
  }

  @Test func oneContainerOfEachPod() async {
    let metric: JSON = [
      "type": "ContainerResource",
      "containerResource": ["name": "cpu", "container": "app", "target": ["type": "Utilization", "averageUtilization": 50]],
    ]
    let item: JSON = [
      "metadata": ["name": "a"], "timestamp": "2026-11-23T09:59:50Z", "window": "15s",
      "containers": [["name": "app", "usage": ["cpu": "70m"]], ["name": "log", "usage": ["cpu": "500m"]]],
    ]
    let answer = await reading(metric, ["/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=app=web": ["items": [item]]])
    guard case .usage(let usage) = answer else { Issue.record("\(answer)"); return }
    #expect(usage.map(\.milli) == [70] && usage.map(\.windowSeconds) == [15])
  }

  @Test func durations() {
    #expect(MetricReader.seconds("15.012s") == 15.012)
    #expect(MetricReader.seconds("1m2.5s") == 62.5)
    #expect(MetricReader.seconds("1h") == 3600)
    #expect(MetricReader.seconds("250ms") == 0.25)
    #expect(MetricReader.seconds("") == nil && MetricReader.seconds("3x") == nil)
  }
}
