import JSONCodec
import KubernetesAPI

@testable import Admission

/// Requests and cluster facts that tests start from.
func attributes(
  _ operation: AdmissionAttributes.Operation = .create, _ resource: String = "pods", group: String = "", kind: String = "Pod",
  subresource: String = "", namespace: String? = "team", old: JSON? = nil
) -> AdmissionAttributes {
  AdmissionAttributes(
    operation: operation, group: group, resource: resource, kind: kind, subresource: subresource, namespace: namespace,
    user: AdmissionUser(name: "jane", groups: ["system:authenticated"]), old: old, nameSuffix: "abcde")
}

func pod(_ name: String = "web", _ spec: JSON = ["containers": [["name": "c", "image": "nginx"]]]) -> JSON {
  ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "team"], "spec": spec]
}

/// One container with these requests and limits.
func pod(requests: JSON, limits: JSON = .null) -> JSON {
  pod("web", ["containers": [["name": "c", "image": "nginx", "resources": ["requests": requests, "limits": limits]]]])
}

func namespace(_ labels: JSON = .null) -> JSON {
  ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "team", "labels": labels], "status": ["phase": "Active"]]
}

func facts(_ answers: [AdmissionFact: [JSON]] = [:]) -> GatheredFacts {
  let always: [AdmissionFact: [JSON]] = [
    .namespace("team"): [namespace()],
    .serviceAccount(namespace: "team", name: "default"): [["metadata": ["name": "default", "namespace": "team"]]],
  ]
  return GatheredFacts(always.merging(answers) { $1 })
}

/// The object as `mutate` leaves it, or the message of the refusal.
func mutated(_ object: JSON, _ attributes: AdmissionAttributes = attributes(), _ cluster: GatheredFacts = facts()) throws -> JSON {
  var object = object
  try AdmissionChain().mutate(&object, attributes: attributes, cluster: cluster)
  return object
}

/// The message of the refusal; nil where both steps let the request pass.
func refusal(
  _ object: JSON, _ attributes: AdmissionAttributes = attributes(), _ cluster: GatheredFacts = facts()
) -> String? {
  do throws(AdmissionRefusal) {
    var object = object
    try AdmissionChain().mutate(&object, attributes: attributes, cluster: cluster)
    _ = try AdmissionChain().validate(object, attributes: attributes, cluster: cluster)
    return nil
  } catch {
    return error.message
  }
}
