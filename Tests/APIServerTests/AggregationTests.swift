import APIMachinery
import Authorization
import HTTPServing
import JSONCodec
import KubernetesClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import APIServer

@Suite(.timeLimit(.minutes(2))) struct AggregationTests {
  private let services = "/apis/apiregistration.k8s.io/v1/apiservices"

  /// An API server behind ours: it tells what it serves, and for whom it believes to work.
  private func extensionServer(_ test: TestServer) async throws -> (server: HTTPServer, port: Int, bundle: String) {
    let directory = test.directory.appending("extension")
    try PrivateDirectory.make(directory)
    let authority = try CertificateAuthority(directory: directory)
    let credential = try authority.server(commonName: "extension", names: ["ext.default.svc"], addresses: [])
    let tls = try ServerTLS(
      certificateChainPEM: Array(credential.certificatePEM.utf8), privateKeyPEM: Array(credential.keyPEM.utf8), clientAuthoritiesPEM: [])
    let http = HTTPServer(
      configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0), tls: tls),
      group: MultiThreadedEventLoopGroup.singleton
    ) { request in
      if request.path == "/apis/wardle.example.com/v1" {
        let list: JSON = [
          "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "wardle.example.com/v1",
          "resources": [
            ["name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get", "list"]],
            ["name": "flunders/status", "singularName": "", "namespaced": true, "kind": "Flunder", "verbs": ["get"]],
          ],
        ]
        return ServedResponse(headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(bytes: list.serialized())))
      }
      if let document = Self.openAPI[request.path] {
        return ServedResponse(headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(bytes: document.serialized())))
      }
      if request.headers.contains(name: "upgrade") {
        let who = request.headers["x-remote-group"].joined(separator: "+")
        return .upgrade(headers: ["Connection": "Upgrade", "Upgrade": "test", "X-Seen": who]) { channel in try? await channel.close() }
      }
      let who = request.headers.first(name: "x-remote-user") ?? "nobody"
      return .text(.ok, "\(request.uri) for \(who) of \(request.headers["x-remote-group"].joined(separator: "+"))")
    }
    return (http, try await http.start(), Base64.encode(Array(authority.certificatePEM.utf8)))
  }

  private static let openAPI: [String: JSON] = [
    "/openapi/v3/apis/wardle.example.com/v1": ["openapi": "3.0.0", "components": ["schemas": ["Flunder": ["type": "object"]]]],
    "/openapi/v2": [
      "swagger": "2.0",
      "paths": [
        "/apis/wardle.example.com/v1/flunders": [
          "get": ["responses": ["200": ["schema": ["$ref": "#/definitions/com.example.wardle.v1.Flunder"]]]]
        ],
        "/apis/other.example.com/v1/things": ["get": [:]],
      ],
      "definitions": [
        "com.example.wardle.v1.Flunder": [
          "type": "object", "properties": ["metadata": ["$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]],
        ],
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": ["type": "object", "description": "of another time"],
        "com.example.Unused": ["type": "object"],
      ],
    ],
  ]

  @Test func theirDocumentsBecomePartOfOurs() async throws {
    try await TestServer.with { test in
      let (http, port, bundle) = try await extensionServer(test)
      let controller = Task { await AggregationController(server: test.server).run() }
      try await register(test, port: port, bundle: bundle)
      try await until("the service is available") { try await available(test)["status"].string == "True" }
      func document(_ path: String, accept: String = "application/json") throws -> DiscoveryDocument? {
        try test.server.discovery.document(path.split(separator: "/").map(String.init), accept: accept)
      }
      let index = try JSON.parse(try #require(try document("/openapi/v3")).bytes)
      let url = index["paths"]["apis/wardle.example.com/v1"]["serverRelativeURL"].string ?? ""
      #expect(url.hasPrefix("/openapi/v3/apis/wardle.example.com/v1?hash="))
      #expect(index["paths"]["apis/apps/v1"]["serverRelativeURL"].string != nil)
      let theirs = try #require(try document("/openapi/v3/apis/wardle.example.com/v1"))
      #expect(try JSON.parse(theirs.bytes)["components"]["schemas"]["Flunder"]["type"] == "object")
      let whole = try JSON.parse(try #require(try document("/openapi/v2")).bytes)
      #expect(whole["paths"]["/apis/wardle.example.com/v1/flunders"].object != nil)
      #expect(whole["paths"]["/apis/other.example.com/v1/things"].isNull)
      #expect(whole["definitions"]["com.example.Unused"].isNull)
      #expect(whole["definitions"]["io.k8s.api.core.v1.Pod"].object != nil)
      // Two that differ live side by side.
      let flunder = whole["definitions"]["com.example.wardle.v1.Flunder"]
      #expect(flunder["properties"]["metadata"]["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta_v2")
      #expect(whole["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["description"] != "of another time")
      let binary = try #require(try document("/openapi/v2", accept: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"))
      #expect(binary.contentType.hasSuffix("protobuf") && !binary.bytes.isEmpty)
      controller.cancel()
      await http.stop()
    }
  }

  @Test func identityIsSaidByThisServerAlone() async throws {
    try await TestServer.with { test in
      let (http, port, bundle) = try await extensionServer(test)
      let controller = Task { await AggregationController(server: test.server).run() }
      try await register(test, port: port, bundle: bundle)
      try await until("the service is available") { try await available(test)["status"].string == "True" }
      let admin = UserInfo(name: "admin", groups: ["system:masters"])
      var headers: HTTPHeaders = ["X-Remote-Group": "stolen", "x-remote-user": "thief"]
      let path = "/apis/wardle.example.com/v1/namespaces/default/flunders"
      let plain = ServedRequest(method: .GET, uri: path, headers: headers)!
      let answer = try #require(try await test.server.aggregated(plain, path.split(separator: "/").map(String.init), admin))
      guard case .stream = answer.body else { Issue.record("no stream"); return }
      headers.add(name: "Connection", value: "Upgrade")
      headers.add(name: "Upgrade", value: "test")
      let upgrade = ServedRequest(method: .GET, uri: path, headers: headers)!
      let switched = try #require(try await test.server.aggregated(upgrade, path.split(separator: "/").map(String.init), admin))
      #expect(switched.status == .switchingProtocols && switched.headers.first(name: "x-seen") == "system:masters")
      controller.cancel()
      await http.stop()
    }
  }

  private func register(_ test: TestServer, port: Int, bundle: String) async throws {
    let service: JSON = ["kind": "Service", "apiVersion": "v1", "metadata": ["name": "ext"], "spec": ["ports": [["port": 443]]]]
    #expect(try await test.call("POST", "/api/v1/namespaces/default/services", service).status == 201)
    let slice: JSON = [
      "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
      "metadata": ["name": "ext-1", "namespace": "default", "labels": ["kubernetes.io/service-name": "ext"]],
      "ports": [["port": JSON(port)]],
      "endpoints": [["addresses": ["127.0.0.1"]]],
    ]
    _ = try await test.server.resources.store.write(
      .put(key: "/registry/discovery.k8s.io/endpointslices/default/ext-1", value: StoredForm.encode(slice), .absent))
    let object: JSON = [
      "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1", "metadata": ["name": "v1.wardle.example.com"],
      "spec": [
        "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200, "caBundle": .string(bundle),
        "service": ["namespace": "default", "name": "ext"],
      ],
    ]
    let made = try await test.call("POST", services, object)
    #expect(made.status == 201, "\(made.body["message"])")
  }

  /// The controller gives one look five seconds, and looks again: under load that is as long as one look that fails.
  private func until(_ what: String, _ probe: @Sendable () async throws -> Bool) async throws { try await eventually(what, probe) }

  private func available(_ test: TestServer) async throws -> JSON {
    let object = try await test.call("GET", services + "/v1.wardle.example.com").body
    return (object["status"]["conditions"].array ?? []).first { $0["type"].string == "Available" } ?? .null
  }

  @Test func requestsGoOnWithTheirUser() async throws {
    try await TestServer.with { test in
      let (http, port, bundle) = try await extensionServer(test)
      let controller = Task { await AggregationController(server: test.server).run() }
      try await register(test, port: port, bundle: bundle)
      try await until("the service is available") { try await available(test)["status"].string == "True" }
      let request = ServedRequest(method: .GET, uri: "/apis/wardle.example.com/v1/namespaces/default/flunders?limit=5")!
      let path = request.path.split(separator: "/").map(String.init)
      let admin = UserInfo(name: "admin", groups: ["system:masters", "system:authenticated"])
      let answer = try #require(try await test.server.aggregated(request, path, admin))
      #expect(answer.status == .ok)
      await #expect(throws: APIFailure.self) {
        try await test.server.aggregated(request, path, UserInfo(name: "stranger", groups: ["system:authenticated"]))
      }
      // Callers in this process get there too, as the autoscaler does for metrics.
      let local = test.server.transport(user: "system:controller", groups: ["system:masters"])
      let own = try await local.send(
        APIRequest("GET", "/apis/wardle.example.com/v1/namespaces/default/pods/*/rate", query: [("labelSelector", "a=b,c in (d)")]))
      #expect(own.status == 200)
      let told = "/apis/wardle.example.com/v1/namespaces/default/pods/%2A/rate?labelSelector=a%3Db%2Cc%20in%20%28d%29"
      #expect(own.body["message"].string == "\(told) for system:controller of system:masters+system:authenticated")
      let stranger = test.server.transport(user: "stranger", groups: [])
      #expect(try await stranger.send(APIRequest("GET", "/apis/wardle.example.com/v1/namespaces/default/flunders")).status == 403)
      // It is discovered like the server's own.
      let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
      let document = try #require(try test.server.discovery.document(["apis"], accept: accept))
      let groups = try JSON.parse(document.bytes)["items"].array ?? []
      let group = groups.first { $0["metadata"]["name"].string == "wardle.example.com" } ?? .null
      #expect(group["versions"][0]["resources"][0]["resource"].string == "flunders")
      #expect(group["versions"][0]["resources"][0]["subresources"][0]["subresource"].string == "status")
      #expect(group["versions"][0]["freshness"].string == "Current")
      // Without the object there is no group.
      #expect(try await test.call("DELETE", services + "/v1.wardle.example.com").status == 200)
      try await until("the group is gone") { test.server.resources.catalog.external.isEmpty }
      #expect(try await test.server.aggregated(request, path, admin) == nil)
      controller.cancel()
      await http.stop()
    }
  }

  @Test func whatDoesNotAnswerSaysWhy() async throws {
    try await TestServer.with { test in
      let (http, port, bundle) = try await extensionServer(test)
      await http.stop()
      let controller = Task { await AggregationController(server: test.server).run() }
      try await register(test, port: port, bundle: bundle)
      try await until("the service is unavailable") { try await available(test)["reason"].string == "FailedDiscoveryCheck" }
      let request = ServedRequest(method: .GET, uri: "/apis/wardle.example.com/v1/flunders")!
      let failure = await #expect(throws: APIFailure.self) {
        try await test.server.aggregated(request, ["apis", "wardle.example.com", "v1", "flunders"], .controlPlane)
      }
      #expect(failure?.code == 503)
      #expect(try await test.call("DELETE", "/api/v1/namespaces/default/services/ext").status == 200)
      try await until("the service is missed") { try await available(test)["reason"].string == "ServiceNotFound" }
      controller.cancel()
    }
  }

  @Test func ownGroupsHaveObjectsToo() async throws {
    try await TestServer.with { test in
      let controller = Task { await AggregationController(server: test.server).run() }
      try await until("local objects") { try await test.call("GET", services + "/v1.apps").status == 200 }
      let object = try await test.call("GET", services + "/v1.apps").body
      #expect(object["status"]["conditions"][0]["reason"].string == "Local" && object["spec"]["service"].isNull)
      controller.cancel()
    }
  }
}
