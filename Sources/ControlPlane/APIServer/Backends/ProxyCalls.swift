import APIMachinery
import AsyncHTTPClient
import HTTPServing
import JSONCodec
import KubernetesAPI
import NIOCore
import NIOHTTP1

/// The `proxy` subresource of pods, services and nodes: a request that goes on to a program in the cluster as it came.
struct ProxyCalls: Sendable {
  let server: APIServer

  /// `[scheme:]name[:port]`, as the path names what is proxied to.
  struct Target: Equatable {
    var scheme = ""
    var name: String
    var port = ""

    init?(_ text: String) {
      let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      switch parts.count {
      case 1: name = parts[0]
      case 2: (name, port) = (parts[0], parts[1])
      case 3: (scheme, name, port) = (parts[0], parts[1], parts[2])
      default: return nil
      }
      guard ["", "http", "https"].contains(scheme), !name.isEmpty else { return nil }
    }
  }

  func perform(_ call: APICall, _ request: ResourceRequest) async throws -> APIResult {
    guard let served = call.served, let target = Target(request.name ?? "") else {
      throw APIFailure.badRequest("invalid \(request.resource.singular) request \"\(request.name ?? "")\"")
    }
    let (path, query) = Self.rest(served.uri)
    let isUpgrade = served.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    // A page's relative links only work below a path that ends with a slash.
    if path.isEmpty, !isUpgrade, served.method == .GET || served.method == .HEAD {
      let location = served.uri.prefix { $0 != "?" } + "/" + query
      return .served(ServedResponse(status: .movedPermanently, headers: ["Location": String(location)]))
    }
    let uri = (path.isEmpty ? "/" : path) + query
    if request.resource.plural == "nodes" { return try await node(served, target, uri, isUpgrade) }
    let backend = try await backend(target, request)
    let isTLS = target.scheme == "https"
    if isUpgrade {
      return .served(
        try await NodeProxy(server: server).forward(
          served, to: UpgradeTarget(host: backend.host, port: backend.port, tls: isTLS ? try Self.anybody() : nil), uri: uri))
    }
    let client = try server.backends.client(name: backend.host, address: backend.host, trust: .anybody)
    let url = "\(isTLS ? "https" : "http")://\(Self.bracketed(backend.host)):\(backend.port)\(uri)"
    let own = "\(Self.bracketed(backend.host)):\(backend.port)"
    return .served(try await proxied(served, url: url, client: client, own: own, keepsHost: true))
  }

  /// Passes a request on whose answer a browser may show: links of pages lead through the proxy again.
  private func proxied(_ served: ServedRequest, url: String, client: HTTPClient, own: String, keepsHost: Bool) async throws
    -> ServedResponse
  {
    let path = String(served.uri.prefix { $0 != "?" })
    let prefix = String(path.dropLast(Self.rest(served.uri).path.utf8.count))
    let host = served.headers.first(name: "host") ?? ""
    var outgoing = served
    outgoing.headers.replaceOrAdd(name: "X-Forwarded-Uri", value: path)
    let peer = served.remoteAddress.prefix(upTo: served.remoteAddress.lastIndex(of: ":") ?? served.remoteAddress.endIndex)
    if !peer.isEmpty { outgoing.headers.add(name: "X-Forwarded-For", value: String(peer)) }
    let answer = try await Self.send(outgoing, url: url, client: client, host: keepsHost && !host.isEmpty ? host : nil)
    var headers = Self.headers(answer)
    for name in Self.crossOrigin { headers.remove(name: name) }
    return ProxiedPage(links: ProxiedLinks(prefix: Self.escaped(prefix), hosts: [own, host])).response(answer, headers)
  }

  /// Headers by which a program in the cluster could open this server to scripts of other sites.
  private static let crossOrigin = [
    "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers", "Access-Control-Max-Age",
  ]

  /// What ends no attribute and opens no tag where it is put into a page.
  private static func escaped(_ path: String) -> String {
    path.reduce(into: "") { text, letter in
      switch letter {
      case "\"": text += "%22"
      case "'": text += "%27"
      case "<": text += "%3C"
      case ">": text += "%3E"
      case "&": text += "%26"
      default: text.append(letter)
      }
    }
  }

  /// Path and query behind `.../proxy`, as they were sent.
  static func rest(_ uri: String) -> (path: String, query: String) {
    let path = uri.prefix { $0 != "?" }
    let query = String(uri[path.endIndex...])
    // /api/v1/namespaces/<ns>/<plural>/<name>/proxy, or /api/v1/nodes/<name>/proxy
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let place = parts.count > 3 && parts[3] == "namespaces" ? 7 : 5
    guard parts.count > place + 1 else { return ("", query) }
    return ("/" + parts[(place + 1)...].joined(separator: "/"), query)
  }

