import APIMachinery
import JSONCodec
import KubernetesAPI
import RevisionStore

/// A request that fails, as the metav1.Status that its sender gets.
struct APIFailure: Error {
  let code: Int
  let reason: String
  let message: String
  var details: JSON = .null
  /// A token with which an expired list can go on.
  var continueToken: String?

  var status: JSON {
    [
      "kind": "Status", "apiVersion": "v1", "metadata": continueToken.map { ["continue": .string($0)] } ?? .object(JSONObject()),
      "status": "Failure", "message": .string(message),
      "reason": JSON(reason.isEmpty ? nil : reason), "details": details, "code": JSON(code),
    ]
  }

  /// When to try again. Client libraries wait and repeat by themselves where this is told, so that a refusal that only the cluster's
  /// state can change does not tell it.
  var retryAfterSeconds: Int? { details["retryAfterSeconds"].int ?? (code == 503 ? 1 : nil) }

  init(_ code: Int, _ reason: String, _ message: String, details: JSON = .null) {
    self.code = code
    self.reason = reason
    self.message = message
    self.details = details
  }
}

extension APIFailure {
  private static func qualified(_ resource: ResourceInfo) -> String {
    resource.group.isEmpty ? resource.plural : "\(resource.plural).\(resource.group)"
  }

  private static func details(_ resource: ResourceInfo, _ name: String) -> JSON {
    ["name": .string(name), "group": JSON(resource.group.isEmpty ? nil : resource.group), "kind": .string(resource.plural)]
  }

  static func notFound(_ resource: ResourceInfo, _ name: String) -> APIFailure {
    APIFailure(404, "NotFound", "\(qualified(resource)) \"\(name)\" not found", details: details(resource, name))
  }

  static func alreadyExists(_ resource: ResourceInfo, _ name: String) -> APIFailure {
    APIFailure(409, "AlreadyExists", "\(qualified(resource)) \"\(name)\" already exists", details: details(resource, name))
  }

  static func conflict(_ resource: ResourceInfo, _ name: String, _ why: String) -> APIFailure {
    APIFailure(
      409, "Conflict", "Operation cannot be fulfilled on \(qualified(resource)) \"\(name)\": \(why)", details: details(resource, name))
  }

  static func changed(_ resource: ResourceInfo, _ name: String) -> APIFailure {
    conflict(resource, name, "the object has been modified; please apply your changes to the latest version and try again")
  }

  static func forbidden(_ resource: ResourceInfo, _ name: String, _ why: String) -> APIFailure {
    let target = name.isEmpty ? "\(qualified(resource)) is forbidden" : "\(qualified(resource)) \"\(name)\" is forbidden"
    return APIFailure(403, "Forbidden", "\(target): \(why)", details: details(resource, name))
  }

  static func badRequest(_ message: String) -> APIFailure { APIFailure(400, "BadRequest", message) }

  static let noSuchPath = APIFailure(
    404, "NotFound", "the server could not find the requested resource", details: .object(JSONObject()))

  static func methodNotAllowed(_ what: String) -> APIFailure {
    APIFailure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource\(what.isEmpty ? "" : ": \(what)")")
  }

  static let unauthorized = APIFailure(401, "Unauthorized", "Unauthorized")

  static func expired(_ message: String) -> APIFailure { APIFailure(410, "Expired", message) }

  static func unsupportedMediaType(_ accepted: [String]) -> APIFailure {
    APIFailure(
      415, "UnsupportedMediaType",
      "the body of the request was in an unknown format - accepted media types include: \(accepted.joined(separator: ", "))")
  }

  static let notAcceptable = APIFailure(
    406, "NotAcceptable",
    "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf")

  static func unavailable(_ message: String) -> APIFailure { APIFailure(503, "ServiceUnavailable", message) }
  static func internalError(_ message: String) -> APIFailure {
    APIFailure(500, "InternalError", "Internal error occurred: \(message)", details: ["causes": [["message": .string(message)]]])
  }
}
