import JSONCodec
import KubernetesAPI
import Testing

@testable import APIMachinery

/// A definition of `crontabs.stable.example.com`, established unless said otherwise.
func definition(
  group: String = "stable.example.com", kind: String = "CronTab", plural: String = "crontabs", versions: [JSON], established: Bool = true,
  uid: String = "u1", generation: Int = 1, annotations: JSON = .null
) -> JSON {
  var object: JSON = [
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": ["name": .string("\(plural).\(group)"), "uid": .string(uid), "generation": JSON(generation), "annotations": annotations],
    "spec": [
      "group": .string(group), "scope": "Namespaced", "names": ["plural": .string(plural), "kind": .string(kind), "shortNames": ["ct"]],
      "versions": .array(versions),
    ],
  ]
  applyDefaults(&object, resource: registered("customresourcedefinitions", "apiextensions.k8s.io"))
  if established { object["status"] = definitionStatus(object, others: [], now: Timestamp(nanosecondsSinceEpoch: 0)) }
  return object
}

func version(_ name: String = "v1", storage: Bool = true, served: Bool = true, schema: JSON, _ more: JSON = .object(JSONObject())) -> JSON {
  var version: JSON = [
    "name": .string(name), "served": .bool(served), "storage": .bool(storage), "schema": ["openAPIV3Schema": schema],
  ]
  for (key, value) in more.object ?? JSONObject() { version[key] = value }
  return version
}

let cronTabSchema: JSON = [
  "type": "object",
  "properties": [
    "spec": [
      "type": "object", "required": ["cronSpec"],
      "properties": [
        "cronSpec": ["type": "string", "pattern": #"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"#],
        "image": ["type": "string", "default": "busybox"],
        "replicas": ["type": "integer", "minimum": 1, "maximum": 10],
        "policy": ["type": "string", "enum": ["Allow", "Forbid"]],
        "limits": ["type": "object", "default": .object(JSONObject()), "properties": ["cpu": ["type": "integer", "default": 1]]],
        "ports": [
          "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
          "items": [
            "type": "object", "required": ["port"],
            "properties": ["port": ["type": "integer"], "protocol": ["type": "string", "default": "TCP"], "name": ["type": "string"]],
          ],
        ],
        "tags": ["type": "array", "x-kubernetes-list-type": "set", "items": ["type": "string"]],
        "selector": ["type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": ["type": "string"]],
        "size": ["x-kubernetes-int-or-string": true],
        "free": ["type": "object", "x-kubernetes-preserve-unknown-fields": true],
        "template": [
          "type": "object", "x-kubernetes-embedded-resource": true,
          "properties": ["spec": ["type": "object", "properties": ["a": ["type": "string"]]]],
        ],
      ],
    ],
    "status": ["type": "object", "properties": ["replicas": ["type": "integer"], "selector": ["type": "string"]]],
  ],
]

let cronTabExtras: JSON = [
  "subresources": [
    "status": .object(JSONObject()),
    "scale": ["specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"],
  ],
  "selectableFields": [["jsonPath": ".spec.image"], ["jsonPath": ".spec.replicas"]],
  "additionalPrinterColumns": [
    ["name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec", "description": "The cron spec"],
    ["name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1],
    ["name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"],
  ],
]

let cronTabRegistry = SchemaRegistry.shared.adding([definition(versions: [version(schema: cronTabSchema, cronTabExtras)])])
let cronTabs = cronTabRegistry.resource(group: "stable.example.com", version: "v1", plural: "crontabs")!

func cronTab(_ spec: JSON, _ metadata: JSON = .object(JSONObject())) -> JSON {
  var object: JSON = [
    "apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": ["name": "a", "namespace": "n"], "spec": spec,
  ]
  for (key, value) in metadata.object ?? JSONObject() { object["metadata"][key] = value }
  return object
}
