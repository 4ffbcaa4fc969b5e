import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private func volume(_ name: String, _ size: String, className: String = "", modes: JSON = ["ReadWriteOnce"]) -> JSON {
  [
    "metadata": ["name": .string(name), "namespace": ""],
    "spec": ["capacity": ["storage": .string(size)], "accessModes": modes, "storageClassName": .string(className)],
  ]
}

private func claim(_ name: String, _ size: String, className: String = "") -> JSON {
  [
    "metadata": ["name": .string(name)],
    "spec": [
      "accessModes": ["ReadWriteOnce"], "storageClassName": .string(className), "resources": ["requests": ["storage": .string(size)]],
    ],
  ]
}

@Suite struct VolumeTests {
  @Test func theSmallestThatSuits() throws {
    let cluster = FakeCluster(VolumeBindingReconciler())
    cluster.add(.persistentVolume, volume("big", "10Gi"))
    cluster.add(.persistentVolume, volume("small", "1Gi"))
    cluster.add(.persistentVolume, volume("fitting", "5Gi"))
    cluster.add(.persistentVolume, volume("other", "5Gi", className: "fast"))
    cluster.add(.persistentVolume, volume("readable", "4Gi", modes: ["ReadOnlyMany"]))
    try cluster.settle()
    #expect(cluster.get(.persistentVolume, "big", "")["status"]["phase"].string == "Available")
    cluster.add(.persistentVolumeClaim, claim("c", "4Gi"))
    try cluster.settle()
    let bound = cluster.get(.persistentVolumeClaim, "c")
    #expect(bound["spec"]["volumeName"].string == "fitting" && bound["status"]["phase"].string == "Bound")
    #expect(bound["status"]["capacity"]["storage"].string == "5Gi")
    #expect(cluster.get(.persistentVolume, "fitting", "")["status"]["phase"].string == "Bound")
    cluster.delete(.persistentVolumeClaim, "c")
    try cluster.settle()
    #expect(cluster.get(.persistentVolume, "fitting", "")["status"]["phase"].string == "Released")
    // A claim of the same name is another claim.
    cluster.add(.persistentVolumeClaim, claim("c", "4Gi"))
    try cluster.settle()
    #expect(cluster.get(.persistentVolumeClaim, "c")["spec"]["volumeName"].string == "big")
  }

  @Test func noVolumeHasTwoClaims() throws {
    let cluster = FakeCluster(VolumeBindingReconciler())
    for i in 0..<6 { cluster.add(.persistentVolumeClaim, claim("c\(i)", "1Gi")) }
    try cluster.settle()
    #expect(cluster.all(.persistentVolumeClaim).allSatisfy { $0["status"]["phase"].string == "Pending" })
    for i in 0..<4 {
      cluster.add(.persistentVolume, volume("v\(i)", "1Gi"))
      try cluster.settle()
    }
    let names = cluster.all(.persistentVolumeClaim).compactMap { $0["spec"]["volumeName"].string }
    #expect(names.count == 4 && Set(names).count == 4)
  }

