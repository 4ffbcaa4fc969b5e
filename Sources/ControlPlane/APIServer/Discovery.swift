import APIMachinery
import JSONCodec
import Synchronization

/// A document of discovery or OpenAPI, ready to be sent.
struct DiscoveryDocument: Sendable {
  let bytes: [UInt8]
  let contentType: String
  let etag: String
}

/// Serves discovery and OpenAPI from the schema. Each document is made when it is first asked for and kept.
final class Discovery: Sendable {
  private let registry: SchemaRegistry
  private let kept = Mutex<[String: DiscoveryDocument]>([:])

  init(registry: SchemaRegistry) { self.registry = registry }

  /// Nil where the path is none of these.
  func document(_ path: [String], accept: String) throws -> DiscoveryDocument? { nil }
}
