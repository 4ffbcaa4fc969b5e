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
