import HTTPServing
import JSONCodec
import KubernetesAPI
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceRules

/// The proxy's answers to load balancers and monitoring: its own health, metrics, and one port for each service that asks for one.
actor ProxyHealthServers {
  typealias Check = (service: ObjectName, localEndpoints: Int)

  private let configuration: ServiceProxyConfiguration
  private let log: Logger
  private let report: @Sendable () async -> ProxyReport
  private var fixed: [HTTPServer] = []
  private var checks: [UInt16: Check] = [:]
  private var servers: [UInt16: HTTPServer] = [:]

  init(_ configuration: ServiceProxyConfiguration, log: Logger, report: @escaping @Sendable () async -> ProxyReport) {
    self.configuration = configuration
    self.log = log
    self.report = report
  }

  /// Without its ports the proxy works too, so that a second instance on a machine can run; that is only logged.
  func start() async throws {
    if let health = configuration.health {
      await listen(health.host, health.port) { [report] request in Self.health(request.path, await report()) }
    }
    if let metrics = configuration.metrics {
      await listen(metrics.host, metrics.port) { [report] request in Self.metrics(request.path, await report()) }
    }
  }

  private func listen(_ host: String, _ port: Int, _ answer: @escaping @Sendable (ServedRequest) async -> ServedResponse) async {
    let server = Self.server(host, port, answer)
    do {
      _ = try await server.start()
      fixed.append(server)
    } catch {
      log.warning("the service proxy does not answer on \(host):\(port): \(error)")
    }
  }

  private static func server(
    _ host: String, _ port: Int, _ answer: @escaping @Sendable (ServedRequest) async -> ServedResponse
  ) -> HTTPServer {
    HTTPServer(
      configuration: HTTPServerConfiguration(address: .tcp(host: host, port: port)), group: MultiThreadedEventLoopGroup.singleton,
      handler: answer)
  }

  func stop() async {
    for server in fixed + Array(servers.values) { await server.stop() }
    fixed = []
    servers = [:]
  }

  /// Opens and closes ports of services, and changes what they say.
  func set(_ wanted: [UInt16: Check]) async {
    checks = wanted
    for port in servers.keys where wanted[port] == nil { await servers.removeValue(forKey: port)?.stop() }
    for port in wanted.keys where servers[port] == nil {
      let server = Self.server("0.0.0.0", Int(port)) { [weak self] _ in await self?.answer(port) ?? .text(.serviceUnavailable, "") }
      servers[port] = server
      do {
        _ = try await server.start()
      } catch {
        servers[port] = nil
        log.warning("health checks of service \(wanted[port]?.service.description ?? "") cannot be answered on port \(port): \(error)")
      }
    }
  }

  private func answer(_ port: UInt16) async -> ServedResponse {
    guard let check = checks[port] else { return .text(.notFound, "no service has this port\n") }
    let isHealthy = await !report().isBehind
    return Self.serviceHealth(check, isHealthy: isHealthy)
  }

  static func serviceHealth(_ check: Check, isHealthy: Bool) -> ServedResponse {
    let body: JSON = [
      "service": ["namespace": .string(check.service.namespace), "name": .string(check.service.name)],
      "localEndpoints": JSON(check.localEndpoints), "serviceProxyHealthy": .bool(isHealthy),
    ]
    var response = json(check.localEndpoints > 0 && isHealthy ? .ok : .serviceUnavailable, body)
    response.headers.add(name: "X-Load-Balancing-Endpoint-Weight", value: "\(check.localEndpoints)")
    return response
  }

  static func health(_ path: String, _ report: ProxyReport) -> ServedResponse {
    guard path == "/healthz" || path == "/livez" else { return .text(.notFound, "404 page not found\n") }
    let age = report.statistics.lastTold.map { Double((ContinuousClock.now - $0).components.seconds) } ?? 0
    let now = Timestamp.now
    let isUp = !report.isBehind && (path == "/livez" || report.statistics.isNodeEligible)
    return json(
      isUp ? .ok : .serviceUnavailable,
      [
        "lastUpdated": .string(now.advanced(bySeconds: -age).rfc3339), "currentTime": .string(now.rfc3339),
        "nodeEligible": .bool(report.statistics.isNodeEligible),
      ])
  }

  private static func json(_ status: HTTPResponseStatus, _ body: JSON) -> ServedResponse {
    var response = ServedResponse.text(status, body.text() + "\n")
    response.headers.replaceOrAdd(name: "Content-Type", value: "application/json")
    response.headers.replaceOrAdd(name: "X-Content-Type-Options", value: "nosniff")
    return response
  }

  static func metrics(_ path: String, _ report: ProxyReport) -> ServedResponse {
    let statistics = report.statistics
    switch path {
    case "/proxyMode": return .text(.ok, "nftables")
    case "/healthz": return .text(.ok, "ok")
    case "/metrics":
      let lines = [
        ("kubeproxy_sync_proxy_rules_duration_seconds_sum", "\(statistics.secondsTotal)"),
        ("kubeproxy_sync_proxy_rules_duration_seconds_count", "\(statistics.transactions)"),
        ("kubeproxy_sync_full_proxy_rules_duration_seconds_count", "\(statistics.comparisons)"),
        ("kubeproxy_sync_proxy_rules_nftables_sync_failures_total", "\(statistics.failures)"),
        ("kubeproxy_conntrack_reconciler_deleted_entries_total", "\(statistics.flowsEnded)"),
      ]
      return .text(.ok, lines.map { "\($0.0) \($0.1)\n" }.joined())
    default: return .text(.notFound, "404 page not found\n")
    }
  }
}
