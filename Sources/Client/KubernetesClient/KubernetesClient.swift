import JSONCodec

package enum PatchType: String, Sendable {
  case strategicMerge = "application/strategic-merge-patch+json"
  case merge = "application/merge-patch+json"
  case json = "application/json-patch+json"
  case apply = "application/apply-patch+yaml"
}

/// Reads and writes objects of any kind over one transport. Every failure the server names is an `APIStatusError`.
package struct KubernetesClient: Sendable {
  package let transport: any APITransport

  package init(transport: any APITransport) { self.transport = transport }

  private func object(_ request: APIRequest) async throws -> JSON {
    let response = try await transport.send(request)
    guard (200..<300).contains(response.status) else { throw APIStatusError(response) }
    return response.body
  }

  package func get(_ path: ResourcePath, name: String, subresource: String? = nil) async throws -> JSON {
    try await object(APIRequest("GET", path.path(name: name, subresource: subresource)))
  }

  /// Whatever a path answers with, such as a metric of another API server.
  package func document(_ path: String, query: [(name: String, value: String)] = []) async throws -> JSON {
    try await object(APIRequest("GET", path, query: query))
  }

  package func list(
    _ path: ResourcePath, labelSelector: String? = nil, fieldSelector: String? = nil
  ) async throws -> (items: [JSON], resourceVersion: String) {
    let query = Self.selectors(label: labelSelector, field: fieldSelector)
    let list = try await object(APIRequest("GET", path.path(), query: query))
    return (list["items"].array ?? [], list["metadata"]["resourceVersion"].string ?? "")
  }

  @discardableResult
  package func create(_ path: ResourcePath, _ body: JSON, name: String? = nil, subresource: String? = nil) async throws -> JSON {
    try await object(APIRequest("POST", path.path(name: name, subresource: subresource), body: body))
  }

  @discardableResult
  package func update(_ path: ResourcePath, name: String, subresource: String? = nil, _ body: JSON) async throws -> JSON {
    try await object(APIRequest("PUT", path.path(name: name, subresource: subresource), body: body))
  }

  @discardableResult
  package func patch(
    _ path: ResourcePath, name: String, subresource: String? = nil, type: PatchType = .strategicMerge, _ body: JSON
  ) async throws -> JSON {
    try await object(
      APIRequest("PATCH", path.path(name: name, subresource: subresource), contentType: type.rawValue, body: body))
  }

  /// `gracePeriodSeconds` nil leaves the object's own; `uid` refuses to delete a namesake, `resourceVersion` another
  /// state; `propagation` is Background, Foreground or Orphan.
  @discardableResult
  package func delete(
    _ path: ResourcePath, name: String, gracePeriodSeconds: Int? = nil, uid: String? = nil, resourceVersion: String? = nil,
    propagation: String? = nil
  ) async throws -> JSON {
    var options: JSON = ["kind": "DeleteOptions", "apiVersion": "v1"]
    if let gracePeriodSeconds { options["gracePeriodSeconds"] = JSON(gracePeriodSeconds) }
    if uid != nil || resourceVersion != nil {
      options["preconditions"] = ["uid": JSON(uid), "resourceVersion": JSON(resourceVersion)]
    }
    options["propagationPolicy"] = JSON(propagation)
    return try await object(APIRequest("DELETE", path.path(name: name), body: options))
  }

  package func watch(
    _ path: ResourcePath, from resourceVersion: String, labelSelector: String? = nil, fieldSelector: String? = nil
  ) async throws -> AsyncThrowingStream<WatchEvent, any Error> {
    var query = Self.selectors(label: labelSelector, field: fieldSelector)
    query += [("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", resourceVersion)]
    return try await transport.watch(APIRequest("GET", path.path(), query: query))
  }

  private static func selectors(label: String?, field: String?) -> [(name: String, value: String)] {
    var query: [(name: String, value: String)] = []
    if let label { query.append(("labelSelector", label)) }
    if let field { query.append(("fieldSelector", field)) }
    return query
  }
}
