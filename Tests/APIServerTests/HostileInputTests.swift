import HTTPServing
import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOCore
import NIOHTTP1
import SwiftASN1
import Testing
import X509

@testable import APIServer

/// What a client may send to make the server run out of stack, memory or time. Every answer is an error, soon.
@Suite(.timeLimit(.minutes(5))) struct HostileInputTests {
  private func send(
    _ server: ServerUnderTest, _ method: HTTPMethod, _ uri: String, _ body: [UInt8], _ type: String = "application/json"
  ) async throws -> (code: Int, message: String) {
    let credential = try server.authority.client(user: "a", groups: ["system:masters"])
    let der = Array(try PEMDocument(pemString: credential.certificatePEM).derBytes)
    let request = try #require(
      ServedRequest(method: method, uri: uri, headers: ["Content-Type": type], body: ByteBuffer(bytes: body), peerCertificateDER: der))
    let answer = await server.server.serve(request)
    guard case .bytes(let buffer) = answer.body, let json = try? JSON.parse(Array(buffer.readableBytesView)) else {
      return (Int(answer.status.code), "")
    }
    return (Int(answer.status.code), json["message"].string ?? "")
  }

  private static let maps = "/api/v1/namespaces/default/configmaps"

  /// CVE-2019-11253, CVE-2019-11254: documents nested without end.
  @Test func deepDocuments() async throws {
    try await withServer { server in
      for depth in [600, 100_000] {
        let open = String(repeating: "[", count: depth)
        let json = "{\"metadata\":{\"name\":\"m\"},\"data\":" + open + String(repeating: "]", count: depth) + "}"
        let answer = try await send(server, .POST, Self.maps, Array(json.utf8))
        #expect(answer.code == 400 && answer.message.contains("exceeded max depth"), "\(depth): \(answer)")
        let objects = String(repeating: "{\"a\":", count: depth / 3)
        #expect(try await send(server, .POST, Self.maps, Array(objects.utf8)).code == 400)
        for yaml in ["data: " + open, "data:\n" + String(repeating: "- ", count: depth), "data:\n" + String(repeating: "? ", count: depth)]
        {
          let answer = try await send(server, .POST, Self.maps, Array(yaml.utf8), "application/yaml")
          #expect(answer.code == 400 && answer.message.hasPrefix("error converting YAML to JSON"), "\(depth): \(answer)")
        }
      }
    }
  }

  /// CVE-2019-11253: a few bytes of YAML that stand for billions.
  @Test func aliasBombs() async throws {
    try await withServer { server in
      var laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
      for level in 1...12 {
        laughs += "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
      }
      let bomb = try await send(server, .POST, Self.maps, Array(laughs.utf8), "application/yaml")
      #expect(bomb.code == 400 && bomb.message.contains("excessive aliasing"))
      // One long text, many times.
      let text = "big: &big \"" + String(repeating: "x", count: 1 << 20) + "\"\ndata:\n" + (0..<5_000).map { "  k\($0): *big\n" }.joined()
      let long = try await send(server, .POST, Self.maps, Array(text.utf8), "application/yaml")
      #expect(long.code == 400 && long.message.contains("excessive aliasing"))
      // Aliases as people use them are fine.
      let plain = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: plain}\ndata: {a: &x text, b: *x}\n"
      #expect(try await send(server, .POST, Self.maps, Array(plain.utf8), "application/yaml").code == 201)
    }
  }

  /// CVE-2019-1002100: patches of very many operations.
  @Test func longPatches() async throws {
    try await withServer { server in
      _ = try await server.admin.create(.configMaps("default"), ["metadata": ["name": "m"], "data": ["a": "b"]])
      func patch(_ count: Int) -> [UInt8] {
        Array(
          ("[" + Array(repeating: "{\"op\":\"test\",\"path\":\"/data/a\",\"value\":\"b\"}", count: count).joined(separator: ",") + "]").utf8
        )
      }
      let answer = try await send(server, .PATCH, Self.maps + "/m", patch(10_001), "application/json-patch+json")
      #expect(answer.code == 413 && answer.message.contains("The allowed maximum operations in a JSON patch is 10000, got 10001"))
      #expect(try await send(server, .PATCH, Self.maps + "/m", patch(1_000), "application/json-patch+json").code == 200)
      // Copies of copies.
      var copies = (0..<40).map { "{\"op\":\"copy\",\"from\":\"/data\",\"path\":\"/data/c\($0)\"}" }
      copies.insert("{\"op\":\"add\",\"path\":\"/data/x\",\"value\":\"y\"}", at: 0)
      let grown = try await send(
        server, .PATCH, Self.maps + "/m", Array(("[" + copies.joined(separator: ",") + "]").utf8), "application/json-patch+json")
      #expect((400..<500).contains(grown.code), "\(grown)")
    }
  }

  @Test func brokenBodies() async throws {
    try await withServer { server in
      let bodies: [[UInt8]] = [
        [0x6b, 0x38, 0x73, 0x00], [0x6b, 0x38, 0x73, 0x00] + Array(repeating: 0xff, count: 1_000), Array(repeating: 0x0a, count: 100_000),
        [], [0xff, 0xfe], Array("{\"metadata\":{\"name\":\"\u{0}\"}}".utf8), Array("null".utf8), Array("[]".utf8),
        Array("1e999999999".utf8),
      ]
      for body in bodies {
        for type in ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"] {
          let answer = try await send(server, .POST, Self.maps, body, type)
          #expect((400..<500).contains(answer.code), "\(type) \(body.prefix(8)): \(answer)")
        }
      }
    }
  }

  private func definition(_ name: String, _ properties: JSON, rules: JSON = .null) -> JSON {
    [
      "metadata": ["name": .string("\(name)s.example.com")],
      "spec": [
        "group": "example.com", "scope": "Namespaced",
        "names": [
          "plural": .string(name + "s"), "singular": .string(name), "kind": .string(name.capitalized),
          "listKind": .string(name.capitalized + "List"),
        ],
        "versions": [
          [
            "name": "v1", "served": true, "storage": true,
            "schema": [
              "openAPIV3Schema": [
                "type": "object",
                "properties": ["spec": ["type": "object", "properties": properties, "x-kubernetes-validations": rules]],
              ]
            ],
          ]
        ],
      ],
    ]
  }

  @Test func expressionsThatCostTooMuch() async throws {
    try await withServer { server in
      let definitions = ResourcePath(group: "apiextensions.k8s.io", "customresourcedefinitions")
      let list: JSON = ["items": ["type": "array", "items": ["type": "string"]]]
      let rule = "self.items.all(a, self.items.all(b, self.items.all(c, self.items.all(d, a + b != c + d))))"
      let refusal = await #expect(throws: APIStatusError.self) {
        _ = try await server.admin.create(definitions, definition("bomb", list, rules: [["rule": .string(rule)]]))
      }
      #expect(refusal?.code == 422 && "\(refusal?.message ?? "")".contains("cost"))
    }
  }

  /// A pattern for which back-tracking takes longer than the world has been there.
  @Test func patternsThatExplode() async throws {
    try await withServer { server in
      let definitions = ResourcePath(group: "apiextensions.k8s.io", "customresourcedefinitions")
      let properties: JSON = ["text": ["type": "string", "pattern": "^(a+)+$"], "more": ["type": "string", "pattern": "^(a|aa)+$"]]
      _ = try await server.admin.create(definitions, definition("pattern", properties))
      let path = ResourcePath(group: "example.com", version: "v1", "patterns", namespace: "default")
      let client = server.admin
      try await eventually("the kind") { (try? await client.list(path)) != nil }
      let text = String(repeating: "a", count: 20_000) + "!"
      let refusal = await #expect(throws: APIStatusError.self) {
        _ = try await client.create(
          path,
          [
            "apiVersion": "example.com/v1", "kind": "Pattern", "metadata": ["name": "p"],
            "spec": ["text": .string(text), "more": .string(text)],
          ])
      }
      #expect(refusal?.code == 422)
    }
  }

  /// CVE-2020-8552: what strangers name becomes no series of the metrics and stays nowhere.
  @Test func endlesslyManyPaths() async throws {
    try await withServer { server in
      for index in 0..<2_000 {
        let answer = try await server.ask(HTTPMethod(rawValue: "M\(index)"), "/apis/g\(index).example.com/v\(index)/x")
        #expect((400..<500).contains(answer.code))
      }
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let metrics = try await server.ask(.GET, "/metrics", certificate: admin).body.string ?? ""
      #expect(!metrics.isEmpty && metrics.utf8.count < 20_000)
    }
  }

  @Test func selectorsAndTokensThatAreNone() async throws {
    try await withServer { server in
      let long = String(repeating: "a", count: 200_000)
      for query in [
        "labelSelector=" + Array(repeating: "a%20in%20(b)", count: 5_000).joined(separator: ","), "labelSelector=((((((((",
        "fieldSelector=" + long,
        "continue=" + long, "limit=-1", "limit=99999999999999999999", "resourceVersion=" + long,
        "timeoutSeconds=abc&watch=1&resourceVersion=x",
      ] {
        let answer = try await send(server, .GET, Self.maps + "?" + query, [])
        #expect(answer.code == 200 || (400..<500).contains(answer.code), "\(query.prefix(40)): \(answer.code)")
      }
    }
  }
}
