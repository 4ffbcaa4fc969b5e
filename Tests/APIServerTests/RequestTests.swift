import APIMachinery
import JSONCodec
import KubernetesAPI
import SystemPackage
import Testing

@testable import APIServer

@Suite struct RequestPathTests {
  private func parse(_ path: String) -> ResourceRequest? {
    ResourceRequest(path: path.split(separator: "/").map(String.init), registry: .shared)
  }

  @Test(
    arguments: [
      ("/api/v1/pods", "pods", nil, nil, nil), ("/api/v1/namespaces/x/pods", "pods", "x", nil, nil),
      ("/api/v1/namespaces/x/pods/y", "pods", "x", "y", nil), ("/api/v1/namespaces/x/pods/y/log", "pods", "x", "y", "log"),
      ("/api/v1/namespaces", "namespaces", nil, nil, nil), ("/api/v1/namespaces/x", "namespaces", nil, "x", nil),
      ("/api/v1/namespaces/x/finalize", "namespaces", nil, "x", "finalize"),
      ("/apis/apps/v1/namespaces/x/deployments/d/scale", "deployments", "x", "d", "scale"),
      ("/api/v1/nodes/n/status", "nodes", nil, "n", "status"),
    ] as [(String, String, String?, String?, String?)])
  func known(_ path: String, _ plural: String, _ namespace: String?, _ name: String?, _ subresource: String?) {
    let request = parse(path)
    #expect(request?.resource.plural == plural)
    #expect(request?.namespace == namespace)
    #expect(request?.name == name)
    #expect(request?.subresource == subresource)
  }

  @Test(arguments: ["/api/v1/nothing", "/api/v2/pods", "/apis/apps/v1/pods", "/api/v1/pods/y", "/api/v1/namespaces/x/nodes", "/other"])
  func unknown(_ path: String) { #expect(parse(path) == nil) }

  @Test func bothSpellingsOfEventsHaveOneKey() {
    let core = parse("/api/v1/namespaces/x/events/e")!
    let events = parse("/apis/events.k8s.io/v1/namespaces/x/events/e")!
    #expect(core.key("e") == events.key("e"))
    let event: JSON = ["apiVersion": "v1", "kind": "Event", "message": "m", "involvedObject": ["name": "p"], "count": 2]
    let other = EventConversion.toEventsV1(event)
    #expect(other["note"].string == "m" && other["regarding"]["name"].string == "p" && other["apiVersion"].string == "events.k8s.io/v1")
    #expect(EventConversion.toCore(other) == event)
  }
}

@Suite struct AddressRangeTests {
  @Test func ranges() {
    let range = IPv4Range("10.96.0.0/16")!
    #expect(range.address(at: 1) == "10.96.0.1" && range.size == 65536 && range.contains("10.96.255.255") && !range.contains("10.97.0.0"))
    #expect(IPv4Range("10.244.0.0/16")?.subrange(bits: 24, index: 3)?.text == "10.244.3.0/24")
    #expect(IPv4Range("10.244.0.0/16")?.subrange(bits: 24, index: 256) == nil)
  }

  @Test(arguments: ["", "10.0.0.0", "10.0.0/8", "10.0.0.256/16", "10.0.0.0/33", "a/8"])
  func refused(_ text: String) { #expect(IPv4Range(text) == nil) }
}

@Suite struct EventExpiryTests {
  @Test func anHourAfterTheLastTime() {
    let event: JSON = ["metadata": ["creationTimestamp": "2026-01-01T00:00:00Z"], "lastTimestamp": "2026-01-01T01:00:00Z"]
    #expect(!EventExpiry.isExpired(event, now: Timestamp(rfc3339: "2026-01-01T02:00:00Z")!))
    #expect(EventExpiry.isExpired(event, now: Timestamp(rfc3339: "2026-01-01T02:00:01Z")!))
    #expect(!EventExpiry.isExpired([:], now: .now))
  }
}

@Suite struct TokenTests {
  private func tokens() throws -> (ServiceAccountTokens, FilePath) {
    let directory = FilePath("/tmp/swiftlet-tokens-\(UUIDs.random())")
    try PrivateDirectory.make(directory)
    return (try ServiceAccountTokens(directory: directory), directory)
  }

  @Test func aTokenSaysWhoItIsForUntilItExpires() throws {
    let (tokens, directory) = try tokens()
    defer { PrivateDirectory.remove(directory) }
    let claims = ServiceAccountTokens.Claims(
      namespace: "ns", account: "sa", accountUID: "u", audiences: ["a"], expires: 2000, issued: 1000, bound: ("pod", "p", "pu"))
    let token = try tokens.token(claims)
    let read = tokens.claims(token, now: Timestamp(secondsSinceEpoch: 1500))
    #expect(read?.account == "sa" && read?.namespace == "ns" && read?.bound?.name == "p" && read?.audiences == ["a"])
    #expect(tokens.claims(token, now: Timestamp(secondsSinceEpoch: 2000)) == nil)
  }

  @Test func aChangedOrForeignTokenIsRefused() throws {
    let (tokens, directory) = try tokens()
    let (others, otherDirectory) = try self.tokens()
    defer {
      PrivateDirectory.remove(directory)
      PrivateDirectory.remove(otherDirectory)
    }
    let claims = ServiceAccountTokens.Claims(namespace: "ns", account: "sa", accountUID: "u", audiences: ["a"], expires: 2000, issued: 1000)
    let token = try tokens.token(claims)
    let now = Timestamp(secondsSinceEpoch: 1500)
    #expect(others.claims(token, now: now) == nil)
    var parts = token.split(separator: ".").map(String.init)
    parts[1] = Base64.encode(
      JSON.parseOrNull(Base64.decode(parts[1], orURLSafe: true)!).merging(["sub": "system:admin"]).serialized(), urlSafe: true)
    #expect(tokens.claims(parts.joined(separator: "."), now: now) == nil)
    // No signature, by the header's own word.
    parts[0] = Base64.encode(Array(#"{"alg":"none"}"#.utf8), urlSafe: true)
    #expect(tokens.claims(parts[0] + "." + parts[1] + ".", now: now) == nil)
  }

  @Test func theKeyOutlivesTheServer() throws {
    let (tokens, directory) = try tokens()
    defer { PrivateDirectory.remove(directory) }
    let token = try tokens.token(.init(namespace: "n", account: "a", accountUID: "", audiences: [], expires: 2000, issued: 0))
    #expect(try ServiceAccountTokens(directory: directory).claims(token, now: Timestamp(secondsSinceEpoch: 1)) != nil)
  }
}

extension JSON {
  fileprivate static func parseOrNull(_ bytes: [UInt8]) -> JSON { (try? JSON.parse(bytes)) ?? .null }
}
