import APIMachinery
import HTTPServing
import JSONCodec

/// A request for a resource, whatever carried it here.
struct APICall: Sendable {
  enum Body: Sendable {
    case none
    /// Already a value: it came from this process, or was read before.
    case json(JSON)
    case bytes([UInt8])
  }

  var user: UserInfo
  /// GET, POST, PUT, PATCH or DELETE.
  var method: String
  /// The parts of the path between slashes.
  var path: [String]
  var query: [(name: String, value: String)]
  var contentType = "application/json"
  /// How the answer is shown and written; nil where the caller takes nothing that there is.
  var answerForm: AnswerForm? = AnswerForm()
  var userAgent = ""
  var body = Body.none
  /// The HTTP request it came in, for upgrades; nil for calls in this process.
  var served: ServedRequest?

  /// The answer is wanted as a whole beside being sent.
  var keepsAnswer = false

  /// Whether the answer goes out as plain JSON, the form in which objects are stored.
  var sendsStoredBytes: Bool {
    guard served != nil, let answerForm else { return false }
    return answerForm.encoding == .json && answerForm.rendering == .object && !flag("pretty")
  }

  func parameter(_ name: String) -> String? { query.first { $0.name == name }?.value }
  func parameters(_ name: String) -> [String] { query.filter { $0.name == name }.map(\.value) }
  func flag(_ name: String) -> Bool {
    guard let value = parameter(name) else { return false }
    return value == "1" || value.lowercased() == "true" || value.isEmpty
  }

  /// Who a change is attributed to in managedFields: the parameter, or the user agent up to its first slash.
  var fieldManager: String {
    if let manager = parameter("fieldManager"), !manager.isEmpty { return manager }
    let agent = userAgent.prefix { $0 != "/" }
    return agent.isEmpty ? "unknown" : String(agent)
  }
}

/// What a path under /api or /apis names.
struct ResourceRequest: Sendable {
  var resource: ResourceInfo
  /// Nil: all namespaces, or a cluster-scoped resource.
  var namespace: String?
  var name: String?
  var subresource: String?
  /// What follows a proxy subresource.
  var rest: [String] = []

  /// The store's key of an object.
  func key(_ name: String) -> String {
    Self.prefix(resource, namespace: namespace) + name
  }

  /// The store's prefix of a collection: `/registry/pods/` or `/registry/pods/default/`.
  static func prefix(_ resource: ResourceInfo, namespace: String?) -> String {
    let group = resource.storageGroup.isEmpty ? "" : resource.storageGroup + "/"
    return "/registry/\(group)\(resource.plural)/" + (namespace.map { $0 + "/" } ?? "")
  }
}

extension ResourceInfo {
  /// events.k8s.io events are the core ones.
  var storageGroup: String { group == "events.k8s.io" ? "" : group }
  var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
}

extension ResourceRequest {
  /// Reads `/api/v1/...` and `/apis/<group>/<version>/...`; nil where the path names no registered resource.
  init?(path: [String], registry: SchemaRegistry) {
    var parts = path[...]
    var group = ""
    switch parts.popFirst() {
    case "api": break
    case "apis": group = parts.popFirst() ?? ""
    default: return nil
    }
    guard let version = parts.popFirst(), var plural = parts.popFirst() else { return nil }
    var namespace: String?
    if plural == "namespaces", parts.count >= 2, let inner = parts.dropFirst().first,
      registry.resource(group: "", version: "v1", plural: "namespaces")?.subresources.contains(where: { $0.name == inner }) != true
    {
      namespace = parts.popFirst()
      plural = parts.popFirst() ?? ""
    }
    guard let resource = registry.resource(group: group, version: version, plural: plural), resource.isServed,
      namespace == nil || resource.isNamespaced
    else { return nil }
    self.init(
      resource: resource, namespace: namespace, name: parts.popFirst(), subresource: parts.popFirst(), rest: Array(parts))
    // A namespaced object needs its namespace; only the collection has a form over all of them.
    if resource.isNamespaced, name != nil, namespace == nil { return nil }
  }
}

/// The answer to a call before it becomes bytes.
enum APIResult: Sendable {
  case object(JSON, status: Int = 200)
  /// A JSON document that was put together from stored bytes.
  case document([UInt8])
  case text(String, status: Int = 200, contentType: String = "text/plain; charset=utf-8")
  case watch(WatchRequest)
  case served(ServedResponse)
}
