import APIMachinery
import AsyncHTTPClient
import HTTPServing
import JSONCodec
import KubernetesAPI
import NIOCore
import NIOHTTP1
import NIOSSL
import RemoteStreams

/// How the server reaches the kubelets: logs are asked for and passed on, upgraded connections are tunnels. The protocols of
/// exec, attach and port-forward are spoken by the kubelet alone.
struct NodeProxy: Sendable {
  let server: APIServer

  func perform(_ call: APICall, _ request: ResourceRequest, _ subresource: String) async throws -> APIResult {
    if subresource == "log" { try PodLogOptions.check(call, pod: request.name ?? "") }
    let pod = Pod(try await server.resources.stored(request).object)
    let node = pod.spec.nodeName
    guard !node.isEmpty else {
      // A log that nobody writes yet is an empty one.
      if subresource == "log" { return .served(ServedResponse(status: .noContent)) }
      throw APIFailure.badRequest("pod \(pod.name) does not have a host assigned")
    }
    let container = try containerName(call, pod, subresource)
    let target = try await kubelet(of: node)
    let path = self.path(pod, container, subresource)
    let query = self.query(call, subresource)
    if subresource == "log" { return .served(try await log(call, target, path + query, pod, container)) }
    guard let served = call.served else { throw APIFailure.badRequest("Upgrade request required") }
    guard served.headers.contains(name: "upgrade") else { throw APIFailure.badRequest("Upgrade request required") }
    return .served(
      try await forward(served, to: UpgradeTarget(host: target.host, port: target.port, tls: server.kubelets.tls), uri: path + query))
  }

  /// The container that the request means: the only one, or the default one of the annotation.
  private func containerName(_ call: APICall, _ pod: Pod, _ subresource: String) throws -> String {
    guard subresource != "portforward" else { return "" }
    let all = pod.spec.containers + pod.spec.initContainers + pod.spec.ephemeralContainers
    if let name = call.parameter("container"), !name.isEmpty {
      guard all.contains(where: { $0.name == name }) else {
        throw APIFailure.badRequest("container \(name) is not valid for pod \(pod.name)")
      }
      return name
    }
    if let name = pod.metadata.annotations["kubectl.kubernetes.io/default-container"].string, all.contains(where: { $0.name == name }) {
      return name
    }
    let containers = pod.spec.containers
    guard containers.count == 1 else {
      throw APIFailure.badRequest(
        "a container name must be specified for pod \(pod.name), choose one of: [\(containers.map(\.name).joined(separator: " "))]")
    }
    return containers[0].name
  }

  private func path(_ pod: Pod, _ container: String, _ subresource: String) -> String {
    switch subresource {
    case "log": "/containerLogs/\(pod.namespace)/\(pod.name)/\(container)"
    case "portforward": "/portForward/\(pod.namespace)/\(pod.name)"
    default: "/\(subresource)/\(pod.namespace)/\(pod.name)/\(container)"
    }
  }

  private func query(_ call: APICall, _ subresource: String) -> String {
    var items: [(String, String)] = []
    for (name, value) in call.query where name != "container" {
      switch name {
      case "stdin": items.append(("input", Self.isTrue(value) ? "1" : "0"))
      case "stdout": items.append(("output", Self.isTrue(value) ? "1" : "0"))
      case "stderr": items.append(("error", Self.isTrue(value) ? "1" : "0"))
      case "tty": items.append(("tty", Self.isTrue(value) ? "1" : "0"))
      case "ports": items.append(("port", value))
      default: items.append((name, value))
      }
    }
    guard !items.isEmpty else { return "" }
    return "?" + items.map { "\(percentEncoded($0))=\(percentEncoded($1))" }.joined(separator: "&")
  }

  private static func isTrue(_ value: String) -> Bool { value == "1" || value == "true" }

  /// Where a node's kubelet listens.
  func kubelet(of name: String) async throws -> (host: String, port: Int) {
    let nodes = server.resources.resource("nodes")
    return try Self.address(
      of: try await server.resources.stored(ResourceRequest(resource: nodes, namespace: nil, name: name, subresource: nil)).object)
  }

