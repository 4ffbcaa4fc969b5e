import APIMachinery
import AsyncHTTPClient
import HTTPServing
import JSONCodec
import NIOCore
import NIOHTTP1
import NIOPosix
import SystemPackage
import Testing

@testable import APIServer

/// A webhook that people would run: an HTTPS server that answers reviews.
final class TestHook: Sendable {
  let bundle: String
  let port: Int
  private let http: HTTPServer

  init(_ directory: FilePath, _ answer: @escaping @Sendable (JSON) async throws -> JSON) async throws {
    try PrivateDirectory.make(directory)
    let authority = try CertificateAuthority(directory: directory)
    let credential = try authority.server(commonName: "hook", names: ["localhost"], addresses: [[127, 0, 0, 1]])
    bundle = Base64.encode(Array(authority.certificatePEM.utf8))
    let tls = try ServerTLS(
      certificateChainPEM: Array(credential.certificatePEM.utf8), privateKeyPEM: Array(credential.keyPEM.utf8), clientAuthoritiesPEM: [])
    http = HTTPServer(
      configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0), tls: tls),
      group: MultiThreadedEventLoopGroup.singleton
    ) { request in
      do {
        let review = try JSON.parse(Array(request.body.readableBytesView))
        var response = try await answer(review["request"])
        response["uid"] = review["request"]["uid"]
        let body: JSON = ["kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response]
        return ServedResponse(headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(bytes: body.serialized())))
      } catch {
        return .text(.internalServerError, "\(error)")
      }
    }
    port = try await http.start()
  }

  func stop() async { await http.stop() }

  func configuration(_ kind: String, _ changes: JSON = .object(JSONObject()), resources: JSON = ["configmaps"]) -> JSON {
    var hook: JSON = [
      "name": "hook.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"],
      "clientConfig": ["url": .string("https://localhost:\(port)/review"), "caBundle": .string(bundle)],
      "rules": [["operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": resources]],
    ]
    for (name, value) in changes.object ?? JSONObject() { hook[name] = value }
    return [
      "kind": .string(kind), "apiVersion": "admissionregistration.k8s.io/v1", "metadata": ["name": "own"], "webhooks": [hook],
    ]
  }
}

