import APIMachinery
import AsyncHTTPClient
import JSONCodec
import KubernetesAPI
import NIOCore
import NIOHTTP1
import RevisionStore
import Synchronization

/// Keeps the APIService objects: those of what this server serves itself, and the availability of the others.
struct AggregationController: Sendable {
  /// Seconds between two looks at a server that answers, and at one that does not.
  static let interval = (available: 30.0, unavailable: 1.0)
  /// Seconds for a look.
  static let checkSeconds: Int64 = 5
  /// Bytes of a discovery document.
  static let documentBytesMax = 16 << 20

  let server: APIServer
  let services: LiveCollection
  private var resources: Resources { server.resources }

  init(server: APIServer) {
    self.server = server
    services = LiveCollection(
      store: server.resources.store, prefix: "/registry/apiregistration.k8s.io/apiservices/", log: server.log)
  }

  func run() async {
    let (news, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await services.run { continuation.yield() } }
      group.addTask { for await _ in resources.catalog.changes { await keepLocal() } }
      group.addTask { await follow(news, continuation) }
    }
  }

  // MARK: what this server serves itself

  private func keepLocal() async {
    do {
      let wanted = localAPIServices(resources.registry, now: .now)
      let stored = try await services.all().objects
      let names = Set(stored.compactMap { $0["metadata"]["name"].string })
      for var object in wanted where !names.contains(object["metadata"]["name"].string ?? "") {
        object["metadata"]["uid"] = .string(UUIDs.random())
        object["metadata"]["creationTimestamp"] = .string(Timestamp.now.rfc3339)
        let key = services.prefix + (object["metadata"]["name"].string ?? "")
        _ = try? await resources.store.write(.put(key: key, value: StoredForm.encode(object), .absent))
      }
      let kept = Set(wanted.compactMap { $0["metadata"]["name"].string })
      for object in stored where object["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"].string == "true" {
        let name = object["metadata"]["name"].string ?? ""
        guard !kept.contains(name) else { continue }
        _ = try? await resources.store.write(.delete(key: services.prefix + name, value: StoredForm.encode(object), .none))
      }
    } catch {
      server.log.warning("the APIService objects of this server were not written: \(error)")
    }
  }

  // MARK: other servers

  private func follow(_ news: AsyncStream<Void>, _ continuation: AsyncStream<Void>.Continuation) async {
    var known: [String: ExternalVersion] = [:]
    var due: [String: ContinuousClock.Instant] = [:]
    let timer = Mutex<Task<Void, Never>?>(nil)
    for await _ in news {
      guard let all = try? await services.all().objects else { continue }
      let wanted = Dictionary(all.compactMap(ExternalVersion.init).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
      for name in known.keys where wanted[name] == nil { (known[name], due[name]) = (nil, nil) }
      for (name, version) in wanted {
        var version = version
        if let before = known[name] {
          (version.resources, version.isAvailable, version.openAPI) = (before.resources, before.isAvailable, before.openAPI)
          if version != before { due[name] = nil }
        }
        known[name] = version
      }
      let now = ContinuousClock.now
      var verdicts: [(name: String, verdict: Verdict)] = []
      for (name, version) in known where due[name].map({ $0 <= now }) ?? true {
        let (checked, verdict) = await check(version)
        known[name] = checked
        due[name] = now + .seconds(checked.isAvailable ? Self.interval.available : Self.interval.unavailable)
        verdicts.append((name, verdict))
      }
      // First the routes, then the word: who reads that a service is available can use it.
      resources.catalog.setExternal(known.values.sorted { $0.name < $1.name })
      for (name, verdict) in verdicts { await write(all.first { $0["metadata"]["name"].string == name } ?? .null, verdict) }
      if let next = due.values.min() {
        timer.withLock { timer in
          timer?.cancel()
          timer = Task {
            try? await Task.sleep(until: next, tolerance: .milliseconds(100))
            if !Task.isCancelled { continuation.yield() }
          }
        }
      }
    }
    timer.withLock { $0?.cancel() }
  }

  /// Whether a server answered: the reason and message of its condition Available.
  private struct Verdict {
    let isAvailable: Bool
    let reason, message: String
  }

  /// Asks a server what it serves.
  private func check(_ version: ExternalVersion) async -> (ExternalVersion, Verdict) {
    var result = version
    let verdict: Verdict
    do {
      result.resources = try JSON.parse(try await ask(version, "/apis/\(version.group)/\(version.version)"))
      result.openAPI = await openAPI(of: version)
      verdict = Verdict(isAvailable: true, reason: "Passed", message: "all checks passed")
    } catch let failure as APIFailure where failure.code == 404 {
      let (namespace, name) = (version.service["namespace"].string ?? "", version.service["name"].string ?? "")
      verdict = Verdict(isAvailable: false, reason: "ServiceNotFound", message: "service/\(name) in \"\(namespace)\" is not present")
    } catch let failure as APIFailure {
      verdict = Verdict(isAvailable: false, reason: "MissingEndpoints", message: failure.message)
    } catch {
      verdict = Verdict(
        isAvailable: false, reason: "FailedDiscoveryCheck",
        message: "failing or missing response from https://\(version.host)/apis/\(version.group)/\(version.version): \(error)")
    }
    result.isAvailable = verdict.isAvailable
    return (result, verdict)
  }

  private struct BadAnswer: Error, CustomStringConvertible { let description: String }

  private func ask(_ version: ExternalVersion, _ path: String) async throws -> [UInt8] {
    let backend = try await server.backend(of: version)
    let client = try server.backends.client(
      name: version.host, address: backend.host, trust: version.trust, identity: server.configuration.frontProxyIdentity)
    var request = HTTPClientRequest(url: "https://\(version.host):\(backend.port)\(path)")
    request.headers = [
      FrontProxy.userHeader: "system:kube-aggregator", FrontProxy.groupHeader: "system:masters", "Accept": "application/json",
    ]
    let answer = try await client.execute(request, timeout: .seconds(Self.checkSeconds))
    let body = Array((try await answer.body.collect(upTo: Self.documentBytesMax)).readableBytesView)
    guard (200..<300).contains(answer.status.code) else { throw BadAnswer(description: "bad status from it: \(answer.status.code)") }
    return body
  }

  /// A server without these documents serves its kinds all the same.
  private func openAPI(of version: ExternalVersion) async -> ExternalOpenAPI? {
    let v3 = try? await ask(version, "/openapi/v3/apis/\(version.group)/\(version.version)")
    let v2 = (try? await ask(version, "/openapi/v2")).flatMap { try? JSON.parse($0) }
    return ExternalOpenAPI(
      v3: v3.flatMap { (try? JSON.parse($0))?["openapi"].string == nil ? nil : $0 },
      v2: v2.flatMap {
        $0["swagger"].string == nil ? nil : OpenAPIMerge.part(of: $0, group: version.group, version: version.version)
      })
  }

  private func write(_ object: JSON, _ verdict: Verdict) async {
    let (reason, message) = (verdict.reason, verdict.message)
    let current = (object["status"]["conditions"].array ?? []).first { $0["type"].string == "Available" } ?? .null
    let status = verdict.isAvailable ? "True" : "False"
    guard current["status"].string != status || current["reason"].string != reason || current["message"].string != message,
      let name = object["metadata"]["name"].string, let revision = object["metadata"]["resourceVersion"].string.flatMap({ Revision($0) })
    else { return }
    let since = current["status"].string == status ? current["lastTransitionTime"] : .string(Timestamp.now.rfc3339)
    var changed = object
    changed["status"]["conditions"] = [
      ["type": "Available", "status": .string(status), "lastTransitionTime": since, "reason": .string(reason), "message": .string(message)]
    ]
    // Whoever was faster is the next news.
    _ = try? await resources.store.write(.put(key: services.prefix + name, value: StoredForm.encode(changed), .revision(revision)))
  }
}
