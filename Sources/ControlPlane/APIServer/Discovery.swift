import APIMachinery
import Crypto
import JSONCodec
import Synchronization

/// A document of discovery or OpenAPI, ready to be sent.
struct DiscoveryDocument: Sendable {
  let bytes: [UInt8]
  let contentType: String
  let etag: String

  init(_ json: JSON, contentType: String = "application/json") {
    bytes = json.serialized()
    self.contentType = contentType
    let digest = SHA256.hash(data: bytes).prefix(16)
    etag = "\"" + digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\""
  }

  init(_ document: OpenAPIDocuments.Document, contentType: String = "application/json") {
    bytes = document.bytes
    self.contentType = contentType
    etag = "\"\(document.hash)\""
  }
}

/// Serves discovery and OpenAPI from the schema. Each document is made when it is first asked for and kept.
final class Discovery: Sendable {
  private let documents: DiscoveryDocuments
  private let openAPI: OpenAPIDocuments
  private let kept = Mutex<[String: DiscoveryDocument]>([:])
  private let wholes = Mutex<[String: OpenAPIDocuments.Document]>([:])

  private let external: [ExternalVersion]

  init(registry: SchemaRegistry, openAPI: OpenAPIDocuments, external: [ExternalVersion]) {
    documents = DiscoveryDocuments(registry: registry)
    self.openAPI = openAPI
    self.external = external
  }

  /// Nil where the path is none of these.
  func document(_ path: [String], accept: String) throws -> DiscoveryDocument? {
    if path.first == "openapi" { return try openAPIDocument(path, accept: accept) }
    let form = AggregatedForm.negotiate(accept)
    let key = path.joined(separator: "/") + (path.count == 1 ? form?.version.rawValue ?? "" : "")
    if let known = kept.withLock({ $0[key] }) { return known }
    guard let made = make(path, form) else { return nil }
    kept.withLock { $0[key] = made }
    return made
  }

  private func make(_ path: [String], _ form: AggregatedForm?) -> DiscoveryDocument? {
    switch (path.first, path.count) {
    case ("api", 1), ("apis", 1):
      let isCore = path[0] == "api"
      if let form { return DiscoveryDocument(aggregated(core: isCore, form), contentType: form.contentType) }
      if isCore { return DiscoveryDocument(documents.apiVersions(serverAddress: "")) }
      var list = documents.apiGroupList()
      list["groups"] = .array(
        (list["groups"].array ?? []) + ExternalVersion.groups(external).map { ExternalVersion.group($0.name, $0.versions) })
      return DiscoveryDocument(list)
    case ("api", 2): return documents.apiResourceList(group: "", version: path[1]).map { DiscoveryDocument($0) }
    case ("apis", 2):
      if let own = documents.apiGroup(path[1]) { return DiscoveryDocument(own) }
      guard let group = ExternalVersion.groups(external).first(where: { $0.name == path[1] }) else { return nil }
      var document = ExternalVersion.group(group.name, group.versions)
      document["kind"] = "APIGroup"
      document["apiVersion"] = "v1"
      return DiscoveryDocument(document)
    case ("apis", 3): return documents.apiResourceList(group: path[1], version: path[2]).map { DiscoveryDocument($0) }
    default: return nil
    }
  }

  private func aggregated(core: Bool, _ form: AggregatedForm) -> JSON {
    var document = documents.aggregated(core: core, as: form.version)
    guard !core, !external.isEmpty else { return document }
    let others = ExternalVersion.groups(external).map { name, versions in
      ["metadata": ["name": .string(name)], "versions": .array(versions.map(\.discoveryVersion))] as JSON
    }
    document["items"] = .array((document["items"].array ?? []) + others)
    return document
  }

  private func kept(_ key: String, _ make: () -> DiscoveryDocument) -> DiscoveryDocument {
    if let known = kept.withLock({ $0[key] }) { return known }
    let made = make()
    kept.withLock { $0[key] = made }
    return made
  }

  // MARK: OpenAPI, with what other servers say of themselves

  private var foreignParts: [JSON] { external.compactMap(\.openAPI?.v2) }

  private func openAPIIndex() -> DiscoveryDocument {
    let own = openAPI.openAPIV3Index()
    let foreign = external.filter { $0.openAPI?.v3 != nil }
    guard !foreign.isEmpty, var index = try? JSON.parse(own.bytes) else { return DiscoveryDocument(own) }
    for version in foreign {
      let path = "apis/\(version.group)/\(version.version)"
      index["paths"][path] = ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(version.openAPI?.v3?.hash ?? "")")]
    }
    return DiscoveryDocument(index)
  }

  /// `/openapi/v2` of all servers. Put together when it is asked for, and kept as bytes until a kind or a server changes.
  private func whole(isProtobuf: Bool) -> OpenAPIDocuments.Document {
    let key = "openapi/v2" + (isProtobuf ? "+protobuf" : "")
    if let known = wholes.withLock({ $0[key] }) { return known }
    let made = OpenAPIDocuments.document(OpenAPIMerge.merged(openAPI.openAPIV2(), with: foreignParts), isProtobuf: isProtobuf)
    wholes.withLock { $0[key] = made }
    return made
  }

  private func openAPIDocument(_ path: [String], accept: String) throws -> DiscoveryDocument? {
    switch path.dropFirst().first {
    case "v3" where path.count == 2: return kept("openapi/v3") { openAPIIndex() }
    case "v3" where path[2] == "api" && path.count == 4:
      return openAPI.openAPIV3Document(group: "", version: path[3]).map { DiscoveryDocument($0) }
    case "v3" where path[2] == "apis" && path.count == 5:
      let foreign = external.first { $0.group == path[3] && $0.version == path[4] }
      return (foreign?.openAPI?.v3 ?? openAPI.openAPIV3Document(group: path[3], version: path[4])).map { DiscoveryDocument($0) }
    case "v2":
      let isProtobuf = accept.split(separator: ",").first?.contains("spec.v2") ?? false
      if isProtobuf {
        return DiscoveryDocument(
          foreignParts.isEmpty ? openAPI.openAPIV2Protobuf() : whole(isProtobuf: true),
          contentType: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
      }
      guard accept.isEmpty || accept.contains("application/json") || accept.contains("*/*") else { throw APIFailure.notAcceptable }
      return DiscoveryDocument(foreignParts.isEmpty ? openAPI.openAPIV2Document() : whole(isProtobuf: false))
    default: return nil
    }
  }
}

/// The aggregated form of discovery that a client asks for.
struct AggregatedForm: Sendable {
  let version: DiscoveryDocuments.AggregatedVersion
  var contentType: String { "application/json;g=apidiscovery.k8s.io;v=\(version.rawValue);as=APIGroupDiscoveryList" }

  /// The first clause of the Accept header that there is; nil for the legacy form.
  static func negotiate(_ accept: String) -> AggregatedForm? {
    for clause in accept.split(separator: ",") {
      let parts = clause.split(separator: ";").map { $0.filter { $0 != " " } }
      guard parts.first == "application/json" else { continue }
      guard parts.contains("as=APIGroupDiscoveryList") else { return nil }
      if parts.contains("v=v2") { return AggregatedForm(version: .v2) }
      if parts.contains("v=v2beta1") { return AggregatedForm(version: .v2beta1) }
    }
    return nil
  }
}
