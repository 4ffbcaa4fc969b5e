import Foundation
import JSONCodec
import Testing

@testable import APIMachinery

/// Upstream's own examples of every kind, where they are present beside the project.
enum Vectors {
  static let folder: String? = {
    var directory = URL(fileURLWithPath: #filePath)
    while directory.pathComponents.count > 1 {
      directory.deleteLastPathComponent()
      let candidate = directory.appendingPathComponent("shared/vectors/api").path
      if FileManager.default.fileExists(atPath: candidate) { return candidate }
    }
    return nil
  }()

  /// Names of kinds with both files whose type is registered.
  static let names: [String] = {
    guard let folder, let files = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return [] }
    return files.filter { $0.hasSuffix(".pb") }.map { String($0.dropLast(3)) }.sorted()
  }()

  static func bytes(_ file: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(folder!)/\(file)"))) }
}

@Suite struct ProtobufTests {
  let registry = SchemaRegistry.shared

  /// The envelope of an event names no kind that is registered.
  static let unregistered: Set<String> = ["core.v1.WatchEvent"]

  @Test(arguments: Vectors.names.filter { !unregistered.contains($0) })
  func upstreamExamplesGiveTheSameBothWays(_ name: String) throws {
    let json = try JSON.parse(try Vectors.bytes(name + ".json"))
    let protobuf = try Vectors.bytes(name + ".pb")
    let decoded = try decodeProtobuf(protobuf)
    if let difference = firstDifference(decoded, json) { Issue.record("\(name) decoded: \(difference)") }
    let type = try #require(registry.kind(apiVersion: json["apiVersion"].string ?? "", kind: json["kind"].string ?? ""))
    let encoded = try encodeProtobuf(json, type: type)
    if encoded != protobuf {
      let at = zip(encoded, protobuf).enumerated().first { $1.0 != $1.1 }?.offset ?? min(encoded.count, protobuf.count)
      Issue.record(
        "\(name) encoded differs at byte \(at): \(encoded[max(0, at - 20)..<min(at + 12, encoded.count)]) unlike \(protobuf[max(0, at - 20)..<min(at + 12, protobuf.count)])"
      )
    }
    var pruned = json
    #expect(try prune(&pruned, type: type).isEmpty)
    if let difference = firstDifference(pruned, json) { Issue.record("\(name) pruned: \(difference)") }
    if decoded.text() != json.text() { Issue.record("\(name): fields stand in another order") }
  }

  /// The path of the first value that differs.
  private func firstDifference(_ a: JSON, _ b: JSON, _ path: String = "") -> String? {
    switch (a, b) {
    case (.object(let x), .object(let y)):
      for (key, value) in y {
        if let difference = firstDifference(x[key] ?? .null, value, "\(path).\(key)") { return difference }
      }
      for (key, value) in x where y[key] == nil { return "\(path).\(key) should not be there: \(value.text())" }
      return nil
    case (.array(let x), .array(let y)) where x.count == y.count:
      for i in x.indices {
        if let difference = firstDifference(x[i], y[i], "\(path)[\(i)]") { return difference }
      }
      return nil
    default: return a == b ? nil : "\(path): \(a.text().prefix(80)) should be \(b.text().prefix(80))"
    }
  }

  @Test func deleteOptionsOfKubectlAreRead() throws {
    let type = try #require(registry.type("meta/v1.DeleteOptions"))
    let options: JSON = ["kind": "DeleteOptions", "apiVersion": "policy/v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background"]
    let decoded = try decodeProtobuf(try encodeProtobuf(options, type: type))
    #expect(decoded == options)
  }

  @Test func whatIsLeftOutIsZeroOnTheWireAndGoneInJSON() throws {
    let type = try #require(registry.type("core/v1.ConfigMap"))
    let bytes = try encodeProtobuf(["kind": "ConfigMap", "apiVersion": "v1"], type: type)
    let decoded = try decodeProtobuf(bytes)
    #expect(decoded == ["kind": "ConfigMap", "apiVersion": "v1", "metadata": .object(JSONObject())])
  }

