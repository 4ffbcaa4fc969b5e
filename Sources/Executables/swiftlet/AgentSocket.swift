import ContainerImages
import HTTPServing
import JSONCodec
import Kubelet
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import SystemPackage

/// Where the agent answers the machine's own tools: two Unix sockets that only root can open. One speaks the kubelet's
/// protocol without certificates (ps, logs, exec, inspect), the other is about images.
struct AgentSocket: StoppableServer {
  private let kubelet: KubeletServer
  private let images: HTTPServer

  init(path: String, kubelet: Kubelet, images: ImageStore, group: MultiThreadedEventLoopGroup, log: Logger) {
    self.kubelet = KubeletServer(
      configuration: KubeletServerConfiguration(unixSocket: path, nodeName: ""), backend: kubelet, group: group, log: log)
    let configuration = HTTPServerConfiguration(address: .unix(path: Self.imagesPath(path), mode: 0o600), tls: nil)
    self.images = HTTPServer(configuration: configuration, group: group) { await ImageRequests(store: images).answer($0) }
  }

  static func imagesPath(_ agentPath: String) -> String { agentPath.replacing("agent.sock", with: "images.sock") }

  func start() async throws {
    try await kubelet.start()
    try await images.start()
  }

  func stop() async {
    await kubelet.stop()
    await images.stop()
  }
}

/// Requests about images: GET /images, GET /images/inspect?name=, POST /images/import?path=, POST /images/pull?name=,
/// DELETE /images?name=. Answers are JSON; a failure is `{"error": text}` with a status of 4xx or 5xx.
private struct ImageRequests: Sendable {
  let store: ImageStore

  func answer(_ request: ServedRequest) async -> ServedResponse {
    do {
      return Self.json(.ok, try await perform(request))
    } catch let error as ImageError {
      return Self.json(error.code == .notFound ? .notFound : .badRequest, ["error": .string(error.message)])
    } catch {
      return Self.json(.internalServerError, ["error": .string("\(error)")])
    }
  }

  private func perform(_ request: ServedRequest) async throws -> JSON {
    let name = request.queryValue("name") ?? ""
    switch (request.method, request.path) {
    case (.GET, "/images"): return .array(await store.list().map(Self.summary))
    case (.GET, "/images/inspect"): return try await store.inspect(name)
    case (.POST, "/images/import"):
      return .array(try await store.importArchive(FilePath(request.queryValue("path") ?? "")).map(Self.summary))
    case (.POST, "/images/pull"): return Self.summary(try await store.pull(name, credentials: []))
    case (.DELETE, "/images"):
      try await store.remove(name)
      return ["removed": .string(name)]
    default: throw ImageError(.invalidName, "there is no \(request.method.rawValue) \(request.path)")
    }
  }

  private static func summary(_ image: ImageRecord) -> JSON {
    ["id": .string(image.id), "names": JSON(image.names), "repoDigests": JSON(image.repoDigests), "size": .int(image.size)]
  }

  private static func json(_ status: HTTPResponseStatus, _ body: JSON) -> ServedResponse {
    ServedResponse(status: status, headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(bytes: body.serialized())))
  }
}
