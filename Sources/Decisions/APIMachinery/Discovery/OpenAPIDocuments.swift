import JSONCodec
import Synchronization

/// OpenAPI documents of the served groups. A document is built when it is first asked for and kept as bytes.
package final class OpenAPIDocuments: Sendable {
  package struct Document: Sendable {
    package let bytes: [UInt8]
    /// Changes with the bytes: for `?hash=` and ETag.
    package let hash: String
  }

  private let registry: SchemaRegistry
  private let version: String
  private let built = Mutex<[String: Document]>([:])

  /// `version` is what the documents say in `info.version`, such as `v1.36.0`.
  package init(registry: SchemaRegistry = .shared, version: String) {
    self.registry = registry
    self.version = version
  }

  /// The documents of another registry. What was built for groups that are the same in both is taken over.
  package func following(_ next: SchemaRegistry) -> OpenAPIDocuments {
    let documents = OpenAPIDocuments(registry: next, version: version)
    let mine = built.withLock { $0 }
    documents.built.withLock { kept in
      for (group, version) in next.servedGroupVersions where registry.textHash(group, version) == next.textHash(group, version) {
        let path = Self.path(group, version)
        if let document = mine[path] { kept[path] = document }
      }
    }
    return documents
  }

  /// `api/v1` or `apis/apps/v1`.
  private static func path(_ group: String, _ version: String) -> String {
    group.isEmpty ? "api/\(version)" : "apis/\(group)/\(version)"
  }

  private func kept(_ key: String, _ build: () -> JSON) -> Document { kept(key) { build().serialized() } }

  private func kept(_ key: String, _ build: () -> [UInt8]) -> Document {
    if let document = built.withLock({ $0[key] }) { return document }
    let bytes = build()
    let document = Document(bytes: bytes, hash: Self.hash(bytes))
    built.withLock { $0[key] = document }
    return document
  }

  /// FNV-1a, twice with different seeds: a name for a content, not a defence.
  private static func hash(_ bytes: [UInt8]) -> String {
    var a: UInt64 = 0xCBF2_9CE4_8422_2325
    var b: UInt64 = 0x9E37_79B9_7F4A_7C15
    for byte in bytes {
      a = (a ^ UInt64(byte)) &* 0x100_0000_01B3
      b = (b ^ UInt64(byte)) &* 0x100_0000_01B3
    }
    func hex(_ value: UInt64) -> String {
      let text = String(value, radix: 16, uppercase: true)
      return String(repeating: "0", count: 16 - text.count) + text
    }
    return hex(a) + hex(b)
  }

  /// `/openapi/v3`: where each document is. The hash is made from the schema's own text, so that the index needs no document.
  package func openAPIV3Index() -> Document {
    kept("index") {
      var paths = JSONObject()
      for (group, groupVersion) in registry.servedGroupVersions {
        let path = Self.path(group, groupVersion)
        let hash = Self.hash(Array("\(version) \(path) \(registry.textHash(group, groupVersion))".utf8))
        paths[path] = ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(hash)")]
      }
      return ["paths": .object(paths)]
    }
  }

  /// `/openapi/v3/api/v1`, `/openapi/v3/apis/<group>/<version>`; nil for what is not served.
  package func openAPIV3Document(group: String, version groupVersion: String) -> Document? {
    let resources = registry.servedResources(group: group, version: groupVersion)
    guard !resources.isEmpty else { return nil }
    return kept(Self.path(group, groupVersion)) {
      var paths = OpenAPIPaths(version: .v3)
      for resource in resources { paths.add(resource, registry: registry) }
      var schemas = paths.schemas
      return [
        "openapi": "3.0.0", "info": ["title": "Kubernetes", "version": .string(version)],
        "paths": .object(JSONObject(paths.paths)), "components": ["schemas": schemas.components()],
      ]
    }
  }

  /// `/openapi/v2` as JSON: all groups in one document.
  package func openAPIV2Document() -> Document { kept("v2") { openAPIV2() } }

  /// `/openapi/v2` for Accept `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`; upstream answers with the type
  /// `application/com.github.proto-openapi.spec.v2.v1.0+protobuf`.
  package func openAPIV2Protobuf() -> Document { kept("v2+protobuf") { OpenAPIProtobuf.encode(openAPIV2()) } }

  /// A document that was put together elsewhere.
  package static func document(_ json: JSON, isProtobuf: Bool = false) -> Document {
    let bytes = isProtobuf ? OpenAPIProtobuf.encode(json) : json.serialized()
    return Document(bytes: bytes, hash: hash(bytes))
  }

  package static func document(bytes: [UInt8]) -> Document { Document(bytes: bytes, hash: hash(bytes)) }

  package func openAPIV2() -> JSON {
    var paths = OpenAPIPaths(version: .v2)
    for resource in registry.resources where resource.isServed { paths.add(resource, registry: registry) }
    var schemas = paths.schemas
    return [
      "swagger": "2.0", "info": ["title": "Kubernetes", "version": .string(version)],
      "paths": .object(JSONObject(paths.paths)), "definitions": schemas.components(),
    ]
  }
}
