import JSONCodec
import KubernetesAPI

extension TableLayouts {
  static let storage: Layouts = [
    "/persistentvolumes": [
      .name,
      .text("Capacity", "spec", "capacity", "storage"),
      TableColumn("Access Modes") { .string(accessModes($0.spec["accessModes"])) },
      .text("Reclaim Policy", "spec", "persistentVolumeReclaimPolicy"),
      phase,
      TableColumn("Claim") { volume in
        let claim = volume.spec["claimRef"]
        return claim.isNull ? "" : .string("\(claim["namespace"].string ?? "")/\(claim["name"].string ?? "")")
      },
      storageClass,
      .text("VolumeAttributesClass", "spec", "volumeAttributesClassName", missing: "<unset>"),
      .text("Reason", "status", "reason"),
      .age,
      .text("VolumeMode", "spec", "volumeMode", missing: "<unset>", wide: true),
    ],
    "/persistentvolumeclaims": [
      .name,
      phase,
      .text("Volume", "spec", "volumeName"),
      TableColumn("Capacity") { claim in isBound(claim) ? .string(claim.status.text(["capacity", "storage"])) : "" },
      TableColumn("Access Modes") { claim in isBound(claim) ? .string(accessModes(claim.status["accessModes"])) : "" },
      storageClass,
      .text("VolumeAttributesClass", "spec", "volumeAttributesClassName", missing: "<unset>"),
      .age,
      .text("VolumeMode", "spec", "volumeMode", missing: "<unset>", wide: true),
    ],
    "storage.k8s.io/storageclasses": [
      defaultedName("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"),
      .text("Provisioner", "provisioner"),
      .text("ReclaimPolicy", "reclaimPolicy", missing: "Delete"),
      .text("VolumeBindingMode", "volumeBindingMode", missing: "Immediate"),
      .flag("AllowVolumeExpansion", "allowVolumeExpansion").declaredAsString,
      .age,
    ],
    "storage.k8s.io/volumeattributesclasses": [.name, .text("DriverName", "driverName"), .age],
    "storage.k8s.io/volumeattachments": [
      .name,
      TableColumn("Attacher", format: "name") { .string($0.spec["attacher"].string ?? "") },
      .text("PV", "spec", "source", "persistentVolumeName"),
      .text("Node", "spec", "nodeName"),
      .flag("Attached", "status", "attached"),
      .age,
    ],
    "storage.k8s.io/csinodes": [.name, .count("Drivers", "spec", "drivers"), .age],
    "storage.k8s.io/csidrivers": [
      .name,
      .flag("AttachRequired", "spec", "attachRequired", missing: true),
      .flag("PodInfoOnMount", "spec", "podInfoOnMount"),
      .flag("StorageCapacity", "spec", "storageCapacity"),
      TableColumn("TokenRequests") { driver in
        guard let requests = driver.spec["tokenRequests"].array else { return "<unset>" }
        return .string(requests.map { $0["audience"].string ?? "" }.joined(separator: ","))
      },
      .flag("RequiresRepublish", "spec", "requiresRepublish"),
      TableColumn("Modes") { .string(joined($0.spec["volumeLifecycleModes"].strings)) },
      .age,
    ],
  ]

  private static func isBound(_ claim: TableSubject) -> Bool { !(claim.spec["volumeName"].string ?? "").isEmpty }

  private static let phase = TableColumn("Status") { volume in
    volume.isBeingDeleted ? "Terminating" : .string(volume.status["phase"].string ?? "")
  }

  private static let storageClass = TableColumn("StorageClass") { volume in
    let annotated = volume.metadata["annotations"]["volume.beta.kubernetes.io/storage-class"].string
    return .string(annotated ?? volume.spec["storageClassName"].string ?? "")
  }

  /// `RWO,ROX`, in upstream's order.
  private static func accessModes(_ modes: JSON) -> String {
    let short = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")]
    let present = Set(modes.strings)
    return short.filter { present.contains($0.0) }.map(\.1).joined(separator: ",")
  }
}

extension TableColumn {
  /// Some columns of upstream's call their booleans strings.
  fileprivate var declaredAsString: TableColumn { TableColumn(title, .string, format: format, wide: priority > 0, cell) }
}
