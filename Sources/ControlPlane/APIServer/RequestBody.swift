import APIMachinery
import JSONCodec

/// A request's body as a value, and what strict validation has to say about it.
struct DecodedBody {
  var object: JSON
  /// Fields that stood twice, by path.
  var duplicates: [String] = []
  /// Keys that stood twice in YAML, each as a sentence with its line.
  var repeatedKeys: [String] = []
  /// The sentences as go-yaml puts them together.
  var repeatedKeysText: String { "yaml: unmarshal errors:\n" + repeatedKeys.map { "  " + $0 }.joined(separator: "\n") }
}

extension APICall {
  static let mediaTypes = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]

  private var mediaType: String {
    let type = contentType.prefix { $0 != ";" }.lowercased()
    return type.filter { $0 != " " }
  }

  /// The body in whatever form it came; an empty body is `.null`.
  func decodedBody(_ registry: SchemaRegistry) throws -> DecodedBody {
    switch body {
    case .none: return DecodedBody(object: .null)
    case .json(let object): return DecodedBody(object: object)
    case .bytes(let bytes):
      if bytes.isEmpty { return DecodedBody(object: .null) }
      switch mediaType {
      case "application/vnd.kubernetes.protobuf":
        do {
          return DecodedBody(object: try decodeProtobuf(bytes, registry: registry))
        } catch {
          throw APIFailure.badRequest("the body is no valid protobuf message: \(error)")
        }
      case "application/yaml", "application/apply-patch+yaml", "application/x-yaml", "text/yaml":
        return try Self.yaml(bytes)
      case "", "application/json", "application/json-patch+json", "application/merge-patch+json",
        "application/strategic-merge-patch+json":
        return try Self.json(bytes)
      default: throw APIFailure.unsupportedMediaType(Self.mediaTypes)
      }
    }
  }

  private static func json(_ bytes: [UInt8]) throws -> DecodedBody {
    var findings = JSONFindings()
    do {
      let object = try JSON.parse(bytes, noting: &findings)
      return DecodedBody(object: object, duplicates: findings.duplicateFields)
    } catch {
      throw APIFailure.badRequest("couldn't get version/kind; json parse error: \(error)")
    }
  }

  /// YAML that is JSON, as kubectl sends it, is read as JSON.
  private static func yaml(_ bytes: [UInt8]) throws -> DecodedBody {
    if let first = bytes.first(where: { $0 != 0x20 && $0 != 0x0A }), first == UInt8(ascii: "{"), let body = try? json(bytes),
      body.duplicates.isEmpty
    {
      return body
    }
    do {
      var repeated: [String] = []
      let object = try YAMLDocument.parse(String(decoding: bytes, as: UTF8.self), repeated: &repeated)
      return DecodedBody(object: object, repeatedKeys: repeated)
    } catch {
      throw APIFailure.badRequest("error converting YAML to JSON: \(error)")
    }
  }
}
