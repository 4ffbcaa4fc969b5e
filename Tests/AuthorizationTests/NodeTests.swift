import Authorization
import JSONCodec
import Testing

private let kubelet = UserInfo(name: "system:node:n1", groups: ["system:nodes", "system:authenticated"])

private func pod(_ node: String, _ change: (inout JSON) -> Void = { _ in }) -> JSON {
  var pod: JSON = [
    "metadata": ["name": "p", "namespace": "x"],
    "spec": [
      "nodeName": .string(node), "serviceAccountName": "sa", "imagePullSecrets": [["name": "pull"]],
      "containers": [
        [
          "name": "c", "env": [["name": "A", "valueFrom": ["secretKeyRef": ["name": "env-secret", "key": "k"]]]],
          "envFrom": [["configMapRef": ["name": "env-map"]]],
        ]
      ],
      "volumes": [
        ["name": "s", "secret": ["secretName": "volume-secret"]], ["name": "c", "persistentVolumeClaim": ["claimName": "claim"]],
        ["name": "p", "projected": ["sources": [["configMap": ["name": "projected-map"]]]]], ["name": "e", "ephemeral": [:]],
      ],
    ],
  ]
  change(&pod)
  return pod
}

@Suite struct NodeGraphTests {
  private static let references: [(String, String)] = [
    ("secrets", "pull"), ("secrets", "env-secret"), ("secrets", "volume-secret"), ("configmaps", "env-map"),
    ("configmaps", "projected-map"),
    ("persistentvolumeclaims", "claim"), ("persistentvolumeclaims", "p-e"), ("serviceaccounts", "sa"),
  ]

  @Test func aNodeReadsWhatItsPodsReferTo() {
    var graph = NodeGraph()
    graph.set(pod: pod("n1"), namespace: "x", name: "p")
    for (kind, name) in Self.references {
      #expect(graph.leads(from: "n1", to: .init(kind, "x", name)), "\(kind)/\(name)")
      #expect(!graph.leads(from: "n2", to: .init(kind, "x", name)), "\(kind)/\(name)")
      #expect(!graph.leads(from: "n1", to: .init(kind, "y", name)), "\(kind)/\(name)")
    }
    #expect(graph.leads(from: "n1", to: .init("pods", "x", "p")) && !graph.leads(from: "n2", to: .init("pods", "x", "p")))
  }

  @Test func untilTheLastOfThemIsGone() {
    var graph = NodeGraph()
    graph.set(pod: pod("n1"), namespace: "x", name: "p")
    graph.set(pod: pod("n1"), namespace: "x", name: "q")
    graph.set(pod: nil, namespace: "x", name: "p")
    #expect(graph.leads(from: "n1", to: .init("secrets", "x", "pull")))
    graph.set(pod: nil, namespace: "x", name: "q")
    #expect(!graph.leads(from: "n1", to: .init("secrets", "x", "pull")))
    // Nothing before it is bound.
    graph.set(pod: pod(""), namespace: "x", name: "p")
    #expect(!graph.leads(from: "", to: .init("secrets", "x", "pull")))
    graph.set(pod: pod("n2"), namespace: "x", name: "p")
    #expect(graph.leads(from: "n2", to: .init("secrets", "x", "pull")))
  }

