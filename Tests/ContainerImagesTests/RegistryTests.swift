import AsyncHTTPClient
import Glibc
import NIOCore
import OCISpec
import SystemPackage
import Testing

@testable import ContainerImages

/// Debian's docker-registry with a login, on loopback.
final class RealRegistry: Sendable {
  let host: String
  private let scratch = Scratch()
  private let pid: pid_t

  static let program = "/usr/bin/docker-registry"
  static var isThere: Bool { access(program, X_OK) == 0 && access("/usr/bin/htpasswd", X_OK) == 0 }

  init(user: String, password: String) async throws {
    // A free port: bound, read, released.
    let probe = try await WebServer { _ in .init() }
    let port = probe.port + 1
    host = "127.0.0.1:\(port)"
    precondition(system("htpasswd -Bbn \(user) \(password) > \(scratch.path)/htpasswd") == 0)
    let configuration = """
      version: 0.1
      log: {level: error}
      storage: {filesystem: {rootdirectory: \(scratch.path)/data}}
      http: {addr: "\(host)"}
      auth: {htpasswd: {realm: test, path: \(scratch.path)/htpasswd}}
      """
    scratch.write(Array(configuration.utf8), "config.yml")
    var child: pid_t = 0
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 1, "\(scratch.path)/log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    let arguments = [Self.program, "serve", "\(scratch.path)/config.yml"]
    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { argv.forEach { free($0) } }
    precondition(posix_spawn(&child, Self.program, &actions, nil, &argv, environ) == 0)
    pid = child
    for _ in 0..<200 {
      let request = HTTPClientRequest(url: "http://\(host)/v2/")
      if let answer = try? await HTTPClient.shared.execute(request, timeout: .seconds(1)), answer.status.code == 401 { return }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw ImageError(
      .network, "docker-registry does not start: \(String(decoding: readFile(scratch.appending("log")) ?? [], as: UTF8.self))")
  }

  deinit {
    kill(pid, SIGKILL)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
  }

  func push(_ image: TestImage, _ name: String, _ tag: String, authorization: String, type: String = MediaType.ociManifest) async throws {
    func send(_ method: String, _ url: String, _ body: [UInt8]?, _ type: String) async throws -> HTTPClientResponse {
      var request = HTTPClientRequest(url: url)
      request.method = .RAW(value: method)
      request.headers.add(name: "Authorization", value: authorization)
      if let body {
        request.headers.add(name: "Content-Type", value: type)
        request.body = .bytes(ByteBuffer(bytes: body))
      }
      let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
      _ = try await response.body.collect(upTo: 1 << 20)
      guard (200..<300).contains(response.status.code) else { throw ImageError(.registry, "\(method) \(url): \(response.status)") }
      return response
    }
    for blob in [image.config] + image.layers.map(\.stream) {
      let start = try await send("POST", "http://\(host)/v2/\(name)/blobs/uploads/", nil, "")
      let location = start.headers.first(name: "Location")!
      let url = location + (location.contains("?") ? "&" : "?") + "digest=\(sha256(blob))"
      _ = try await send("PUT", url, blob, "application/octet-stream")
    }
    _ = try await send("PUT", "http://\(host)/v2/\(name)/manifests/\(tag)", image.manifest, type)
  }

  /// The registry's own file of a blob: to be damaged behind its back.
  func blobFile(_ digest: Digest) -> FilePath {
    scratch.appending("data/docker/registry/v2/blobs/sha256/\(digest.hex.prefix(2))/\(digest.hex)/data")
  }
}

@Suite(.enabled(if: RealRegistry.isThere, "needs Debian's docker-registry and apache2-utils"))
struct RegistryTests {
  let scratch = Scratch()
  let image = TestImage([baseLayer, smallLayer("real"), tar { $0.add("opt/big", data: noise(2 << 20, seed: 21)) }])

  @Test func aRealRegistryWithLogin() async throws {
    let registry = try await RealRegistry(user: "joe", password: "canary-secret")
    let login = "Basic " + base64Encoded(Array("joe:canary-secret".utf8))
    try await registry.push(image, "team/app", "v1", authorization: login)
    let docker = TestImage([baseLayer, smallLayer("docker")], docker: true)
    try await registry.push(docker, "team/docker", "v1", authorization: login, type: MediaType.dockerManifest)
    let store = try await ImageStore(directory: scratch.appending("images"), configuration: testConfiguration())
    let secret = "{\"auths\":{\"http://\(registry.host)\":{\"auth\":\"\(base64Encoded(Array("joe:canary-secret".utf8)))\"}}}"
    let credentials = try RegistryCredential.parse(pullSecret: Array(secret.utf8))

    let record = try await store.pull("\(registry.host)/team/app:v1", credentials: credentials)
    #expect(record.id == image.configDigest.description && record.layers.count == 3)
    #expect(readFile(record.layers[2].appending("opt/big")) == noise(2 << 20, seed: 21))
    #expect(try await store.pull("\(registry.host)/team/docker:v1", credentials: credentials).id == docker.configDigest.description)
    #expect(children(scratch.appending("images/layers")).count == 4)

    func code(_ name: String, _ credentials: [RegistryCredential]) async -> ImageError? {
      do {
        _ = try await store.pull("\(registry.host)/\(name)", credentials: credentials)
        return nil
      } catch { return error as? ImageError }
    }
    #expect(await code("team/app:v1", [])?.code == .unauthorized)
    let wrong = await code("team/app:v1", [RegistryCredential(pattern: registry.host, username: "joe", password: "canary-wrong")])
    #expect(wrong?.code == .unauthorized && wrong?.message.contains("canary") == false)
    #expect(wrong?.message.contains("check the image pull secret") == true)
    let missing = await code("team/app:nosuch", credentials)
    #expect(missing?.code == .notFound && missing?.message.contains("manifest unknown") == true)
    #expect(await code("team/nosuch:v1", credentials)?.code == .notFound)

    // A layer cut short, and one changed, on the registry's disk.
    try await store.remove("\(registry.host)/team/app:v1")
    let file = registry.blobFile(sha256(image.layers[2].stream))
    let bytes = readFile(file)!
    truncate(file.string, off_t(bytes.count / 2))
    #expect(await code("team/app:v1", credentials)?.code == .truncated)
    var changed = bytes
    changed[changed.count / 2] ^= 1
    writeFile(changed, file)
    #expect(await code("team/app:v1", credentials)?.code == .digestMismatch)
    #expect(children(scratch.appending("images/tmp")).isEmpty && children(scratch.appending("images/layers")).count == 2)
    writeFile(bytes, file)
    #expect(await code("team/app:v1", credentials) == nil)
  }
}
