import APIMachinery
import HTTPServing
import JSONCodec
import KubernetesClient
import NIOCore
import NIOHTTP1

/// What callers in this process ask of the servers behind this one, such as the autoscaler its metrics.
extension APIServer {
  /// Bytes of an answer that are read.
  private static let aggregatedBytesMax = 64 << 20

  /// The answer of the server that has a request's group and version; nil where it is none but this one.
  func aggregated(_ request: APIRequest, _ user: UserInfo) async throws -> APIResponse? {
    // Every call within the process comes by here, and most clusters have no other server.
    let external = resources.catalog.external
    guard !external.isEmpty else { return nil }
    let path = request.path.split(separator: "/").map(String.init)
    guard path.first == "apis", path.count > 3,
      let target = external.first(where: { $0.group == path[1] && $0.version == path[2] })
    else { return nil }
    var uri = path.reduce("") { $0 + "/" + percentEncoded($1) }
    for (i, item) in request.query.enumerated() { uri += (i == 0 ? "?" : "&") + item.name + "=" + percentEncoded(item.value) }
    var headers: HTTPHeaders = ["Accept": "application/json"]
    if request.body != nil { headers.add(name: "Content-Type", value: request.contentType) }
    let body = request.body.map { ByteBuffer(bytes: $0.serialized()) } ?? ByteBuffer()
    guard let served = ServedRequest(method: .RAW(value: request.method), uri: uri, headers: headers, body: body) else {
      throw APIFailure.noSuchPath
    }
    let backend = try await admitted(served, path, user, to: target)
    let answer = try await ProxyCalls.send(
      served, url: "https://\(target.host):\(backend.port)\(uri)", client: client(of: target, backend), adding: aggregationHeaders(user))
    let bytes = try await answer.body.collect(upTo: Self.aggregatedBytesMax)
    let json = (try? JSON.parse(bytes.readableBytesView)) ?? ["message": .string(String(buffer: bytes))]
    return APIResponse(status: Int(answer.status.code), body: json)
  }
}