  static func address(of node: JSON) throws -> (host: String, port: Int) {
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].int ?? 10250
    let addresses = node["status"]["addresses"].array ?? []
    let address = addresses.first { $0["type"].string == "InternalIP" } ?? addresses.first
    guard let host = address?["address"].string else {
      throw APIFailure.unavailable(
        "node \(node["metadata"]["name"].string ?? "") has no address yet: its kubelet has not posted its status")
    }
    return (host, port)
  }

  private func log(
    _ call: APICall, _ target: (host: String, port: Int), _ uri: String, _ pod: Pod, _ container: String
  ) async throws -> ServedResponse {
    var request = HTTPClientRequest(url: "https://\(target.host):\(target.port)\(uri)")
    request.headers.add(name: "User-Agent", value: "swiftlet-apiserver")
    let answer: HTTPClientResponse
    do {
      answer = try await server.kubelets.http.execute(request, deadline: .distantFuture)
    } catch {
      throw APIFailure.unavailable("Get \"https://\(target.host):\(target.port)\(uri)\": \(error)")
    }
    guard answer.status == .ok else {
      var text = String(buffer: (try? await answer.body.collect(upTo: 64 << 10)) ?? ByteBuffer())
      if text.hasSuffix("\n") { text.removeLast() }
      throw APIFailure(
        Int(answer.status.code), answer.status == .notFound ? "NotFound" : answer.status == .badRequest ? "BadRequest" : "InternalError",
        text)
    }
    if let served = call.served,
      let upgraded = WebSocketReading.upgrade(served, copy: { write in for try await part in answer.body { try await write(part) } })
    {
      return upgraded
    }
    return ServedResponse(
      status: .ok, headers: ["Content-Type": "text/plain"],
      body: .stream { writer in for try await part in answer.body { try await writer.write(part) } })
  }

  func forward(
    _ served: ServedRequest, to target: UpgradeTarget, uri: String
  ) async throws -> ServedResponse {
    var headers = HTTPHeaders()
    let left: Set<String> = ["host", "authorization", "content-length", "transfer-encoding", "accept-encoding"]
    for (name, value) in served.headers where !left.contains(name.lowercased()) { headers.add(name: name, value: value) }
    do {
      return try await forwardUpgrade(
        method: served.method, uri: uri, headers: headers,
        to: target,
        eventLoop: served.eventLoop ?? server.group.next())
    } catch let error as UpgradeForwardingError {
      throw APIFailure.internalError(error.description)
    }
  }
}

/// How the server identifies itself to kubelets.
package struct KubeletConnections: Sendable {
  let http: HTTPClient
  let tls: ClientTLS

  /// `authority`: PEM that kubelets' serving certificates are checked against.
  package init(credential: Credential, authority: String, group: any EventLoopGroup) throws {
    tls = try ClientTLS(
      certificateChainPEM: Array(credential.certificatePEM.utf8), privateKeyPEM: Array(credential.keyPEM.utf8),
      trustRootsPEM: Array(authority.utf8))
    var client = TLSConfiguration.makeClientConfiguration()
    client.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(credential.certificatePEM.utf8)).map { .certificate($0) }
    client.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(credential.keyPEM.utf8), format: .pem))
    client.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(authority.utf8)))
    var configuration = HTTPClient.Configuration(tlsConfiguration: client)
    configuration.timeout.connect = .seconds(5)
    configuration.httpVersion = .http1Only
    // A kubelet that was taken over must not send the server's own credential elsewhere.
    configuration.redirectConfiguration = .disallow
    // Who asks is told at once that a node is not there.
    configuration.connectionPool.retryConnectionEstablishment = false
    // Every followed log holds a connection for as long as somebody reads it.
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 4096
    http = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
  }
}

func percentEncoded(_ text: String) -> String {
  var result = ""
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
      result.unicodeScalars.append(UnicodeScalar(byte))
    default:
      let hex = String(byte, radix: 16, uppercase: true)
      result += byte < 16 ? "%0\(hex)" : "%\(hex)"
    }
  }
  return result
}
