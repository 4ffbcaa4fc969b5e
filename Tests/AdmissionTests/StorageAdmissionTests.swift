import JSONCodec
import Testing

@testable import Admission

@Suite struct StorageAdmissionTests {
  private static let request = attributes(.create, "persistentvolumeclaims", kind: "PersistentVolumeClaim")

  private static func storageClass(_ name: String, _ created: String, isDefault: JSON = "true") -> JSON {
    [
      "metadata": [
        "name": .string(name), "creationTimestamp": .string(created),
        "annotations": ["storageclass.kubernetes.io/is-default-class": isDefault],
      ]
    ]
  }

  @Test func theNewestDefaultClassIsTaken() throws {
    let classes = [
      Self.storageClass("c", "2026-01-01T00:00:00Z"), Self.storageClass("b", "2026-01-02T00:00:00Z"),
      Self.storageClass("a", "2026-01-02T00:00:00Z"), Self.storageClass("z", "2026-01-03T00:00:00Z", isDefault: "false"),
    ]
    let cluster = facts([.storageClasses: classes])
    func name(_ claim: JSON) throws -> JSON { try mutated(claim, Self.request, cluster)["spec"]["storageClassName"] }
    #expect(try name(["metadata": ["name": "d"]]) == "a")
    #expect(try name(["metadata": ["name": "d"], "spec": ["storageClassName": ""]]) == "")
    #expect(try name(["metadata": ["name": "d", "annotations": ["volume.beta.kubernetes.io/storage-class": "x"]]]).isNull)
    #expect(try mutated(["metadata": ["name": "d"]], Self.request)["spec"].isNull)
  }

  @Test func ingressesGetTheirDefaultClass() throws {
    let request = attributes(.create, "ingresses", group: "networking.k8s.io", kind: "Ingress")
    let cluster = facts([
      .ingressClasses: [["metadata": ["name": "edge", "annotations": ["ingressclass.kubernetes.io/is-default-class": "true"]]]]
    ])
    #expect(try mutated(["metadata": ["name": "i"]], request, cluster)["spec"]["ingressClassName"] == "edge")
    let old: JSON = ["metadata": ["name": "i", "annotations": ["kubernetes.io/ingress.class": "nginx"]]]
    #expect(try mutated(old, request, cluster)["spec"]["ingressClassName"].isNull)
  }

  @Test func storageIsProtectedByAFinalizer() throws {
    #expect(try mutated(["metadata": ["name": "d"]], Self.request)["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"])
    let volume = attributes(.create, "persistentvolumes", kind: "PersistentVolume", namespace: nil)
    let once = try mutated(["metadata": ["name": "v", "finalizers": ["a/b"]]], volume)
    #expect(once["metadata"]["finalizers"] == ["a/b", "kubernetes.io/pv-protection"])
    #expect(try mutated(once, volume) == once)
    var settings = AdmissionSettings()
    settings.protectedKinds = []
    var free: JSON = ["metadata": ["name": "v"]]
    try AdmissionChain(settings).mutate(&free, attributes: volume, cluster: facts())
    #expect(free["metadata"]["finalizers"].isNull)
  }

  @Test func claimsGrowWhereTheirClassAllowsIt() {
    func claim(_ size: String, phase: String = "Bound", storageClass: String = "gold") -> JSON {
      [
        "metadata": ["name": "d"], "status": ["phase": .string(phase)],
        "spec": ["storageClassName": .string(storageClass), "resources": ["requests": ["storage": .string(size)]]],
      ]
    }
    func message(_ new: JSON, _ old: JSON, allowed: JSON = true) -> String? {
      refusal(
        new, attributes(.update, "persistentvolumeclaims", kind: "PersistentVolumeClaim", old: old),
        facts([.storageClass("gold"): [["allowVolumeExpansion": allowed]]]))
    }
    let head = "persistentvolumeclaims \"d\" is forbidden:"
    #expect(message(claim("2Gi"), claim("1Gi")) == nil)
    #expect(message(claim("1Gi"), claim("2Gi"), allowed: false) == nil)
    #expect(message(claim("2Gi"), claim("1Gi", phase: "Pending")) == "\(head) only bound persistent volume claims can be expanded")
    let fixed = "\(head) only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
    #expect(message(claim("2Gi"), claim("1Gi"), allowed: false) == fixed)
    #expect(message(claim("2Gi", storageClass: ""), claim("1Gi", storageClass: "")) == fixed)
  }
}