@Suite(.timeLimit(.minutes(2))) struct WebhookTests {
  private let maps = "/api/v1/namespaces/default/configmaps"
  private let mutating = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
  private let validating = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
  private func map(_ name: String, labels: JSON = .object(JSONObject())) -> JSON {
    ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": .string(name), "labels": labels], "data": ["a": "b"]]
  }

  private func with(
    _ answer: @escaping @Sendable (JSON) async throws -> JSON, _ body: (TestServer, TestHook) async throws -> Void
  ) async throws {
    try await TestServer.with { test in
      let hook = try await TestHook(test.directory.appending("hook"), answer)
      do { try await body(test, hook) } catch {
        await hook.stop()
        throw error
      }
      await hook.stop()
    }
  }

  @Test func aPatchChangesTheObject() async throws {
    try await with({ request in
      let patch =
        #"[{"op":"add","path":"/data/more","value":"\#(request["operation"].string ?? "") by \#(request["userInfo"]["username"].string ?? "")"}]"#
      return ["allowed": true, "patchType": "JSONPatch", "patch": .string(Base64.encode(Array(patch.utf8))), "warnings": ["look out"]]
    }) { test, hook in
      let made = try await test.call("POST", mutating, hook.configuration("MutatingWebhookConfiguration"))
      #expect(made.status == 201, "\(made.body["message"])")
      let answer = try await test.call("POST", maps, map("m"))
      #expect(answer.status == 201 && answer.body["data"]["more"].string == "CREATE by admin", "\(answer.body["message"])")
      let dry = try await test.call("POST", maps, query: [("dryRun", "All")], map("dry"))
      #expect(dry.body["data"]["more"].string == "CREATE by admin")
    }
  }

  @Test func aDenialSaysWho() async throws {
    try await with({ request in
      if request["operation"].string == "DELETE" {
        return [
          "allowed": .bool(false),
          "status": ["message": .string("keep \(request["oldObject"]["metadata"]["name"].string ?? "")"), "code": 403],
        ]
      }
      return request["name"].string == "bad" ? ["allowed": false] : ["allowed": true]
    }) { test, hook in
      #expect(try await test.call("POST", validating, hook.configuration("ValidatingWebhookConfiguration")).status == 201)
      #expect(try await test.call("POST", maps, map("good")).status == 201)
      let bad = try await test.call("POST", maps, map("bad"))
      #expect(
        bad.status == 400 && bad.body["message"].string == "admission webhook \"hook.example.org\" denied the request without explanation")
      let kept = try await test.call("DELETE", maps + "/good")
      #expect(kept.status == 403 && kept.body["message"].string == "admission webhook \"hook.example.org\" denied the request: keep good")
      // Nobody can be locked out by a webhook over the configurations themselves.
      #expect(try await test.call("DELETE", validating + "/own").status == 200)
      #expect(try await test.call("DELETE", maps + "/good").status == 200)
    }
  }

  @Test func selectorsAndRulesDecideWhoIsAsked() async throws {
    let selectors: JSON = [
      "objectSelector": ["matchLabels": ["judged": "yes"]],
      "namespaceSelector": ["matchExpressions": [["key": "kubernetes.io/metadata.name", "operator": "In", "values": ["default"]]]],
    ]
    try await with({ _ in ["allowed": false] }) { test, hook in
      let made = try await test.call("POST", validating, hook.configuration("ValidatingWebhookConfiguration", selectors))
      #expect(made.status == 201)
      #expect(try await test.call("POST", maps, map("free")).status == 201)
      #expect(try await test.call("POST", maps, map("judged", labels: ["judged": "yes"])).status == 400)
      #expect(try await test.call("POST", "/api/v1/namespaces/kube-public/configmaps", map("x", labels: ["judged": "yes"])).status == 201)
    }
  }

  @Test(arguments: [("Fail", 500), ("Ignore", 201)]) func theFailurePolicyDecides(_ policy: String, _ status: Int) async throws {
    try await with({ _ in
      try await Task.sleep(for: .seconds(5))
      return ["allowed": true]
    }) { test, hook in
      let own = hook.configuration("ValidatingWebhookConfiguration", ["failurePolicy": .string(policy), "timeoutSeconds": 1])
      #expect(try await test.call("POST", validating, own).status == 201)
      let answer = try await test.call("POST", maps, map("m"))
      #expect(answer.status == status)
      if policy == "Fail" {
        #expect(
          answer.body["message"].string
            == "Internal error occurred: failed calling webhook \"hook.example.org\": failed to call webhook: Post \"https://localhost:\(hook.port)/review?timeout=1s\": context deadline exceeded"
        )
      }
    }
  }

  @Test func sideEffectsForbidDryRuns() async throws {
    try await with({ _ in ["allowed": true] }) { test, hook in
      let own = hook.configuration("ValidatingWebhookConfiguration", ["sideEffects": "Some"])
      // v1 refuses such hooks; older stored ones still exist.
      _ = try await test.server.resources.store.write(
        .put(key: "/registry/admissionregistration.k8s.io/validatingwebhookconfigurations/own", value: StoredForm.encode(own), .absent))
      #expect(try await test.call("POST", maps, map("m")).status == 201)
      let dry = try await test.call("POST", maps, query: [("dryRun", "All")], map("d"))
      #expect(dry.status == 400 && dry.body["message"].string == "admission webhook \"hook.example.org\" does not support dry run")
    }
  }

  @Test(
    arguments: [
      ("pods", "pods", nil, true), ("pods", "pods", "status", false), ("pods/status", "pods", "status", true),
      ("pods/*", "pods", "status", true),
      ("*", "pods", nil, true), ("*", "pods", "status", false), ("*/*", "pods", "status", true), ("*/scale", "deployments", "scale", true),
      ("pods/status", "pods", nil, false),
    ] as [(String, String, String?, Bool)])
  func resourcePatterns(_ pattern: String, _ plural: String, _ subresource: String?, _ matches: Bool) {
    #expect(AdmissionRule.matches(pattern, plural, subresource) == matches)
  }
}

