import JSONCodec
import KubernetesAPI
import KubernetesClient
import Reconcilers
import Testing

@testable import ControllerManager

private let configMap = Kind("", "v1", "ConfigMap", "configmaps")

private func map(_ name: String, owners: [JSON] = [], finalizers: [String] = []) -> JSON {
  [
    "metadata": [
      "name": .string(name), "ownerReferences": owners.isEmpty ? .null : .array(owners),
      "finalizers": finalizers.isEmpty ? .null : JSON(finalizers),
    ]
  ]
}

private func reference(_ owner: JSON, kind: String = "ConfigMap", apiVersion: String = "v1", blocks: Bool = false) -> JSON {
  [
    "apiVersion": .string(apiVersion), "kind": .string(kind), "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    "blockOwnerDeletion": .bool(blocks),
  ]
}

@Suite struct GarbageCollectorTests {
  @Test func whatHasLostItsOwnersGoes() async throws {
    try await TestCluster.with([]) { cluster in
      let a = try await cluster.create(configMap, map("a"))
      let b = try await cluster.create(configMap, map("b"))
      try await cluster.create(configMap, map("of-a", owners: [reference(a)]))
      try await cluster.create(configMap, map("of-both", owners: [reference(a), reference(b)]))
      var stranger = reference(a)
      stranger["uid"] = "00000000-0000-0000-0000-000000000000"
      try await cluster.create(configMap, map("of-nobody", owners: [stranger]))
      try await cluster.eventually("the one of nobody") { try await cluster.get(configMap, "of-nobody").isNull }
      try await cluster.client.delete(configMap.path("default"), name: "a")
      try await cluster.eventually("the one of a") { try await cluster.get(configMap, "of-a").isNull }
      try await cluster.eventually("one owner left") {
        try await cluster.get(configMap, "of-both")["metadata"]["ownerReferences"].array?.count == 1
      }
      #expect(try await !cluster.get(configMap, "b").isNull)
    }
  }

  @Test func aRingGoes() async throws {
    try await TestCluster.with([]) { cluster in
      let a = try await cluster.create(configMap, map("a"))
      let b = try await cluster.create(configMap, map("b", owners: [reference(a, blocks: true)]))
      let c = try await cluster.create(configMap, map("c", owners: [reference(b, blocks: true)]))
      try await cluster.patch(configMap, "a", ["metadata": ["ownerReferences": [reference(c, blocks: true)]]])
      try await cluster.client.delete(configMap.path("default"), name: "a")
      try await cluster.eventually("all gone") {
        try await cluster.all(configMap).filter { $0["metadata"]["name"].string != "kube-root-ca.crt" }.isEmpty
      }
    }
  }

  @Test func foregroundWaitsAndOrphansStay() async throws {
    try await TestCluster.with([]) { cluster in
      let owner = try await cluster.create(configMap, map("owner", finalizers: ["foregroundDeletion"]))
      try await cluster.create(configMap, map("held", owners: [reference(owner, blocks: true)], finalizers: ["example.com/hold"]))
      try await cluster.client.delete(configMap.path("default"), name: "owner")
      try await cluster.eventually("the dependent first") {
        try await !cluster.get(configMap, "held")["metadata"]["deletionTimestamp"].isNull
      }
      #expect(try await !cluster.get(configMap, "owner").isNull)
      try await cluster.patch(configMap, "held", ["metadata": ["finalizers": .array([])]])
      try await cluster.eventually("then the owner") { try await cluster.get(configMap, "owner").isNull }

      let parent = try await cluster.create(configMap, map("parent", finalizers: ["orphan"]))
      try await cluster.create(configMap, map("child", owners: [reference(parent)]))
      // The collector must know the child before it lets go of it.
      try await Task.sleep(for: .milliseconds(200))
      try await cluster.client.delete(configMap.path("default"), name: "parent")
      try await cluster.eventually("the parent") { try await cluster.get(configMap, "parent").isNull }
      let child = try await cluster.get(configMap, "child")
      #expect(!child.isNull && child["metadata"]["ownerReferences"].isEmpty)
    }
  }

  /// What the options of a deletion ask for, without any finalizer set by hand.
  @Test func theThreePolicies() async throws {
    try await TestCluster.with([]) { cluster in
      let path = configMap.path("default")
      for policy in ["Background", "Foreground", "Orphan"] {
        let owner = try await cluster.create(configMap, map("owner"))
        // A dependent without blockOwnerDeletion holds nobody up.
        try await cluster.create(configMap, map("held", owners: [reference(owner, blocks: true)], finalizers: ["example.com/hold"]))
        try await cluster.create(configMap, map("loose", owners: [reference(owner)], finalizers: ["example.com/hold"]))
        try await cluster.client.delete(path, name: "owner", propagation: policy)
        if policy == "Orphan" {
          // At once: the child was made a moment ago, and the collector asks the server itself.
          try await cluster.eventually("the owner alone") { try await cluster.get(configMap, "owner").isNull }
          for name in ["held", "loose"] {
            let child = try await cluster.get(configMap, name)
            #expect(child["metadata"]["deletionTimestamp"].isNull && child["metadata"]["ownerReferences"].isEmpty)
            try await cluster.client.delete(path, name: name)
          }
        } else {
          try await cluster.eventually("dependents are told") {
            let held = try await cluster.get(configMap, "held")["metadata"]["deletionTimestamp"]
            let loose = try await cluster.get(configMap, "loose")["metadata"]["deletionTimestamp"]
            return !held.isNull && !loose.isNull
          }
          #expect(try await cluster.get(configMap, "owner").isNull == (policy == "Background"))
        }
        try await cluster.patch(configMap, "held", ["metadata": ["finalizers": .array([])]])
        try await cluster.eventually("\(policy): the owner") { try await cluster.get(configMap, "owner").isNull }
        #expect(try await !cluster.get(configMap, "loose").isNull)
        try await cluster.patch(configMap, "loose", ["metadata": ["finalizers": .array([])]])
        try await cluster.eventually("all gone") { try await cluster.get(configMap, "loose").isNull }
      }
    }
  }