  private static func anybody() throws -> ClientTLS { try ClientTLS(certificateChainPEM: [], privateKeyPEM: [], trustRootsPEM: []) }
  private static func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

  private func backend(_ target: Target, _ request: ResourceRequest) async throws -> Backend {
    let namespace = request.namespace ?? ""
    if request.resource.plural == "services" {
      return try await ServiceBackends(resources: server.resources).resolve(
        namespace: namespace, name: target.name, port: target.port, followsNames: false)
    }
    let pod = Pod(try await server.resources.object("pods", namespace: namespace, name: target.name))
    guard let address = pod.status["podIP"].string, !address.isEmpty, isProxyable(address) else {
      throw APIFailure.badRequest("address not allowed")
    }
    let containers = pod.spec.containers
    if target.port.isEmpty { return Backend(host: address, port: containers.flatMap(\.ports).first?["containerPort"].int ?? 80) }
    let named = containers.flatMap(\.ports).first { $0["name"].string == target.port }?["containerPort"].int
    guard let port = Int(target.port) ?? named, (1...65535).contains(port) else {
      throw APIFailure.badRequest("pod \(target.name) has no port \"\(target.port)\"")
    }
    return Backend(host: address, port: port)
  }

  private func node(_ served: ServedRequest, _ target: Target, _ uri: String, _ isUpgrade: Bool) async throws -> APIResult {
    let nodes = NodeProxy(server: server)
    var (host, port) = try await nodes.kubelet(of: target.name)
    let isKubelet = target.port.isEmpty || Int(target.port) == port
    if !isKubelet {
      guard isProxyable(host) else { throw APIFailure.badRequest("address not allowed") }
      port = Int(target.port) ?? port
    }
    let isTLS = isKubelet || target.scheme == "https"
    if isUpgrade {
      let tls = isKubelet ? server.kubelets.tls : isTLS ? try Self.anybody() : nil
      return .served(try await nodes.forward(served, to: UpgradeTarget(host: host, port: port, tls: tls), uri: uri))
    }
    let client = isKubelet ? server.kubelets.http : try server.backends.client(name: host, address: host, trust: .anybody)
    host = Self.bracketed(host)
    return .served(
      try await proxied(
        served, url: "\(isTLS ? "https" : "http")://\(host):\(port)\(uri)", client: client, own: "\(host):\(port)", keepsHost: !isKubelet))
  }

  /// Headers that belong to one connection, and those that would hand the caller's credential on.
  static let leftOut: Set<String> = [
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "host",
    "content-length", "authorization",
  ]

  static func forward(
    _ served: ServedRequest, url: String, client: HTTPClient, adding extra: [(String, String)] = []
  ) async throws -> ServedResponse {
    let answer = try await send(served, url: url, client: client, adding: extra)
    // A browser or client would take its credentials along to wherever the other server points.
    if (300...399).contains(answer.status.code), answer.headers.contains(name: "location") {
      return .text(.badGateway, "the backend attempted to redirect this request, which is not permitted")
    }
    return ServedResponse(
      status: answer.status, headers: headers(answer),
      body: .stream { writer in for try await part in answer.body { try await writer.write(part) } })
  }

  private static func headers(_ answer: HTTPClientResponse) -> HTTPHeaders {
    HTTPHeaders(answer.headers.filter { !leftOut.contains($0.name.lowercased()) }.map { ($0.name, $0.value) })
  }

  static func send(
    _ served: ServedRequest, url: String, client: HTTPClient, host: String? = nil, adding extra: [(String, String)] = []
  ) async throws -> HTTPClientResponse {
    var outgoing = HTTPClientRequest(url: url)
    outgoing.method = served.method
    for (name, value) in served.headers where !leftOut.contains(name.lowercased()) {
      // Who speaks is said by this server alone: a client's own word would be believed.
      if !extra.isEmpty, FrontProxy.isIdentity(name) { continue }
      outgoing.headers.add(name: name, value: value)
    }
    if let host { outgoing.headers.add(name: "Host", value: host) }
    for (name, value) in extra { outgoing.headers.add(name: name, value: value) }
    if served.body.readableBytes > 0 { outgoing.body = .bytes(served.body) }
    do {
      return try await client.execute(outgoing, deadline: .distantFuture)
    } catch {
      throw APIFailure.unavailable("error trying to reach service: \(error)")
    }
  }
}
