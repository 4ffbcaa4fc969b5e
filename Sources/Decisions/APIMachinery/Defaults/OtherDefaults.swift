import JSONCodec

extension Defaulting {
  /// How many devices a request asks for.
  private static func fillCount(_ request: inout JSON) {
    if request["allocationMode"].isEmpty { request["allocationMode"] = "ExactCount" }
    if request["allocationMode"] == "ExactCount", (request["count"].int ?? 0) == 0 { request["count"] = 1 }
  }

  static let otherRules: [String: Rule] = [
    "core/v1.Namespace": { namespace in
      let name = namespace["metadata"]["name"]
      if !name.isEmpty { namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = name }
    },
    "core/v1.Secret": { secret in
      // Plain text is only a way to write: it becomes data, over what stands there.
      for (key, value) in secret["stringData"].object ?? JSONObject() {
        secret["data"][key] = .string(Base64.encode((value.string ?? "").utf8))
      }
      secret["stringData"] = .null
    },
    "core/v1.NodeStatus": { status in
      if status["allocatable"].isNull { status["allocatable"] = status["capacity"] }
    },
    "core/v1.PersistentVolumeClaimSpec": { spec in
      if spec["dataSourceRef"].isNull {
        spec["dataSourceRef"] = spec["dataSource"]
      } else if spec["dataSource"].isNull, spec["dataSourceRef"]["namespace"].isEmpty {
        spec["dataSource"] = spec["dataSourceRef"]
      }
    },
    "core/v1.LimitRangeItem": { item in
      guard item["type"] == "Container" else { return }
      for (name, value) in item["max"].object ?? JSONObject() { item["default"].fill(name, value) }
      for (name, value) in item["default"].object ?? JSONObject() { item["defaultRequest"].fill(name, value) }
      for (name, value) in item["min"].object ?? JSONObject() { item["defaultRequest"].fill(name, value) }
    },
    "networking/v1.NetworkPolicySpec": { spec in
      guard spec["policyTypes"].isEmpty else { return }
      spec["policyTypes"] = spec["egress"].isEmpty ? ["Ingress"] : ["Ingress", "Egress"]
    },
    "apiextensions/v1.CustomResourceDefinition": { definition in
      let kind = definition["spec"]["names"]["kind"].string ?? ""
      if !kind.isEmpty {
        definition["spec"]["names"].fill("singular", .string(kind.lowercased()))
        definition["spec"]["names"].fill("listKind", .string(kind + "List"))
      }
      definition["spec"].fill("conversion", ["strategy": "None"])
      if definition["status"]["storedVersions"].isEmpty { definition["status"]["storedVersions"] = storedVersions(definition) }
    },
    "autoscaling/v2.HorizontalPodAutoscalerBehavior": { behavior in
      let percent: JSON = ["type": "Percent", "value": 100, "periodSeconds": 15]
      behavior["scaleUp"].fill("stabilizationWindowSeconds", 0)
      behavior["scaleUp"].fill("selectPolicy", "Max")
      behavior["scaleUp"].fill("policies", [["type": "Pods", "value": 4, "periodSeconds": 15], percent])
      behavior["scaleDown"].fill("selectPolicy", "Max")
      behavior["scaleDown"].fill("policies", [percent])
    },
    "resource/v1.ExactDeviceRequest": { fillCount(&$0) },
    "resource/v1.DeviceSubRequest": { fillCount(&$0) },
    "rbac/v1.Subject": { subject in
      guard subject["apiGroup"].isEmpty, subject["kind"] == "User" || subject["kind"] == "Group" else { return }
      subject["apiGroup"] = "rbac.authorization.k8s.io"
    },
  ]
}