  @Test func oneOwnerGoesInTheForegroundAndTheOtherKeepsTheDependent() async throws {
    try await TestCluster.with([]) { cluster in
      let going = try await cluster.create(configMap, map("going"))
      let staying = try await cluster.create(configMap, map("staying"))
      for index in 0..<10 {
        let owners = index < 5 ? [reference(going, blocks: true)] : [reference(going, blocks: true), reference(staying, blocks: true)]
        try await cluster.create(configMap, map("d\(index)", owners: owners))
      }
      try await cluster.client.delete(configMap.path("default"), name: "going", propagation: "Foreground")
      try await cluster.eventually("the owner") { try await cluster.get(configMap, "going").isNull }
      for index in 0..<5 { #expect(try await cluster.get(configMap, "d\(index)").isNull) }
      for index in 5..<10 {
        let one = try await cluster.get(configMap, "d\(index)")
        #expect(one["metadata"]["deletionTimestamp"].isNull)
        #expect(one["metadata"]["ownerReferences"].array?.map { $0["uid"] } == [staying["metadata"]["uid"]])
      }
    }
  }

  @Test func aRingOfPodsGoesInTheForegroundToo() async throws {
    try await TestCluster.with([]) { cluster in
      for name in ["p1", "p2", "p3"] {
        try await cluster.create(.pod, ["metadata": ["name": .string(name)], "spec": ["containers": [["name": "c", "image": "i"]]]])
      }
      for (name, owner) in [("p1", "p3"), ("p2", "p1"), ("p3", "p2")] {
        let reference = reference(try await cluster.get(.pod, owner), kind: "Pod", blocks: true)
        try await cluster.patch(.pod, name, ["metadata": ["ownerReferences": [reference]]])
      }
      try await withKubelets(cluster) {
        try await cluster.client.delete(.pods("default"), name: "p1", propagation: "Foreground")
        try await cluster.eventually("all three") { try await cluster.all(.pod).isEmpty }
      }
    }
  }

  @Test func aHundredPodsOfOneOwner() async throws {
    try await TestCluster.with([]) { cluster in
      for policy in ["Background", "Orphan"] {
        let owner = try await cluster.create(configMap, map("owner"))
        for index in 0..<100 {
          try await cluster.create(
            .pod,
            [
              "metadata": ["name": .string("p\(index)"), "ownerReferences": [reference(owner)]],
              "spec": ["containers": [["name": "c", "image": "i"]]],
            ])
        }
        try await cluster.client.delete(configMap.path("default"), name: "owner", propagation: policy)
        try await cluster.eventually("the owner") { try await cluster.get(configMap, "owner").isNull }
        if policy == "Background" {
          try await cluster.eventually("its pods") { try await cluster.all(.pod).isEmpty }
        } else {
          let left = try await cluster.all(.pod)
          #expect(left.count == 100 && left.allSatisfy { $0["metadata"]["ownerReferences"].isEmpty })
        }
      }
    }
  }

  @Test func customKindsToo() async throws {
    try await TestCluster.with([]) { cluster in
      try await cluster.create(
        KindDirectory.definitions,
        [
          "metadata": ["name": "widgets.example.com"],
          "spec": [
            "group": "example.com", "scope": "Namespaced",
            "names": ["plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"],
            "versions": [
              [
                "name": "v1", "served": true, "storage": true,
                "schema": ["openAPIV3Schema": ["type": "object", "x-kubernetes-preserve-unknown-fields": true]],
              ]
            ],
          ],
        ])
      let widgets = Kind("example.com", "v1", "Widget", "widgets")
      let body: JSON = ["apiVersion": "example.com/v1", "kind": "Widget", "metadata": ["name": "w"]]
      try await cluster.eventually("served") { (try? await cluster.create(widgets, body)) != nil }
      let widget = try await cluster.get(widgets, "w")
      try await cluster.create(configMap, map("owned", owners: [reference(widget, kind: "Widget", apiVersion: "example.com/v1")]))
      try await cluster.client.delete(widgets.path("default"), name: "w")
      try await cluster.eventually("gone with its owner") { try await cluster.get(configMap, "owned").isNull }
    }
  }
}
