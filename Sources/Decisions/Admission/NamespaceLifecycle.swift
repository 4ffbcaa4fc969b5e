import JSONCodec
import KubernetesAPI

/// Nothing is made in a namespace that is missing or going, and three namespaces stay for ever.
enum NamespaceLifecycle {
  static let immortal: Set<String> = ["default", "kube-system", "kube-public"]

  static func check(_ object: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    if attributes.kind == "Namespace", attributes.group.isEmpty {
      let name = object["metadata"]["name"].string ?? ""
      if attributes.operation == .delete, attributes.subresource.isEmpty, immortal.contains(name) {
        throw .forbidden(object, attributes, "this namespace may not be deleted")
      }
      return
    }
    guard needsNamespace(attributes), let name = attributes.namespace else { return }
    guard let namespace = cluster.object(.namespace(name)) else { throw .namespaceNotFound(name) }
    let isGoing = namespace["status"]["phase"] == "Terminating" || !namespace["metadata"]["deletionTimestamp"].isNull
    guard isGoing else { return }
    var refusal = AdmissionRefusal.forbidden(
      object, attributes, "unable to create new content in namespace \(name) because it is being terminated")
    refusal.details["causes"] = [
      ["reason": "NamespaceTerminating", "message": .string("namespace \(name) is being terminated"), "field": "metadata.namespace"]
    ]
    throw refusal
  }

  /// Only what is new needs its namespace: what is left over in one that is gone may still lose its finalizers.
  /// Access reviews must not tell which namespaces there are.
  static func needsNamespace(_ attributes: AdmissionAttributes) -> Bool {
    guard attributes.namespace != nil, attributes.kind != "Namespace" else { return false }
    if attributes.resource == "localsubjectaccessreviews", attributes.group == "authorization.k8s.io" { return false }
    return attributes.operation == .create
  }
}
