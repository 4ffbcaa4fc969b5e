import APIMachinery
import JSONCodec
import KubernetesAPI

/// How objects are shown to a client.
enum Rendering: Sendable, Equatable {
  case object
  case table(version: TableVersion, include: TableObject)
  case partial(version: TableVersion)
}

/// How an answer is written.
enum Encoding: String, Sendable {
  case json = "application/json"
  case yaml = "application/yaml"
  case protobuf = "application/vnd.kubernetes.protobuf"
}

/// What a client takes as an answer: the first clause of its Accept header that there is.
struct AnswerForm: Sendable, Equatable {
  var rendering = Rendering.object
  var encoding = Encoding.json
  /// The clause of the header that it comes from; tables' streams repeat it.
  var clause = Encoding.json.rawValue

  /// Nil where the header takes nothing that there is. `hasMessages`: the resource has protobuf messages; custom resources have none.
  /// `hasTables`: it is stored; reviews are not.
  static func negotiate(_ accept: String, hasMessages: Bool, hasTables: Bool = true, include: String? = nil) -> AnswerForm? {
    if accept.isEmpty { return AnswerForm() }
    for clause in accept.split(separator: ",") {
      let parts = clause.split(separator: ";").map { $0.filter { $0 != " " } }
      guard let type = parts.first, let encoding = encoding(type), hasMessages || encoding != .protobuf else { continue }
      var parameters: [Substring: Substring] = [:]
      for part in parts.dropFirst() {
        let pair = part.split(separator: "=", maxSplits: 1)
        if pair.count == 2 { parameters[pair[0]] = pair[1] }
      }
      guard let rendering = rendering(parameters, include: include) else { continue }
      // A table's cells are any JSON: it has no message.
      if case .table = rendering, encoding == .protobuf || !hasTables { continue }
      return AnswerForm(rendering: rendering, encoding: encoding, clause: String(clause.drop { $0 == " " }))
    }
    return nil
  }

  private static func encoding(_ type: String) -> Encoding? {
    switch type {
    case "*/*", "application/*": .json
    default: Encoding(rawValue: type)
    }
  }

  private static func rendering(_ parameters: [Substring: Substring], include: String?) -> Rendering? {
    guard let kind = parameters["as"] else { return .object }
    guard parameters["g"] == "meta.k8s.io", let version = TableVersion(rawValue: String(parameters["v"] ?? "v1")) else { return nil }
    switch kind {
    case "Table": return .table(version: version, include: include.flatMap(TableObject.init(rawValue:)) ?? .metadata)
    case "PartialObjectMetadata", "PartialObjectMetadataList": return .partial(version: version)
    default: return nil
    }
  }
}

extension AnswerForm {
  /// The content type of a watch's stream; that of tables says so, as it was asked for.
  var streamType: String {
    switch (encoding, rendering) {
    case (.protobuf, _): Encoding.protobuf.rawValue + ";stream=watch"
    case (_, .object): Encoding.json.rawValue
    default: clause
    }
  }
}

extension Rendering {
  func render(_ object: JSON, _ resource: ResourceInfo, isFirst: Bool, isBookmark: Bool) -> JSON {
    switch self {
    case .object: return object
    case .partial(let version): return partialObjectMetadata(object, version: version)
    case .table(let version, let include):
      var result = APIMachinery.table(
        resource: resource, objects: isBookmark ? [] : [object], now: .now, includeObject: include, version: version)
      if !isFirst { result["columnDefinitions"] = .array([]) }
      result["metadata"] = ["resourceVersion": object["metadata"]["resourceVersion"]]
      if isBookmark { result["rows"] = .array([]) }
      return result
    }
  }
}

extension Encoding {
  /// The content type of an answer, and its bytes. What has no message goes as JSON: clients decide by the content type.
  func encode(_ object: JSON, _ registry: SchemaRegistry, isPretty: Bool = false) throws -> (type: String, bytes: [UInt8]) {
    switch self {
    case .json: break
    case .yaml: return (rawValue, Array(try YAMLDocument.text(object).utf8))
    case .protobuf:
      if let type = registry.kind(apiVersion: object["apiVersion"].string ?? "", kind: object["kind"].string ?? "") {
        return (rawValue, try encodeProtobuf(object, type: type))
      }
    }
    return (Self.json.rawValue, isPretty ? Array((object.prettyText() + "\n").utf8) : object.serialized())
  }

  /// A frame of a protobuf watch: four bytes of length, most significant first, and a meta/v1 WatchEvent whose object is an enveloped message.
  static func protobufFrame(kind: String, object: JSON, _ registry: SchemaRegistry, into out: inout [UInt8]) throws {
    guard let type = registry.kind(apiVersion: object["apiVersion"].string ?? "", kind: object["kind"].string ?? "") else {
      throw APIFailure.internalError("\(object["kind"].text()) has no protobuf message")
    }
    let message = watchEventMessage(kind: kind, object: try encodeProtobuf(object, type: type))
    withUnsafeBytes(of: UInt32(message.count).bigEndian) { out.append(contentsOf: $0) }
    out.append(contentsOf: message)
  }
}
