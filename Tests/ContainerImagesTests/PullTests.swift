import Glibc
import JSONCodec
import OCISpec
import Synchronization
import SystemPackage
import Testing

@testable import ContainerImages

@Suite struct PullTests {
  let scratch = Scratch()
  var directory: FilePath { scratch.appending("images") }
  let image = TestImage([baseLayer, smallLayer("pulled"), tar { $0.add("opt/big", data: noise(3 << 20, seed: 8)) }])

  func open(_ change: (inout RegistryConfiguration) -> Void = { _ in }) async throws -> ImageStore {
    var configuration = testConfiguration()
    change(&configuration)
    return try await ImageStore(directory: directory, configuration: configuration)
  }

  func isBare() -> Bool { ["layers", "tmp", "configs", "repairs"].allSatisfy { children(directory.appending($0)).isEmpty } }

  func failure(_ store: ImageStore, _ name: String, _ credentials: [RegistryCredential] = []) async -> ImageError? {
    do {
      _ = try await store.pull(name, credentials: credentials)
      return nil
    } catch { return error as? ImageError ?? ImageError(.storage, "\(error)") }
  }

  @Test(arguments: TestImage.Compression.allCases)
  func pullsEveryCompression(_ compression: TestImage.Compression) async throws {
    let image = TestImage([baseLayer, smallLayer("x")], compression)
    let server = try await fakeRegistry(["team/app:v1": image])
    let store = try await open()
    let record = try await store.pull("\(server.host)/team/app:v1")
    #expect(record.id == image.configDigest.description)
    #expect(record.names == ["\(server.host)/team/app:v1"])
    #expect(record.repoDigests == ["\(server.host)/team/app@\(image.manifestDigest)"])
    #expect(readFile(record.layers[1].appending("etc/name")) == [UInt8(ascii: "x")])
    let before = server.requests.count
    _ = try await store.pull("\(server.host)/team/app:v1")
    #expect(
      server.requests[before...].allSatisfy { !$0.path.contains(sha256(image.layers[0].stream).hex) },
      "layers that are here come no second time")
    let byDigest = try await store.pull("\(server.host)/team/app@\(image.manifestDigest)")
    #expect(byDigest.id == record.id)
    #expect(children(directory.appending("tmp")).isEmpty)
  }

  @Test func indexesByPlatform() async throws {
    let foreign = TestImage([smallLayer("no")], architecture: "s390x")
    func entry(_ image: TestImage, _ architecture: String) -> JSON {
      [
        "mediaType": JSON(MediaType.ociManifest), "digest": JSON(image.manifestDigest.description), "size": JSON(image.manifest.count),
        "platform": ["os": "linux", "architecture": JSON(architecture)],
      ]
    }
    func index(_ entries: [JSON], _ type: String = MediaType.ociIndex) -> (type: String, bytes: [UInt8]) {
      (type, (["schemaVersion": 2, "mediaType": JSON(type), "manifests": .array(entries)] as JSON).serialized())
    }
    func nested(_ document: (type: String, bytes: [UInt8])) -> JSON {
      [
        "mediaType": JSON(document.type), "digest": JSON(sha256(document.bytes).description), "size": JSON(document.bytes.count),
        "platform": ["os": "linux", "architecture": JSON(Platform.host.architecture)],
      ]
    }
    let good = index([entry(foreign, "s390x"), entry(image, Platform.host.architecture)])
    let two = index([nested(good)])
    let three = index([nested(two)])
    let only = index([entry(foreign, "s390x")], MediaType.dockerIndex)
    var documents = ["good": good, "only": only, "two": two, "three": three]
    for document in [good, two] { documents[sha256(document.bytes).description] = document }
    let server = try await fakeRegistry(["app:x": image, "app:y": foreign], documents: documents)
    let store = try await open()
    let record = try await store.pull("\(server.host)/app:good")
    #expect(record.id == image.configDigest.description)
    #expect(record.repoDigests == ["\(server.host)/app@\(sha256(good.bytes))", "\(server.host)/app@\(image.manifestDigest)"])
    #expect(try await store.pull("\(server.host)/app:two").id == record.id)
    #expect(await failure(store, "\(server.host)/app:three")?.code == .malformed)
    let none = await failure(store, "\(server.host)/app:only")
    #expect(none?.code == .unsupported && none?.message.contains("linux/s390x") == true)
    #expect(await failure(store, "\(server.host)/app:y")?.code == .unsupported)
  }

  @Test func failuresHaveNamesAndLeaveNothing() async throws {
    let image = image
    let layer = sha256(image.layers[2].stream).hex
    let server = try await fakeRegistry(["app:v": image]) { request, answer in
      var answer = answer
      let flavour = request.path.split(separator: "/")[1]
      switch flavour {
      case "truncated" where request.path.hasSuffix(layer): return .init(body: Array(image.layers[2].stream.prefix(5000)))
      case "longer" where request.path.hasSuffix(layer): return .init(body: image.layers[2].stream + [0])
      case "changed" where request.path.hasSuffix(layer): answer.body[answer.body.count / 2] ^= 1
      case "config" where request.path.hasSuffix(image.configDigest.hex): answer.body[3] ^= 1
      case "busy": return .init(status: 429)
      case "broken": return .init(status: 503)
      case "denied": return .init(status: 403, body: Array("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\\nnever\"}]}".utf8))
      case "nolayer" where request.path.hasSuffix(layer): return .init(status: 404)
      case "type": answer.headers = [("Content-Type", MediaType.ociIndex)]
      case "huge" where request.path.contains("manifests"): return .init(body: [UInt8](repeating: 0x20, count: 5 << 20))
      default: break
      }
      if flavour != "app", request.path.hasSuffix("/v"), answer.status == 404 {
        return .init(headers: [("Content-Type", flavour == "type" ? MediaType.ociIndex : MediaType.ociManifest)], body: image.manifest)
      }
      return answer
    }
    let store = try await open { $0.retryMilliseconds = 5 }
    let expected: [(String, ImageError.Code)] = [
      ("truncated", .truncated), ("longer", .tooLarge), ("changed", .digestMismatch), ("config", .digestMismatch),
      ("busy", .tooManyRequests),
      ("broken", .registry), ("denied", .unauthorized), ("nolayer", .notFound), ("type", .malformed), ("huge", .tooLarge),
    ]
    for (name, code) in expected {
      let error = await failure(store, "\(server.host)/\(name):v")
      #expect(error?.code == code, "\(name): \(String(describing: error))")
      #expect(error?.message.hasPrefix("pulling image \"\(server.host)/\(name):v\": ") == true)
      #expect(error?.waitingReason == "ErrImagePull")
      #expect(isBare(), "\(name)")
    }
    #expect(await failure(store, "\(server.host)/app:nosuch")?.code == .notFound)
    #expect(await failure(store, "Bad Name")?.waitingReason == "InvalidImageName")
    let closed = await failure(store, "127.0.0.1:1/app")
    #expect(closed?.code == .network && closed?.waitingReason == "RegistryUnavailable")
    #expect(await failure(store, "\(server.host)/app@sha256:\(String(repeating: "0", count: 64))")?.code == .notFound)
    #expect(await store.list().isEmpty && isBare())
    #expect(await failure(store, "\(server.host)/app:v") == nil)
  }

  @Test func aBombIsStopped() async throws {
    let bomb = TestImage([tar { $0.add("zeros", data: [UInt8](repeating: 0, count: 100 << 20)) }])
    let server = try await fakeRegistry(["bomb:v": bomb])
    let store = try await open { $0.limits.ratioFreeBytes = 8 << 20 }
    let error = await failure(store, "\(server.host)/bomb:v")
    #expect(error?.code == .limitExceeded && error?.message.contains("compressionRatioMax") == true)
    #expect(isBare())
  }

  @Test(arguments: [true, false])
  func brokenDownloadsGoOn(_ ranges: Bool) async throws {
    let layer = image.layers[2].stream
    let hex = sha256(layer).hex
    let cuts = Mutex(4)
    let server = try await fakeRegistry(["app:v": image], ranges: ranges) { request, answer in
      guard request.path.hasSuffix(hex),
        cuts.withLock({
          $0 -= 1; return $0 >= 0
        })
      else { return answer }
      var answer = answer
      answer.length = answer.body.count
      answer.body = Array(answer.body.prefix(ranges ? 500_000 : 2_000_000))
      return answer
    }
    let store = try await open {
      $0.retryMilliseconds = 1; $0.tries = 6
    }
    let record = try await store.pull("\(server.host)/app:v")
    #expect(readFile(record.layers[2].appending("opt/big")) == noise(3 << 20, seed: 8))
    let asked = server.requests.filter { $0.path.hasSuffix(hex) }.map { $0.header("Range") ?? "-" }
    #expect(asked.count == 5 && asked[0] == "-")
    #expect(asked.dropFirst().allSatisfy { $0.hasPrefix("bytes=") && $0.hasSuffix("-") })
  }

  @Test func concurrentPullsShareEverything() async throws {
    let other = TestImage([baseLayer, smallLayer("other")])
    let server = try await fakeRegistry(["app:v": image, "other:v": other]) { request, answer in
      var answer = answer
      if request.path.contains("blobs") { answer.delayMilliseconds = 50 }
      return answer
    }
    let store = try await open()
    try await withThrowingTaskGroup(of: String.self) { group in
      for i in 0..<20 { group.addTask { try await store.pull("\(server.host)/\(i % 4 == 0 ? "other" : "app"):v").id } }
      var ids: Set<String> = []
      for try await id in group { ids.insert(id) }
      #expect(ids.count == 2)
    }
    for stream in image.layers.map(\.stream) + other.layers.map(\.stream) {
      #expect(server.requests.count { $0.path.hasSuffix(sha256(stream).hex) } == 1)
    }
    #expect(server.requests.count { $0.path.hasSuffix("app/manifests/v") } == 1)
    #expect(children(directory.appending("layers")).count == 4)
  }

  /// One waiter's cancellation takes nothing from the other; the last one's stops the pull.
  @Test func cancellation() async throws {
    let server = try await fakeRegistry(["app:v": image]) { request, answer in
      var answer = answer
      if request.path.contains("blobs") { answer.delayMilliseconds = 300 }
      return answer
    }
    let store = try await open()
    let impatient = Task { try await store.pull("\(server.host)/app:v") }
    let patient = Task { try await store.pull("\(server.host)/app:v") }
    try await Task.sleep(for: .milliseconds(100))
    impatient.cancel()
    let first = await impatient.result
    #expect(throws: ImageError.self) { try first.get() }
    #expect(try await patient.value.id == image.configDigest.description)
    try await store.remove("\(server.host)/app:v")
    let alone = Task { try await store.pull("\(server.host)/app:v") }
    try await Task.sleep(for: .milliseconds(100))
    alone.cancel()
    _ = await alone.result
    for _ in 0..<100 where !isBare() { try await Task.sleep(for: .milliseconds(20)) }
    #expect(isBare())
  }

  @Test func mirrorsComeFirst() async throws {
    let origin = try await fakeRegistry(["app:v": image])
    let mirror = try await fakeRegistry(["app:v": image])
    let dead = "127.0.0.1:1"
    let empty = try await fakeRegistry([:])
    let store = try await open {
      $0.mirrors = [origin.host: [dead, empty.host, mirror.host]]
      $0.tries = 1
    }
    let record = try await store.pull("\(origin.host)/app:v")
    #expect(record.names == ["\(origin.host)/app:v"])
    #expect(origin.requests.isEmpty && !mirror.requests.isEmpty && !empty.requests.isEmpty)
    try await store.remove("\(origin.host)/app:v")
    let second = try await fakeRegistry(["only:v": image])
    _ = second
    #expect(await failure(store, "\(origin.host)/none:v")?.message.contains(origin.host) == true)
  }

  // MARK: Logins

  let login = "Basic " + base64Encoded(Array("joe:canary-secret".utf8))

  func credential(_ host: String, password: String = "canary-secret") -> RegistryCredential {
    RegistryCredential(pattern: host, username: "joe", password: password)
  }

  @Test func bearerTokens() async throws {
    let login = login
    let ownHost = Mutex("")
    let server = try await fakeRegistry(["app:v": image]) { request, answer in
      if request.path.hasPrefix("/token") {
        guard request.header("Authorization") == login else { return .init(status: 401) }
        let isRight = request.path.contains("scope=repository%3Aapp%3Apull") && request.path.contains("service=the%20service")
        return .init(body: Array("{\"token\":\"\(isRight ? "tok" : "wrong")\"}".utf8))
      }
      if request.header("Authorization") == "Bearer tok" { return answer }
      let realm = "Bearer realm=\"http://\(ownHost.withLock { $0 })/token\",service=\"the service\",scope=\"repository:app:pull\""
      return .init(status: 401, headers: [("WWW-Authenticate", realm)])
    }
    ownHost.withLock { $0 = server.host }
    let store = try await open()
    #expect(await failure(store, "\(server.host)/app:v")?.code == .unauthorized)
    let wrong = await failure(store, "\(server.host)/app:v", [credential(server.host, password: "canary-wrong")])
    #expect(wrong?.code == .unauthorized && wrong?.message.contains("canary") == false)
    // The wrong login first, then the right one; and logins for other registries are not tried.
    let credentials = [credential(server.host, password: "canary-wrong"), credential(server.host), credential("elsewhere.example")]
    _ = try await store.pull("\(server.host)/app:v", credentials: credentials)
    // One token for each session, whatever the number of layers.
    #expect(server.requests.count { $0.path.hasPrefix("/token") && $0.header("Authorization") == login } == 1)
  }

  /// CVE-2020-15157, CVE-2019-10214, CVE-2021-41092: nobody but the registry sees the login.
  @Test func loginsGoNowhereElse() async throws {
    let image = image
    let login = login
    let blobs = image.layers.map { sha256($0.stream).hex }
    let stranger = try await fakeRegistry(["app:v": image])
    let strangeHost = stranger.host
    let server = try await fakeRegistry(["app:v": image]) { request, answer in
      guard request.header("Authorization") == login else {
        return .init(status: 401, headers: [("WWW-Authenticate", "Basic realm=\"x\"")])
      }
      if blobs.contains(where: { request.path.hasSuffix($0) }) {
        return .init(status: 307, headers: [("Location", "http://\(strangeHost)\(request.path)")])
      }
      return answer
    }
    let store = try await open()
    _ = try await store.pull("\(server.host)/app:v", credentials: [credential(server.host)])
    #expect(stranger.requests.count == 3)
    #expect(stranger.requests.allSatisfy { $0.header("Authorization") == nil })
    // A challenge that names a token maker elsewhere: asked without the login.
    let thief = try await WebServer { _ in .init(body: Array("{\"token\":\"t\"}".utf8)) }
    let thiefHost = thief.host
    let luring = try await fakeRegistry(["app:w": image]) { _, _ in
      .init(status: 401, headers: [("WWW-Authenticate", "Bearer realm=\"http://\(thiefHost)/token\"")])
    }
    #expect(await failure(store, "\(luring.host)/app:w", [credential(luring.host)])?.code == .unauthorized)
    #expect(thief.requests.count == 1 && thief.requests.allSatisfy { $0.header("Authorization") == nil && !$0.path.contains("joe") })
    // A redirect to a stranger who asks for a login gets none.
    let asking = try await WebServer { _ in .init(status: 401, headers: [("WWW-Authenticate", "Basic realm=\"x\"")]) }
    let askingHost = asking.host
    let sending = try await fakeRegistry(["app:z": image]) { request, answer in
      request.path.contains("blobs") ? .init(status: 302, headers: [("Location", "http://\(askingHost)/x")]) : answer
    }
    try await store.remove("\(server.host)/app:v")
    #expect(await failure(store, "\(sending.host)/app:z", [credential(sending.host)])?.code == .unauthorized)
    #expect(!asking.requests.isEmpty && asking.requests.allSatisfy { $0.header("Authorization") == nil })
    // Redirects end.
    let circle = try await fakeRegistry([:]) { request, _ in .init(status: 302, headers: [("Location", request.path)]) }
    #expect(await failure(store, "\(circle.host)/app:v")?.code == .registry)
    #expect(circle.requests.count <= 6 * 3)
  }

  /// Foreign layers: a descriptor's `urls` are not followed.
  @Test func foreignURLsAreIgnored() async throws {
    let stranger = try await fakeRegistry(["app:v": image])
    var manifest = try JSON.parse(image.manifest)
    manifest["layers"] = .array(
      (manifest["layers"].array ?? []).map { layer in
        var layer = layer
        layer["urls"] = ["http://\(stranger.host)/layer"]
        return layer
      })
    let server = try await fakeRegistry(["app:v": image], documents: ["f": (MediaType.ociManifest, manifest.serialized())])
    let store = try await open()
    _ = try await store.pull("\(server.host)/app:f")
    #expect(stranger.requests.isEmpty)
  }
}