  @Test func waitsForAConsumerOrAProvisioner() throws {
    let cluster = FakeCluster(VolumeBindingReconciler())
    cluster.add(
      .storageClass, ["metadata": ["name": "late", "namespace": ""], "provisioner": "x/y", "volumeBindingMode": "WaitForFirstConsumer"])
    cluster.add(.storageClass, ["metadata": ["name": "now", "namespace": ""], "provisioner": "x/y", "volumeBindingMode": "Immediate"])
    cluster.add(.persistentVolume, volume("v", "1Gi", className: "late"))
    cluster.add(.persistentVolumeClaim, claim("a", "1Gi", className: "late"))
    cluster.add(.persistentVolumeClaim, claim("b", "1Gi", className: "now"))
    try cluster.settle()
    #expect(cluster.get(.persistentVolumeClaim, "a")["status"]["phase"].string == "Pending")
    #expect(cluster.get(.persistentVolumeClaim, "b")["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"].string == "x/y")
    cluster.change(.persistentVolumeClaim, "a") { $0["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = "n" }
    try cluster.settle()
    #expect(cluster.get(.persistentVolumeClaim, "a")["status"]["phase"].string == "Bound")
  }

  @Test func whatIsUsedStays() throws {
    let cluster = FakeCluster(VolumeBindingReconciler(), VolumeProtectionReconciler())
    cluster.add(.persistentVolume, volume("v", "1Gi"))
    cluster.add(.persistentVolumeClaim, claim("c", "1Gi"))
    cluster.add(.pod, ["metadata": ["name": "p"], "spec": ["volumes": [["name": "d", "persistentVolumeClaim": ["claimName": "c"]]]]])
    try cluster.settle()
    cluster.delete(.persistentVolumeClaim, "c")
    cluster.delete(.persistentVolume, "v", "")
    try cluster.settle()
    #expect(cluster.get(.persistentVolumeClaim, "c").isBeingDeleted && cluster.get(.persistentVolume, "v", "").isBeingDeleted)
    cluster.delete(.pod, "p", grace: 0)
    try cluster.settle()
    #expect(cluster.get(.persistentVolumeClaim, "c").isNull && cluster.get(.persistentVolume, "v", "").isNull)
  }
}

@Suite struct LocalPathTests {
  private func cluster() -> FakeCluster {
    let cluster = FakeCluster(VolumeBindingReconciler(), VolumeProtectionReconciler(), LocalPathReconciler())
    cluster.add(
      .storageClass,
      [
        "metadata": ["name": "local-path", "namespace": ""], "provisioner": "swiftlet.io/local-path", "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
      ])
    cluster.add(
      .node,
      [
        "metadata": [
          "name": "n", "namespace": "", "labels": ["kubernetes.io/hostname": "host-n"],
          "annotations": ["swiftlet.io/local-path-root": "/data/local-volumes"],
        ]
      ])
    return cluster
  }

  private func choose(_ node: String, _ cluster: FakeCluster) {
    cluster.change(.persistentVolumeClaim, "c") { $0["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = .string(node) }
  }

  @Test func aClaimGetsADirectoryOfItsNode() throws {
    let cluster = cluster()
    cluster.add(.persistentVolumeClaim, claim("c", "1Gi", className: "local-path"))
    try cluster.settle()
    #expect(cluster.all(.persistentVolume).isEmpty)
    choose("n", cluster)
    try cluster.settle()
    let bound = cluster.get(.persistentVolumeClaim, "c")
    #expect(bound["status"]["phase"].string == "Bound")
    let name = "pvc-\(bound.uid)"
    let made = cluster.get(.persistentVolume, name, "")
    #expect(made["spec"]["local"]["path"].string == "/data/local-volumes/\(name)" && made["spec"]["capacity"]["storage"].string == "1Gi")
    #expect(NodeFit.matches(made["spec"]["nodeAffinity"]["required"], labels: ["kubernetes.io/hostname": "host-n"], name: "n"))
    #expect(!NodeFit.matches(made["spec"]["nodeAffinity"]["required"], labels: ["kubernetes.io/hostname": "other"], name: "n"))
    // The claim goes: the node is asked, and the volume waits for its answer.
    cluster.delete(.persistentVolumeClaim, "c")
    try cluster.settle()
    let mark = "remove.volumes.swiftlet.io/\(name)"
    #expect(!cluster.get(.node, "n", "")["metadata"]["annotations"][mark].isNull)
    #expect(!cluster.get(.persistentVolume, name, "").isNull)
    cluster.change(.node, "n", "") { $0["metadata"]["annotations"][mark] = .null }
    try cluster.settle()
    #expect(cluster.all(.persistentVolume).isEmpty)
  }

  @Test func aNodeThatLeftIsNotWaitedFor() throws {
    let cluster = cluster()
    cluster.add(.persistentVolumeClaim, claim("c", "1Gi", className: "local-path"))
    choose("n", cluster)
    try cluster.settle()
    cluster.delete(.node, "n", "")
    cluster.delete(.persistentVolumeClaim, "c")
    try cluster.settle()
    #expect(cluster.all(.persistentVolume).isEmpty)
  }

  @Test func whatANodeCannotGiveIsRefused() throws {
    let cluster = cluster()
    cluster.add(.node, ["metadata": ["name": "bare", "namespace": ""]])
    cluster.add(.persistentVolumeClaim, claim("c", "1Gi", className: "local-path"))
    choose("bare", cluster)
    try cluster.settle()
    #expect(cluster.all(.persistentVolume).isEmpty)
    #expect(cluster.get(.persistentVolumeClaim, "c")["metadata"]["annotations"]["volume.kubernetes.io/selected-node"].isNull)
    cluster.change(.persistentVolumeClaim, "c") { $0["spec"]["accessModes"] = ["ReadWriteMany"] }
    choose("n", cluster)
    try cluster.settle()
    #expect(cluster.all(.persistentVolume).isEmpty && cluster.events.contains { $0.message.contains("ReadWriteOnce") })
  }

  /// A volume that lies on another node is of no use to the pod that the scheduler placed.
  @Test func theChosenNodeMustReachTheVolume() throws {
    let cluster = cluster()
    var elsewhere = volume("elsewhere", "1Gi", className: "local-path")
    elsewhere["spec"]["nodeAffinity"] = [
      "required": [
        "nodeSelectorTerms": [["matchExpressions": [["key": "kubernetes.io/hostname", "operator": "In", "values": ["other"]]]]]
      ]
    ]
    cluster.add(.persistentVolume, elsewhere)
    try cluster.settle()
    cluster.add(.persistentVolumeClaim, claim("c", "1Gi", className: "local-path"))
    choose("n", cluster)
    try cluster.settle()
    #expect(cluster.get(.persistentVolumeClaim, "c")["spec"]["volumeName"].string?.hasPrefix("pvc-") == true)
  }
}

@Suite struct AttachmentTests {
  @Test func volumesAreAttachedWhilePodsUseThem() throws {
    let cluster = FakeCluster(AttachmentReconciler())
    cluster.add(.csiDriver, ["metadata": ["name": "disk.example", "namespace": ""], "spec": ["attachRequired": true]])
    cluster.add(.node, ["metadata": ["name": "n", "namespace": ""]])
    var disk = volume("v", "1Gi")
    disk["spec"]["csi"] = ["driver": "disk.example", "volumeHandle": "h1"]
    cluster.add(.persistentVolume, disk)
    var bound = claim("c", "1Gi")
    bound["spec"]["volumeName"] = "v"
    cluster.add(.persistentVolumeClaim, bound)
    cluster.add(
      .pod,
      [
        "metadata": ["name": "p"],
        "spec": ["nodeName": "n", "volumes": [["name": "d", "persistentVolumeClaim": ["claimName": "c"]]]],
      ])
    try cluster.settle()
    let attachment = try #require(cluster.all(.volumeAttachment).first)
    #expect(attachment["spec"]["attacher"].string == "disk.example" && attachment["spec"]["nodeName"].string == "n")
    #expect(cluster.get(.node, "n", "")["status"]["volumesAttached"].isNull)
    cluster.change(.volumeAttachment, attachment.objectName.name, "") { $0["status"]["attached"] = true }
    try cluster.settle()
    let unique = "kubernetes.io/csi/disk.example^h1"
    #expect(cluster.get(.node, "n", "")["status"]["volumesAttached"].array?.first?["name"].string == unique)
    // Still mounted: the volume stays until the node says that it is not.
    cluster.change(.node, "n", "") { $0["status"]["volumesInUse"] = [.string(unique)] }
    cluster.delete(.pod, "p", grace: 0)
    try cluster.settle()
    #expect(cluster.all(.volumeAttachment).count == 1)
    cluster.change(.node, "n", "") { $0["status"]["volumesInUse"] = .null }
    try cluster.settle()
    #expect(cluster.all(.volumeAttachment).isEmpty && cluster.get(.node, "n", "")["status"]["volumesAttached"].isNull)
  }

  @Test func attachmentsOfOthersStay() throws {
    let cluster = FakeCluster(AttachmentReconciler())
    cluster.add(
      .volumeAttachment,
      [
        "metadata": ["name": "somebodys", "namespace": ""],
        "spec": ["attacher": "e2e.example", "nodeName": "none", "source": ["persistentVolumeName": "none"]],
      ])
    try cluster.settle()
    #expect(cluster.all(.volumeAttachment).count == 1)
  }

  @Test func ephemeralVolumesHaveClaimsOfTheirOwn() throws {
    let cluster = FakeCluster(EphemeralVolumeReconciler())
    let template: JSON = ["metadata": ["labels": ["a": "b"]], "spec": claim("c", "1Gi")["spec"]]
    let volumes: JSON = [["name": "data", "ephemeral": ["volumeClaimTemplate": template]], ["name": "other", "emptyDir": [:]]]
    cluster.add(.persistentVolumeClaim, claim("taken-data", "1Gi"))
    for name in ["p", "taken"] { cluster.add(.pod, ["metadata": ["name": .string(name)], "spec": ["volumes": volumes]]) }
    try cluster.settle()
    #expect(Set(cluster.all(.persistentVolumeClaim).map(\.objectName.name)) == ["p-data", "taken-data"])
    let made = cluster.get(.persistentVolumeClaim, "p-data")
    #expect(made.controllerUID == cluster.get(.pod, "p").uid && made["metadata"]["labels"]["a"].string == "b")
    #expect(made["spec"] == template["spec"])
    #expect(cluster.get(.persistentVolumeClaim, "taken-data").meta.controller == nil, "somebody else's stays so")
    cluster.delete(.persistentVolumeClaim, "p-data")
    try cluster.settle()
    #expect(!cluster.get(.persistentVolumeClaim, "p-data").isNull, "as long as the pod is there")
    cluster.change(.pod, "p") { $0["status"]["phase"] = "Succeeded" }
    cluster.delete(.persistentVolumeClaim, "p-data")
    try cluster.settle()
    #expect(cluster.get(.persistentVolumeClaim, "p-data").isNull)
  }
}
