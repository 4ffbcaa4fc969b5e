import JSONCodec

/// Volumes by what makes them.
enum VolumeKind: Equatable {
  case emptyDir, hostPath
  /// Files from the API: configMap, secret, downwardAPI, projected.
  case projection
  /// A persistent volume claim, of its own or made for the pod.
  case claim
  /// The files of an image.
  case image
  case unknown(String)

  init(_ volume: JSON) {
    let keys = Set(volume.object?.keys ?? []).subtracting(["name"])
    if keys.contains("hostPath") {
      self = .hostPath
    } else if keys == ["persistentVolumeClaim"] || keys == ["ephemeral"] {
      self = .claim
    } else if keys == ["image"] {
      self = .image
    } else if !keys.isDisjoint(with: ["configMap", "secret", "downwardAPI", "projected"]) {
      self = .projection
    } else if keys.isEmpty || keys == ["emptyDir"] {
      self = .emptyDir
    } else {
      self = .unknown(keys.sorted().joined(separator: ", "))
    }
  }

  /// The directory's name after `kubernetes.io~`.
  static func plugin(_ volume: JSON) -> String {
    for (key, plugin) in [("configMap", "configmap"), ("secret", "secret"), ("downwardAPI", "downward-api"), ("projected", "projected")]
    where !volume[key].isNull { return plugin }
    return "empty-dir"
  }
}
