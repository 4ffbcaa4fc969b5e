import JSONCodec

/// The objects that every cluster has. Mandatory ones are put back as they were; suggested ones follow as long as their annotation
/// says so.
///
/// Source: Kubernetes' documentation "API Priority and Fairness", Default objects, and upstream's figures of 1.36.
package enum DefaultFlows {
  package static let annotation = "apf.kubernetes.io/autoupdate-spec"

  package static let mandatoryLevels: [JSON] = [
    level("exempt", ["type": "Exempt", "exempt": ["nominalConcurrencyShares": 0, "lendablePercent": 0]]),
    level(
      "catch-all",
      ["type": "Limited", "limited": ["nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": ["type": "Reject"]]]),
  ]

  package static let suggestedLevels: [JSON] = [
    limited("system", shares: 30, lendable: 33, queues: 64, hand: 6),
    limited("node-high", shares: 40, lendable: 25, queues: 64, hand: 6),
    limited("leader-election", shares: 10, lendable: 0, queues: 16, hand: 4),
    limited("workload-high", shares: 40, lendable: 50, queues: 128, hand: 6),
    limited("workload-low", shares: 100, lendable: 90, queues: 128, hand: 6),
    limited("global-default", shares: 20, lendable: 50, queues: 128, hand: 6),
  ]

  package static let mandatorySchemas: [JSON] = [
    schema("exempt", level: "exempt", 1, by: nil, groups("system:masters"), resources: [everything], paths: [anyPath]),
    schema(
      "catch-all", level: "catch-all", 10_000, by: "ByUser", groups("system:unauthenticated", "system:authenticated"),
      resources: [everything], paths: [anyPath]),
  ]

  package static let suggestedSchemas: [JSON] = [
    schema(
      "probes", level: "exempt", 2, by: nil, groups("system:unauthenticated", "system:authenticated"),
      paths: [["verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]]]),
    schema(
      "system-leader-election", level: "leader-election", 100, by: "ByUser",
      users("system:kube-controller-manager", "system:kube-scheduler") + kubeSystem("*"),
      resources: [rule(writes, "coordination.k8s.io", "leases")]),
    schema(
      "endpoint-controller", level: "workload-high", 150, by: "ByUser",
      users("system:kube-controller-manager") + kubeSystem("endpoint-controller", "endpointslicemirroring-controller"),
      resources: [rule(writes, "", "endpoints")]),
    schema(
      "workload-leader-election", level: "leader-election", 200, by: "ByUser", kubeSystem("*"),
      resources: [rule(writes, "", "endpoints", "configmaps"), rule(writes, "coordination.k8s.io", "leases")]),
    schema(
      "system-node-high", level: "node-high", 400, by: "ByUser", groups("system:nodes"),
      resources: [rule(["*"], "", "nodes", "nodes/status", clusterScope: true), rule(["*"], "coordination.k8s.io", "leases")]),
    schema("system-nodes", level: "system", 500, by: "ByUser", groups("system:nodes"), resources: [everything], paths: [anyPath]),
    schema(
      "kube-controller-manager", level: "workload-high", 800, by: "ByNamespace", users("system:kube-controller-manager"),
      resources: [everything], paths: [anyPath]),
    schema(
      "kube-scheduler", level: "workload-high", 800, by: "ByNamespace", users("system:kube-scheduler"), resources: [everything],
      paths: [anyPath]),
    schema(
      "kube-system-service-accounts", level: "workload-high", 900, by: "ByNamespace", kubeSystem("*"), resources: [everything],
      paths: [anyPath]),
    schema(
      "service-accounts", level: "workload-low", 9_000, by: "ByUser", groups("system:serviceaccounts"), resources: [everything],
      paths: [anyPath]),
    schema(
      "global-default", level: "global-default", 9_900, by: "ByUser", groups("system:unauthenticated", "system:authenticated"),
      resources: [everything], paths: [anyPath]),
  ]

  // MARK: parts

  private static let writes: [JSON] = ["get", "create", "update"]
  private static let everything = rule(["*"], "*", "*", clusterScope: true)
  private static let anyPath: JSON = ["verbs": ["*"], "nonResourceURLs": ["*"]]

  private static func rule(_ verbs: [JSON], _ group: String, _ resources: String..., clusterScope: Bool = false) -> JSON {
    var rule: JSON = ["verbs": .array(verbs), "apiGroups": [.string(group)], "resources": JSON(resources), "namespaces": ["*"]]
    if clusterScope { rule["clusterScope"] = true }
    return rule
  }

  private static func groups(_ names: String...) -> [JSON] { names.map { ["kind": "Group", "group": ["name": .string($0)]] } }
  private static func users(_ names: String...) -> [JSON] { names.map { ["kind": "User", "user": ["name": .string($0)]] } }
  private static func kubeSystem(_ names: String...) -> [JSON] {
    names.map { ["kind": "ServiceAccount", "serviceAccount": ["namespace": "kube-system", "name": .string($0)]] }
  }

  private static func metadata(_ name: String) -> JSON { ["name": .string(name), "annotations": [annotation: "true"]] }

  private static func level(_ name: String, _ spec: JSON) -> JSON {
    [
      "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": metadata(name), "spec": spec,
    ]
  }

  private static func limited(_ name: String, shares: Int, lendable: Int, queues: Int, hand: Int) -> JSON {
    level(
      name,
      [
        "type": "Limited",
        "limited": [
          "nominalConcurrencyShares": JSON(shares), "lendablePercent": JSON(lendable),
          "limitResponse": [
            "type": "Queue", "queuing": ["queues": JSON(queues), "handSize": JSON(hand), "queueLengthLimit": 50],
          ],
        ],
      ])
  }

  private static func schema(
    _ name: String, level: String, _ precedence: Int, by method: String?, _ subjects: [JSON], resources: [JSON] = [], paths: [JSON] = []
  ) -> JSON {
    [
      "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": metadata(name),
      "spec": [
        "priorityLevelConfiguration": ["name": .string(level)], "matchingPrecedence": JSON(precedence),
        "distinguisherMethod": method.map { ["type": .string($0)] } ?? .null,
        "rules": [
          [
            "subjects": .array(subjects), "resourceRules": resources.isEmpty ? .null : .array(resources),
            "nonResourceRules": paths.isEmpty ? .null : .array(paths),
          ]
        ],
      ],
    ]
  }
}