@Suite(.timeLimit(.minutes(2))) struct ProxyTests {
  @Test(arguments: [
    ("/api/v1/namespaces/n/pods/p/proxy", "", ""), ("/api/v1/namespaces/n/pods/p/proxy/", "/", ""),
    ("/api/v1/namespaces/n/services/http:s:80/proxy/a%2Fb/?x=/y", "/a%2Fb/", "?x=/y"), ("/api/v1/nodes/n/proxy/logs/", "/logs/", ""),
  ]) func whatFollows(_ uri: String, _ path: String, _ query: String) {
    #expect(ProxyCalls.rest(uri) == (path, query))
  }

  @Test func targets() {
    #expect(ProxyCalls.Target("https:web:443")?.scheme == "https")
    #expect(ProxyCalls.Target("web:http")?.port == "http")
    #expect(ProxyCalls.Target("ftp:web:21") == nil && ProxyCalls.Target("a:b:c:d") == nil && ProxyCalls.Target(":80") == nil)
  }

  @Test func aServiceIsReachedThroughItsEndpoints() async throws {
    try await TestServer.with { test in
      let http = HTTPServer(
        configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)), group: MultiThreadedEventLoopGroup.singleton
      ) { request in
        .text(
          .ok,
          "\(request.method.rawValue) \(request.uri) \(request.headers.first(name: "authorization") ?? "-") \(String(buffer: request.body))"
        )
      }
      let port = try await http.start()
      let service: JSON = [
        "kind": "Service", "apiVersion": "v1", "metadata": ["name": "s"], "spec": ["ports": [["name": "web", "port": 80]]],
      ]
      #expect(try await test.call("POST", "/api/v1/namespaces/default/services", service).status == 201)
      let slice: JSON = [
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": ["name": "s-1", "labels": ["kubernetes.io/service-name": "s"]], "ports": [["name": "web", "port": JSON(port)]],
        "endpoints": [["addresses": ["127.0.0.1"]]],
      ]
      // Loopback addresses are refused by validation: written as the controller's own would be.
      _ = try await test.server.resources.store.write(
        .put(
          key: "/registry/discovery.k8s.io/endpointslices/default/s-1",
          value: StoredForm.encode(slice.merging(["metadata": slice["metadata"].merging(["namespace": "default"])])), .absent))
      let front = HTTPServer(
        configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)), group: MultiThreadedEventLoopGroup.singleton
      ) { served in
        let path = served.path.split(separator: "/").map(String.init)
        var call = APICall(user: .controlPlane, method: served.method.rawValue, path: path, query: [])
        call.served = served
        var warnings = Warnings()
        do {
          guard let request = ResourceRequest(path: path, registry: test.server.registry),
            case .served(let answer) = try await test.server.perform(call, request, &warnings)
          else { return .text(.badRequest, "not served") }
          return answer
        } catch {
          return .text(HTTPResponseStatus(statusCode: test.server.failure(error).code), "\(error)")
        }
      }
      let frontPort = try await front.start()
      let client = try test.server.backends.client(name: "127.0.0.1", address: "127.0.0.1", trust: .anybody)
      func through(_ method: HTTPMethod, _ uri: String, _ body: String = "") async throws -> (Int, String, String?) {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(frontPort)\(uri)")
        request.method = method
        request.headers = ["Authorization": "Bearer secret"]
        if !body.isEmpty { request.body = .bytes(ByteBuffer(string: body)) }
        let answer = try await client.execute(request, timeout: .seconds(10))
        return (
          Int(answer.status.code), String(buffer: try await answer.body.collect(upTo: 1 << 20)), answer.headers.first(name: "location")
        )
      }
      let base = "/api/v1/namespaces/default/services"
      #expect(try await through(.POST, "\(base)/s:web/proxy/x/y?z=1", "body") == (200, "POST /x/y?z=1 - body", nil))
      #expect(try await through(.GET, "\(base)/http:s:80/proxy/") == (200, "GET / - ", nil))
      #expect(try await through(.GET, "\(base)/s/proxy?q=1").2 == "\(base)/s/proxy/?q=1")
      #expect(try await through(.GET, "\(base)/s:other/proxy/").0 == 503)
      await http.stop()
      #expect(try await through(.GET, "\(base)/s:web/proxy/").0 == 503)
      await front.stop()
    }
  }
}