  @Test func volumesAndTheirSecrets() {
    var graph = NodeGraph()
    graph.set(pod: pod("n1"), namespace: "x", name: "p")
    let volume: JSON = [
      "spec": [
        "claimRef": ["namespace": "x", "name": "claim"], "csi": ["nodeStageSecretRef": ["name": "stage", "namespace": "drivers"]],
      ]
    ]
    graph.set(volume: volume, name: "pv")
    #expect(graph.leads(from: "n1", to: .init("persistentvolumes", "", "pv")))
    #expect(graph.leads(from: "n1", to: .init("secrets", "drivers", "stage")))
    #expect(!graph.leads(from: "n2", to: .init("secrets", "drivers", "stage")))
    graph.set(volume: nil, name: "pv")
    #expect(!graph.leads(from: "n1", to: .init("secrets", "drivers", "stage")))
    graph.set(attachment: ["spec": ["nodeName": "n1"]], name: "va")
    #expect(
      graph.leads(from: "n1", to: .init("volumeattachments", "", "va"))
        && !graph.leads(from: "n2", to: .init("volumeattachments", "", "va")))
  }

  @Test func aMirrorPodLeadsNowhere() {
    var graph = NodeGraph()
    let mirror = pod("n1") { $0["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "h" }
    graph.set(pod: mirror, namespace: "x", name: "p")
    #expect(!graph.leads(from: "n1", to: .init("secrets", "x", "pull")))
  }
}

@Suite struct NodeAuthorizerTests {
  static let graph: NodeGraph = {
    var graph = NodeGraph()
    graph.set(pod: pod("n1"), namespace: "x", name: "p")
    graph.set(pod: pod("n2") { $0["spec"]["imagePullSecrets"] = [["name": "foreign"]] }, namespace: "x", name: "q")
    return graph
  }()

  private static func podRequests(_ verb: String, of node: String?) -> AccessRequest {
    var request = AccessRequest(verb, group: "certificates.k8s.io", resource: "podcertificaterequests")
    if let node { request.fields["spec.nodeName"] = node }
    return request
  }

  private static func pods(_ verb: String, of node: String?) -> AccessRequest {
    var request = AccessRequest(verb, resource: "pods")
    if let node { request.fields["spec.nodeName"] = node }
    return request
  }

  @Test(
    arguments: [
      (AccessRequest("get", resource: "secrets", namespace: "x", name: "pull"), true),
      (AccessRequest("watch", resource: "secrets", namespace: "x", name: "pull"), true),
      (AccessRequest("get", resource: "secrets", namespace: "x", name: "foreign"), false),
      (AccessRequest("list", resource: "secrets", namespace: "x"), false),
      (AccessRequest("update", resource: "secrets", namespace: "x", name: "pull"), false),
      (AccessRequest("create", resource: "serviceaccounts", subresource: "token", namespace: "x", name: "sa"), true),
      (AccessRequest("create", resource: "serviceaccounts", subresource: "token", namespace: "x", name: "other"), false),
      (AccessRequest("get", resource: "nodes", name: "n1"), true), (AccessRequest("get", resource: "nodes", name: "n2"), false),
      (AccessRequest("list", resource: "nodes"), false),
      (AccessRequest("patch", resource: "nodes", subresource: "status", name: "n1"), true),
      (AccessRequest("delete", resource: "nodes", name: "n1"), false),
      (AccessRequest("get", resource: "pods", namespace: "x", name: "p"), true),
      (AccessRequest("get", resource: "pods", namespace: "x", name: "q"), false),
      (pods("watch", of: "n1"), true), (pods("list", of: "n2"), false), (pods("list", of: nil), false),
      (AccessRequest("create", resource: "pods", subresource: "exec", namespace: "x", name: "p"), false),
      (AccessRequest("create", resource: "pods", subresource: "binding", namespace: "x", name: "p"), false),
      (AccessRequest("update", group: "coordination.k8s.io", resource: "leases", namespace: "kube-node-lease", name: "n1"), true),
      (AccessRequest("update", group: "coordination.k8s.io", resource: "leases", namespace: "kube-node-lease", name: "n2"), false),
      (AccessRequest("update", group: "coordination.k8s.io", resource: "leases", namespace: "x", name: "n1"), false),
      (AccessRequest("get", group: "storage.k8s.io", resource: "csinodes", name: "n2"), false),
      (AccessRequest("create", group: "authentication.k8s.io", resource: "tokenreviews"), true),
      (AccessRequest("get", path: "/metrics"), false),
      (AccessRequest("create", group: "certificates.k8s.io", resource: "podcertificaterequests", namespace: "x"), true),
      (podRequests("watch", of: "n1"), true), (podRequests("list", of: "n2"), false), (podRequests("list", of: nil), false),
      (
        AccessRequest(
          "update", group: "certificates.k8s.io", resource: "podcertificaterequests", subresource: "status", namespace: "x", name: "r"),
        false
      ),
      (AccessRequest("delete", group: "certificates.k8s.io", resource: "podcertificaterequests", namespace: "x", name: "r"), false),
    ] as [(AccessRequest, Bool)])
  func decisions(_ request: AccessRequest, _ allowed: Bool) {
    #expect(NodeAuthorizer.decide(kubelet, request, Self.graph).isAllowed == allowed)
  }

  @Test func onlyForNodes() {
    let read = AccessRequest("get", resource: "secrets", namespace: "x", name: "pull")
    for user in [
      UserInfo(name: "system:node:n1", groups: ["system:authenticated"]), UserInfo(name: "n1", groups: ["system:nodes"]),
      UserInfo(name: "system:node:", groups: ["system:nodes"]),
    ] {
      #expect(!NodeAuthorizer.decide(user, read, Self.graph).isAllowed)
    }
  }
}

@Suite struct NodeRestrictionTests {
  private let restriction = NodeRestriction(node: "n1")

  /// `resource` as rules name it: "pods/status".
  private func refuses(_ operation: NodeRestriction.Operation, _ resource: String, _ object: JSON, old: JSON? = nil) -> Bool {
    let parts = resource.split(separator: "/").map(String.init)
    return restriction.refusal(
      operation, group: "", resource: parts[0], subresource: parts.count > 1 ? parts[1] : "", object: object, old: old, nodeUID: "u1")
      != nil
  }

  private func mirror(_ change: (inout JSON) -> Void = { _ in }) -> JSON {
    var pod: JSON = [
      "metadata": [
        "name": "p", "annotations": ["kubernetes.io/config.mirror": "h"],
        "ownerReferences": [["apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": true]],
      ], "spec": ["nodeName": "n1", "containers": [["name": "c", "image": "i"]]],
    ]
    change(&pod)
    return pod
  }

  @Test func aNodeMakesMirrorPodsOfItsOwnAlone() {
    #expect(!refuses(.create, "pods", mirror()))
    func owner(_ name: JSON, _ uid: JSON, _ controller: JSON) -> JSON {
      [["apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "controller": controller]]
    }
    let changes: [(inout JSON) -> Void] = [
      { $0["metadata"]["annotations"] = .null }, { $0["spec"]["nodeName"] = "n2" }, { $0["metadata"]["ownerReferences"] = .null },
      { $0["metadata"]["ownerReferences"] = owner("n2", "u1", true) }, { $0["metadata"]["ownerReferences"] = owner("n1", "other", true) },
      { $0["metadata"]["ownerReferences"] = owner("n1", "u1", .null) }, { $0["spec"]["serviceAccountName"] = "admin" },
      { $0["spec"]["volumes"] = [["name": "v", "secret": ["secretName": "s"]]] },
      { $0["spec"]["volumes"] = [["name": "v", "persistentVolumeClaim": ["claimName": "s"]]] },
    ]
    for (index, change) in changes.enumerated() {
      var pod = mirror()
      change(&pod)
      #expect(refuses(.create, "pods", pod), "change \(index)")
    }
  }

  @Test func podsOfOtherNodesAreNotItsOwn() {
    let (own, other): (JSON, JSON) = (["spec": ["nodeName": "n1"]], ["spec": ["nodeName": "n2"]])
    #expect(!refuses(.delete, "pods", own) && refuses(.delete, "pods", other))
    #expect(!refuses(.delete, "pods/eviction", own) && refuses(.delete, "pods/eviction", other))
    #expect(!refuses(.update, "pods/status", own, old: own) && refuses(.update, "pods/status", other, old: other))
    #expect(refuses(.update, "pods", own, old: own))
    var labelled = own
    labelled["metadata"]["labels"]["app"] = "trusted"
    #expect(refuses(.update, "pods/status", labelled, old: own))
  }

  @Test(
    arguments: [
      ("example.com/any", false), ("plain", false), ("node.kubernetes.io/any", false), ("kubelet.kubernetes.io/any", false),
      ("kubernetes.io/hostname", false), ("topology.kubernetes.io/zone", false), ("node-restriction.kubernetes.io/trusted", true),
      ("x.node-restriction.kubernetes.io/trusted", true), ("node-role.kubernetes.io/control-plane", true), ("kubernetes.io/other", true),
      ("k8s.io/other", true), ("notkubernetes.io/other", false),
    ])
  func labels(_ label: String, _ isRefused: Bool) {
    let old: JSON = ["metadata": ["name": "n1"]]
    var new = old
    new["metadata"]["labels"][label] = "v"
    #expect(refuses(.update, "nodes", new, old: old) == isRefused)
    #expect(refuses(.create, "nodes", new) == isRefused)
    // What somebody else gave it stays, and may not be taken away either.
    #expect(!refuses(.update, "nodes", new, old: new) && refuses(.update, "nodes", old, old: new) == isRefused)
  }

  @Test func itsNodeObject() {
    let node: JSON = ["metadata": ["name": "n1"]]
    var tainted = node
    tainted["spec"]["taints"] = [["key": "k", "effect": "NoSchedule"]]
    var owned = node
    owned["metadata"]["ownerReferences"] = [["kind": "Node", "name": "gone"]]
    #expect(!refuses(.create, "nodes", tainted) && !refuses(.update, "nodes/status", node, old: node))
    #expect(refuses(.update, "nodes", tainted, old: node) && refuses(.update, "nodes", node, old: tainted))
    #expect(refuses(.update, "nodes/status", owned, old: node))
    #expect(refuses(.update, "nodes", ["metadata": ["name": "n2"]], old: ["metadata": ["name": "n2"]]))
    #expect(refuses(.delete, "nodes", node))
  }
}
