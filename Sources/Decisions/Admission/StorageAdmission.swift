import JSONCodec
import KubernetesAPI

/// Claims and Ingresses that name no class get the one that is marked as the default.
enum DefaultClasses {
  private static let storageMarks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
  private static let ingressMark = "ingressclass.kubernetes.io/is-default-class"

  private static func wantsStorageClass(_ object: JSON, _ attributes: AdmissionAttributes) -> Bool {
    attributes.creates("persistentvolumeclaims") && StorageClasses.declared(object) == nil
  }

  private static func wantsIngressClass(_ object: JSON, _ attributes: AdmissionAttributes) -> Bool {
    attributes.creates("ingresses", group: "networking.k8s.io") && object["spec"]["ingressClassName"].isNull
      && object["metadata"]["annotations"]["kubernetes.io/ingress.class"].isNull
  }

  static func facts(_ object: JSON, _ attributes: AdmissionAttributes) -> Set<AdmissionFact> {
    if wantsStorageClass(object, attributes) { return [.storageClasses] }
    return wantsIngressClass(object, attributes) ? [.ingressClasses] : []
  }

  static func mutate(_ object: inout JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) {
    if wantsStorageClass(object, attributes), let name = newest(cluster.objects(.storageClasses), marks: storageMarks) {
      object["spec"]["storageClassName"] = .string(name)
    } else if wantsIngressClass(object, attributes), let name = newest(cluster.objects(.ingressClasses), marks: [ingressMark]) {
      object["spec"]["ingressClassName"] = .string(name)
    }
  }

  /// Of several defaults the newest; of those of one second the first by name.
  private static func newest(_ classes: [JSON], marks: [String]) -> String? {
    let defaults = classes.filter { item in marks.contains { item["metadata"]["annotations"][$0] == "true" } }.map {
      ObjectMeta($0["metadata"])
    }
    let epoch = Timestamp(secondsSinceEpoch: 0)
    return defaults.min { a, b in
      let (left, right) = (a.creationTimestamp ?? epoch, b.creationTimestamp ?? epoch)
      return left == right ? a.name < b.name : left > right
    }?.name
  }
}

enum StorageClasses {
  /// The class that a claim names, in its field or in the annotation of old; "" is a class of its own: none.
  static func declared(_ claim: JSON) -> String? {
    claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].string ?? claim["spec"]["storageClassName"].string
  }
}

/// Storage that is in use must not vanish: a finalizer keeps it until its controller sees that nothing uses it.
enum StorageProtection {
  private static let finalizers = [
    "persistentvolumes": "kubernetes.io/pv-protection", "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
  ]

  static func mutate(_ object: inout JSON, _ attributes: AdmissionAttributes, kinds: Set<String>) {
    guard attributes.operation == .create, attributes.subresource.isEmpty, kinds.contains(attributes.kind),
      let finalizer = finalizers[attributes.qualifiedResource]
    else { return }
    let present = object["metadata"]["finalizers"].array ?? []
    if !present.contains(.string(finalizer)) { object["metadata"]["finalizers"] = .array(present + [.string(finalizer)]) }
  }
}

/// A claim grows only where it is bound and its class allows it.
enum ClaimResize {
  private static func grows(_ claim: JSON, _ attributes: AdmissionAttributes) -> Bool {
    guard attributes.updates("persistentvolumeclaims"), let old = attributes.old else { return false }
    let zero = Quantity(0)
    func size(_ claim: JSON) -> Quantity { claim["spec"]["resources"]["requests"]["storage"].quantity ?? zero }
    return size(claim) > size(old)
  }

  static func facts(_ claim: JSON, _ attributes: AdmissionAttributes) -> Set<AdmissionFact> {
    guard grows(claim, attributes), let name = StorageClasses.declared(claim), !name.isEmpty else { return [] }
    return [.storageClass(name)]
  }

  static func validate(_ claim: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    guard grows(claim, attributes), let old = attributes.old else { return }
    if old["status"]["phase"] != "Bound" { throw .forbidden(claim, attributes, "only bound persistent volume claims can be expanded") }
    let name = StorageClasses.declared(claim) ?? ""
    let isSame = !name.isEmpty && name == StorageClasses.declared(old)
    if isSame, cluster.object(.storageClass(name))?["allowVolumeExpansion"] == true { return }
    throw .forbidden(
      claim, attributes,
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
  }
}
