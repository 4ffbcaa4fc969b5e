import JSONCodec
import KubernetesAPI

/// The APIService objects of the groups and versions that this server serves itself, built-in and custom: their service is
/// empty, and they are always available.
package func localAPIServices(_ registry: SchemaRegistry, now: Timestamp) -> [JSON] {
  let custom = Set(registry.customResources.map { "\($0.version).\($0.group)" })
  return registry.servedGroupVersions.map { group, version in
    let name = "\(version).\(group)"
    let isCustom = custom.contains(name) && APIPriorities.builtIn[name] == nil
    let (groupPriority, versionPriority) = APIPriorities.builtIn[name] ?? APIPriorities.custom
    return [
      "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1",
      "metadata": [
        "name": .string(name), "labels": ["kube-aggregator.kubernetes.io/automanaged": isCustom ? "true" : "onstart"],
      ],
      "spec": [
        "group": group.isEmpty ? .null : .string(group), "version": .string(version), "groupPriorityMinimum": JSON(groupPriority),
        "versionPriority": JSON(versionPriority),
      ],
      "status": [
        "conditions": [
          [
            "type": "Available", "status": "True", "lastTransitionTime": .string(now.rfc3339), "reason": "Local",
            "message": "Local APIServices are always available",
          ]
        ]
      ],
    ]
  }
}

/// In which order groups and their versions are offered; higher numbers first.
private enum APIPriorities {
  static let custom = (group: 1_000, version: 100)

  /// By name of the APIService.
  static let builtIn: [String: (group: Int, version: Int)] = [
    "v1.": (18_000, 1), "v1.apiregistration.k8s.io": (17_900, 15), "v1.apps": (17_800, 15), "v1.events.k8s.io": (17_750, 15),
    "v1.authentication.k8s.io": (17_700, 15), "v1.authorization.k8s.io": (17_600, 15), "v1.autoscaling": (17_500, 15),
    "v2.autoscaling": (17_500, 30), "v1.batch": (17_400, 15), "v1.certificates.k8s.io": (17_300, 15),
    "v1.networking.k8s.io": (17_200, 15), "v1.policy": (17_100, 15), "v1.rbac.authorization.k8s.io": (17_000, 15),
    "v1.storage.k8s.io": (16_800, 15), "v1.admissionregistration.k8s.io": (16_700, 15), "v1.apiextensions.k8s.io": (16_700, 15),
    "v1.scheduling.k8s.io": (16_600, 15), "v1.coordination.k8s.io": (16_500, 15), "v1.node.k8s.io": (16_300, 15),
    "v1.discovery.k8s.io": (16_200, 15), "v1.resource.k8s.io": (16_200, 21), "v1.flowcontrol.apiserver.k8s.io": (16_100, 21),
    "v1beta1.certificates.k8s.io": (17_300, 9),
    "v1beta1.storagemigration.k8s.io": (16_000, 9),
  ]
}
