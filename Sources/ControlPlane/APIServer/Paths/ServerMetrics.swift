import HTTPServing
import Synchronization

/// The labels under which a request counts, as upstream's.
struct RequestSeries: Hashable, Sendable {
  var verb = "other"
  var group = ""
  var version = ""
  var resource = ""
  var subresource = ""
  /// "resource", "namespace" or "cluster"; empty beside resources.
  var scope = ""

  /// Any other method counts as "other": what a stranger sends must not become a series of its own.
  private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
  private static let connecting: Set<String> = ["log", "exec", "attach", "portforward", "proxy"]

  init(_ request: ServedRequest, _ target: ResourceRequest?) {
    let method = request.method.rawValue
    if Self.methods.contains(method) { verb = method }
    guard let target else { return }
    group = target.resource.group
    version = target.resource.version
    resource = target.resource.plural
    // Of what does not exist nothing is counted.
    subresource = target.subresource.flatMap { name in target.resource.subresources.contains { $0.name == name } ? name : nil } ?? ""
    scope = target.name != nil || method == "POST" ? "resource" : target.namespace != nil ? "namespace" : "cluster"
    if Self.connecting.contains(subresource) {
      verb = "CONNECT"
    } else if verb == "PATCH", request.headers.first(name: "content-type")?.hasPrefix("application/apply-patch") == true {
      verb = "APPLY"
    } else {
      let names = ["watch": "WATCH", "list": "LIST", "deletecollection": "DELETECOLLECTION"]
      verb = names[APIServer.verb(request, target)] ?? verb
    }
  }

  /// Goes on for as long as somebody reads.
  var isLongRunning: Bool { verb == "WATCH" || verb == "CONNECT" }

  var labels: String {
    "component=\"apiserver\",group=\"\(group)\",resource=\"\(resource)\",scope=\"\(scope)\",subresource=\"\(subresource)\","
      + "verb=\"\(verb)\",version=\"\(version)\""
  }
}

/// Counts of requests, in Prometheus' text form and under upstream's names.
final class ServerMetrics: Sendable {
  /// Seconds.
  private static let bounds: [Double] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
  ]

  private struct Counter: Hashable {
    let series: RequestSeries
    let code: Int
  }
  private struct Histogram {
    /// Requests of each step alone; the last is for what takes longer than all.
    var counts = [Int](repeating: 0, count: ServerMetrics.bounds.count + 1)
    var sum = 0.0
  }
  private struct State {
    var requests: [Counter: Int] = [:]
    var durations: [RequestSeries: Histogram] = [:]
    var longRunning: [RequestSeries: Int] = [:]
    var reading = 0
    var mutating = 0
  }
  private let state = Mutex(State())

  func count(_ series: RequestSeries, code: Int, duration: Duration) {
    let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    state.withLock { state in
      state.requests[Counter(series: series, code: code), default: 0] += 1
      guard !series.isLongRunning else { return }
      let step = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
      state.durations[series, default: Histogram()].counts[step] += 1
      state.durations[series, default: Histogram()].sum += seconds
    }
  }

  func began(isMutating: Bool) { state.withLock { state in if isMutating { state.mutating += 1 } else { state.reading += 1 } } }
  func ended(isMutating: Bool) { state.withLock { state in if isMutating { state.mutating -= 1 } else { state.reading -= 1 } } }

  /// The response, counted as running until it has ended.
  func following(_ response: ServedResponse, _ series: RequestSeries) -> ServedResponse {
    var response = response
    if case .stream(let body) = response.body {
      response.body = .stream { writer in
        self.change(series, by: 1)
        defer { self.change(series, by: -1) }
        try await body(writer)
      }
    }
    if let takeOver = response.takeOver {
      response.takeOver = { channel in
        self.change(series, by: 1)
        defer { self.change(series, by: -1) }
        await takeOver(channel)
      }
    }
    return response
  }

  private func change(_ series: RequestSeries, by count: Int) { state.withLock { $0.longRunning[series, default: 0] += count } }

  func text(revision: Int64) -> String {
    state.withLock { state in
      var text = Self.head("apiserver_request_total", "counter", "Requests by what they asked for and the status of the answer.")
      func lines(_ found: [String]) { for line in found.sorted() { text += line + "\n" } }
      lines(state.requests.map { "apiserver_request_total{code=\"\($0.code)\",dry_run=\"\",\($0.series.labels)} \($1)" })
      text += Self.head("apiserver_request_duration_seconds", "histogram", "Time until the head of the answer.")
      for (series, histogram) in state.durations.sorted(by: { $0.key.labels < $1.key.labels }) {
        text += Self.lines("apiserver_request_duration_seconds", "dry_run=\"\",\(series.labels)", histogram)
      }
      text += Self.head("apiserver_longrunning_requests", "gauge", "Watches, logs and connections that go on.")
      lines(state.longRunning.map { "apiserver_longrunning_requests{\($0.labels)} \($1)" })
      text += Self.head("apiserver_current_inflight_requests", "gauge", "Requests that are worked on, those that go on left out.")
      text += "apiserver_current_inflight_requests{request_kind=\"mutating\"} \(state.mutating)\n"
      text += "apiserver_current_inflight_requests{request_kind=\"readOnly\"} \(state.reading)\n"
      text += Self.head("kubernetes_build_info", "gauge", "What this program says it is.")
      let version = ["major", "minor", "gitVersion", "platform"].map { (name: $0, value: APIServer.version[$0].string ?? "") }
      let names = ["gitVersion": "git_version"]
      text += "kubernetes_build_info{\(version.map { "\(names[$0.name] ?? $0.name)=\"\($0.value)\"" }.joined(separator: ","))} 1\n"
      text += Self.head("swiftlet_store_revision", "gauge", "The newest revision.") + "swiftlet_store_revision \(revision)\n"
      return text
    }
  }

  private static func head(_ name: String, _ type: String, _ help: String) -> String { "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n" }

  private static func lines(_ name: String, _ labels: String, _ histogram: Histogram) -> String {
    var text = ""
    var total = 0
    for (bound, count) in zip(bounds, histogram.counts) {
      total += count
      let shown = bound == bound.rounded() ? String(Int(bound)) : String(bound)
      text += "\(name)_bucket{\(labels),le=\"\(shown)\"} \(total)\n"
    }
    total += histogram.counts[bounds.count]
    return text
      + "\(name)_bucket{\(labels),le=\"+Inf\"} \(total)\n\(name)_sum{\(labels)} \(histogram.sum)\n\(name)_count{\(labels)} \(total)\n"
  }
}
