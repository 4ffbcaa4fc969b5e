/// Where a collection of objects lives.
package struct ResourcePath: Sendable, Hashable, CustomStringConvertible {
  /// Empty for the core group.
  package let group: String
  package let version: String
  package let plural: String
  /// Nil for cluster-scoped resources, and for a namespaced one in all namespaces.
  package let namespace: String?

  package init(group: String = "", version: String = "v1", _ plural: String, namespace: String? = nil) {
    self.group = group
    self.version = version
    self.plural = plural
    self.namespace = namespace
  }

  package static func pods(_ namespace: String? = nil) -> ResourcePath { ResourcePath("pods", namespace: namespace) }
  package static func events(_ namespace: String? = nil) -> ResourcePath { ResourcePath("events", namespace: namespace) }
  package static func configMaps(_ namespace: String? = nil) -> ResourcePath { ResourcePath("configmaps", namespace: namespace) }
  package static func secrets(_ namespace: String? = nil) -> ResourcePath { ResourcePath("secrets", namespace: namespace) }
  package static func services(_ namespace: String? = nil) -> ResourcePath { ResourcePath("services", namespace: namespace) }
  package static func serviceAccounts(_ namespace: String? = nil) -> ResourcePath { ResourcePath("serviceaccounts", namespace: namespace) }
  package static let nodes = ResourcePath("nodes")
  package static let namespaces = ResourcePath("namespaces")
  package static func leases(_ namespace: String) -> ResourcePath {
    ResourcePath(group: "coordination.k8s.io", "leases", namespace: namespace)
  }

  package func with(namespace: String) -> ResourcePath {
    ResourcePath(group: group, version: version, plural, namespace: namespace)
  }

  /// The path of the collection, of an object in it, or of an object's subresource.
  package func path(name: String? = nil, subresource: String? = nil) -> String {
    var path = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
    if let namespace { path += "/namespaces/\(namespace)" }
    path += "/\(plural)"
    if let name { path += "/\(name)" }
    if let subresource { path += "/\(subresource)" }
    return path
  }

  package var description: String { path() }
}
