import JSONCodec
import NIOCore

/// One request of the Kubernetes protocol, whatever carries it.
package struct APIRequest: Sendable {
  /// The HTTP method: GET, POST, PUT, PATCH or DELETE.
  package var method: String
  /// The path without the query, such as `/api/v1/namespaces/default/pods/web`.
  package var path: String
  package var query: [(name: String, value: String)]
  /// The type of the body; a patch says here which one it is.
  package var contentType: String
  package var body: JSON?

  package init(
    _ method: String, _ path: String, query: [(name: String, value: String)] = [], contentType: String = "application/json",
    body: JSON? = nil
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.contentType = contentType
    self.body = body
  }
}

package struct APIResponse: Sendable {
  /// The HTTP status.
  package let status: Int
  package let body: JSON
  package init(status: Int, body: JSON) {
    self.status = status
    self.body = body
  }
}

package struct WatchEvent: Sendable {
  package enum Kind: String, Sendable {
    case added = "ADDED"
    case modified = "MODIFIED"
    case deleted = "DELETED"
    case bookmark = "BOOKMARK"
    case error = "ERROR"
  }
  package let kind: Kind
  package let object: JSON
  package init(kind: Kind, object: JSON) {
    self.kind = kind
    self.object = object
  }
}

/// What carries requests: HTTPS to any API server, or a call into the one in this process.
package protocol APITransport: Sendable {
  /// Answers with whatever status the server gave; throws only where there is no answer.
  func send(_ request: APIRequest) async throws -> APIResponse
  /// The events of a watch. Ends when the server ends it; throws `APIStatusError` where it was refused.
  func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error>
}

/// An answer that is a metav1.Status of failure.
package struct APIStatusError: Error, CustomStringConvertible, Sendable {
  package let code: Int
  /// The machine-readable reason: NotFound, AlreadyExists, Conflict, Invalid, Expired, ...
  package let reason: String
  package let message: String
  package let status: JSON

  package init(_ response: APIResponse) {
    status = response.body
    code = response.body["code"].int ?? response.status
    reason = response.body["reason"].string ?? ""
    message = response.body["message"].string ?? "the server answered \(response.status)"
  }

  package var description: String { "\(message) (\(code)\(reason.isEmpty ? "" : " \(reason)"))" }
  package var isNotFound: Bool { code == 404 }
  package var isConflict: Bool { code == 409 && reason != "AlreadyExists" }
  package var isAlreadyExists: Bool { code == 409 && reason == "AlreadyExists" }
  package var isExpired: Bool { code == 410 }
}
