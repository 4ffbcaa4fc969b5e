import JSONCodec
import KubernetesAPI

extension Findings {
  private static let accessModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]

  private mutating func accessModes(_ modes: JSON, _ path: FieldPath) {
    if modes.isEmpty { required(path, "at least 1 access mode is required") }
    for mode in modes.items { oneOf(mode, path, Self.accessModes) }
    if modes.items.contains("ReadWriteOncePod"), modes.items.count > 1 {
      forbidden(path, "may not use ReadWriteOncePod with other access modes")
    }
  }

  mutating func persistentVolume(_ volume: JSON, old: JSON?) {
    let spec = volume["spec"]
    let path = FieldPath("spec")
    accessModes(spec["accessModes"], path / "accessModes")
    let capacity = spec["capacity"].object ?? JSONObject()
    if capacity.isEmpty {
      required(path / "capacity")
    } else if !capacity.contains("storage") || capacity.count > 1 {
      notSupported(path / "capacity", spec["capacity"], ["storage"])
    }
    if let size = capacity["storage"]?.string.flatMap({ Quantity($0) }), size.nanoValue <= 0 {
      invalid((path / "capacity")[key: "storage"], capacity["storage"] ?? .null, "must be greater than zero")
    }
    let sourceType = SchemaRegistry.shared.type("core/v1.PersistentVolumeSource")
    let sources = (spec.object ?? JSONObject()).keys.filter { sourceType?.field($0) != nil }
    if sources.isEmpty { required(path, "must specify a volume type") }
    for source in sources.dropFirst() { forbidden(path / source, "may not specify more than 1 volume type") }
    if sources.first == "hostPath" {
      if spec["hostPath"]["path"].isEmpty { required(path / "hostPath" / "path") }
      noBackSteps(spec["hostPath"]["path"], path / "hostPath" / "path")
      if spec["hostPath"]["path"] == "/", spec["persistentVolumeReclaimPolicy"] == "Recycle" {
        forbidden(path / "persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
      }
    }
    if !spec["local"].isNull, spec["nodeAffinity"]["required"].isNull {
      required(path / "nodeAffinity", "Local volume requires node affinity")
    }
    if !spec["nodeAffinity"]["required"].isNull { nodeSelector(spec["nodeAffinity"]["required"], path / "nodeAffinity" / "required") }
    oneOf(spec["persistentVolumeReclaimPolicy"], path / "persistentVolumeReclaimPolicy", ["Delete", "Recycle", "Retain"])
    oneOf(spec["volumeMode"], path / "volumeMode", ["Block", "Filesystem"])
    if !spec["storageClassName"].isEmpty { check(spec["storageClassName"], path / "storageClassName", NameProblems.subdomain) }
    guard let old else { return }
    for source in Set(sources + (old["spec"].object ?? JSONObject()).keys.filter { sourceType?.field($0) != nil })
    where spec[source] != old["spec"][source] {
      forbidden(path / "persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
    }
    immutable(spec["volumeMode"], old["spec"]["volumeMode"], FieldPath("volumeMode"))
  }

  mutating func persistentVolumeClaim(_ claim: JSON, old: JSON?) {
    let spec = claim["spec"]
    let path = FieldPath("spec")
    accessModes(spec["accessModes"], path / "accessModes")
    labelSelector(spec["selector"], path / "selector")
    let size = spec["resources"]["requests"]["storage"]
    let at = (path / "resources")[key: "storage"]
    if size.isNull {
      required(at)
    } else if let value = size.string.flatMap({ Quantity($0) }), value.nanoValue <= 0 {
      invalid(at, size, "must be greater than zero")
    }
    if !spec["storageClassName"].isEmpty { check(spec["storageClassName"], path / "storageClassName", NameProblems.subdomain) }
    oneOf(spec["volumeMode"], path / "volumeMode", ["Block", "Filesystem"])
    guard let old else { return }
    let before = old["spec"]
    var kept = spec
    kept["resources"]["requests"] = before["resources"]["requests"]
    if kept["resources"].isEmpty { kept["resources"] = before["resources"] }
    kept["volumeAttributesClassName"] = before["volumeAttributesClassName"]
    if before["volumeName"].isEmpty { kept["volumeName"] = before["volumeName"] }
    if before["storageClassName"].isNull { kept["storageClassName"] = before["storageClassName"] }
    if kept != before {
      let changes = Self.differences(before, kept, "").prefix(10).joined(separator: "\n")
      forbidden(
        path, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n\(changes)\n")
    } else if let was = before["resources"]["requests"]["storage"].string.flatMap({ Quantity($0) }),
      let value = size.string.flatMap({ Quantity($0) }), value < was
    {
      forbidden(path / "resources" / "requests" / "storage", "field can not be less than status.capacity")
    }
  }

  mutating func storageClass(_ storageClass: JSON, old: JSON?) {
    if storageClass["provisioner"].isEmpty {
      required(FieldPath("provisioner"))
    } else {
      check(storageClass["provisioner"], FieldPath("provisioner")) { NameProblems.qualified($0.lowercased()) }
    }
    oneOf(storageClass["reclaimPolicy"], FieldPath("reclaimPolicy"), ["Delete", "Retain"])
    guard let old else { return }
    for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] where storageClass[field] != old[field] {
      field == "parameters" || field == "provisioner"
        ? forbidden(FieldPath(field), "updates to \(field) are forbidden.")
        : immutable(storageClass[field], old[field], FieldPath(field))
    }
  }
}
