import JSONCodec
import KubernetesAPI

/// Who makes a request.
package struct AdmissionUser: Sendable, Equatable {
  package var name: String
  package var groups: [String]

  package init(name: String, groups: [String] = []) {
    self.name = name
    self.groups = groups
  }
}

/// What is asked of the server, beside the object itself.
package struct AdmissionAttributes: Sendable {
  package enum Operation: String, Sendable { case create = "CREATE", update = "UPDATE", delete = "DELETE", connect = "CONNECT" }

  package var operation: Operation
  /// "" for core.
  package var group: String
  /// The plural name: `pods`.
  package var resource: String
  package var kind: String
  /// "" for the object itself.
  package var subresource: String
  /// Nil for kinds that are not in a namespace.
  package var namespace: String?
  package var user: AdmissionUser
  /// The stored object where it is updated.
  package var old: JSON?
  /// Five letters or digits, drawn anew for each request: the end of the token volume's name.
  package var nameSuffix: String

  package init(
    operation: Operation, group: String = "", resource: String, kind: String, subresource: String = "", namespace: String? = nil,
    user: AdmissionUser, old: JSON? = nil, nameSuffix: String
  ) {
    self.operation = operation
    self.group = group
    self.resource = resource
    self.kind = kind
    self.subresource = subresource
    self.namespace = namespace
    self.user = user
    self.old = old
    self.nameSuffix = nameSuffix
  }

  /// `pods`, `deployments.apps`.
  package var qualifiedResource: String { group.isEmpty ? resource : "\(resource).\(group)" }

  /// Whether the request is about objects of this resource themselves, not about one of their subresources.
  func concerns(_ resource: String, group: String = "") -> Bool {
    self.resource == resource && self.group == group && subresource.isEmpty
  }

  func creates(_ resource: String, group: String = "") -> Bool { operation == .create && concerns(resource, group: group) }
  func updates(_ resource: String, group: String = "") -> Bool { operation == .update && concerns(resource, group: group) }
}

/// A request that admission refuses, as the metav1.Status that its sender gets.
package struct AdmissionRefusal: Error, Equatable {
  package let code: Int
  package let reason: String
  /// The whole message: `pods "x" is forbidden: ...`.
  package let message: String
  package var details: JSON
  /// Annotations of the request's audit event.
  package var auditAnnotations: [String: String] = [:]

  package init(code: Int, reason: String, message: String, details: JSON) {
    self.code = code
    self.reason = reason
    self.message = message
    self.details = details
  }

  /// 403. An object without a name yet goes by its generateName.
  package static func forbidden(_ object: JSON, _ attributes: AdmissionAttributes, _ why: String) -> AdmissionRefusal {
    let names = [object["metadata"]["name"].string, object["metadata"]["generateName"].string, "Unknown"]
    let name = names.compactMap { $0 }.first { !$0.isEmpty } ?? ""
    return AdmissionRefusal(
      code: 403, reason: "Forbidden", message: "\(attributes.qualifiedResource) \"\(name)\" is forbidden: \(why)",
      details: [
        "name": .string(name), "group": JSON(attributes.group.isEmpty ? nil : attributes.group), "kind": .string(attributes.resource),
      ])
  }

  /// 404 for the namespace of an object.
  static func namespaceNotFound(_ name: String) -> AdmissionRefusal {
    AdmissionRefusal(
      code: 404, reason: "NotFound", message: "namespaces \"\(name)\" not found",
      details: ["name": .string(name), "kind": "namespaces"])
  }
}

/// What admission has to say about a request that it lets pass.
package struct AdmissionFindings: Sendable, Equatable {
  /// Texts for `Warning: 299` headers.
  package var warnings: [String] = []
  /// Annotations of the request's audit event.
  package var auditAnnotations: [String: String] = [:]

  package init() {}
}