  @Test(
    arguments: [
      ([], ProtobufError.Code.notAnEnvelope),
      (Array("k8s".utf8), .notAnEnvelope),
      ([0x6B, 0x38, 0x73, 0x00], .unknownKind),
      ([0x6B, 0x38, 0x73, 0x00, 0x0A, 0x05], .truncated),
      ([0x6B, 0x38, 0x73, 0x00, 0x0B], .malformed),
      ([0x6B, 0x38, 0x73, 0x00, 0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], .truncated),
      ([0x6B, 0x38, 0x73, 0x00] + [UInt8](repeating: 0xFF, count: 30), .malformed),
    ] as [([UInt8], ProtobufError.Code)])
  func brokenEnvelopesAreRefused(_ bytes: [UInt8], _ code: ProtobufError.Code) {
    #expect { try decodeProtobuf(bytes) } throws: { ($0 as? ProtobufError)?.code == code }
  }

  /// A document of a kind around the bytes of a message.
  private func envelope(_ kind: String, _ raw: [UInt8]) throws -> [UInt8] {
    var encoder = ProtobufEncoder()
    encoder.out = ProtobufDecoder.magic
    try encoder.tagged(1) { (encoder) throws(ProtobufError) in
      encoder.string(1, "v1")
      encoder.string(2, kind)
    }
    encoder.bytes(2, raw)
    return encoder.out
  }

  @Test func everyCutOfADocumentIsRefusedOrReadWithoutCrashing() throws {
    let pod: JSON = [
      "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "a", "labels": ["x": "y"]],
      "spec": ["containers": [["name": "c", "resources": ["limits": ["cpu": "1"]], "ports": [["containerPort": 80]]]]],
    ]
    let bytes = try encodeProtobuf(pod, type: try #require(registry.type("core/v1.Pod")))
    for count in 0..<bytes.count { _ = try? decodeProtobuf(Array(bytes[..<count])) }
    var seed: UInt64 = 42
    for _ in 0..<2000 {
      var changed = bytes
      for _ in 0..<3 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        changed[Int(seed >> 33) % changed.count] = UInt8(truncatingIfNeeded: seed >> 20)
      }
      _ = try? decodeProtobuf(changed)
    }
    #expect(try decodeProtobuf(bytes)["spec"]["containers"][0]["ports"][0]["containerPort"] == 80)
  }

  @Test func documentsInDocumentsHaveABound() throws {
    var bytes = try envelope("Status", [])
    for _ in 0..<200 {
      var event = ProtobufEncoder()
      event.string(1, "ADDED")
      try event.tagged(2) { (encoder) throws(ProtobufError) in encoder.bytes(1, bytes) }
      bytes = try envelope("WatchEvent", event.out)
    }
    #expect { try decodeProtobuf(bytes) } throws: { ($0 as? ProtobufError)?.code == .tooDeep }
  }

  @Test func manyEmptyMessagesHaveABound() throws {
    let items = [UInt8](unsafeUninitializedCapacity: 600_000) { buffer, count in
      for i in stride(from: 0, to: 600_000, by: 2) {
        buffer[i] = 0x12
        buffer[i + 1] = 0
      }
      count = 600_000
    }
    #expect { try decodeProtobuf(try envelope("PodList", items)) } throws: { ($0 as? ProtobufError)?.code == .tooManyMessages }
  }

  @Test func wrongJSONTypesAreRefusedWhenWriting() throws {
    let type = try #require(registry.type("core/v1.Pod"))
    #expect(throws: ProtobufError.self) { try encodeProtobuf(["spec": "x"], type: type) }
    #expect(throws: ProtobufError.self) { try encodeProtobuf(["metadata": ["name": 1]], type: type) }
  }
}
