import JSONCodec
import KubernetesAPI

extension Findings {
  /// Checks the volumes of a pod and returns them by name.
  mutating func volumes(_ volumes: [JSON], _ path: FieldPath) -> [String: JSON] {
    var result: [String: JSON] = [:]
    for (i, volume) in volumes.enumerated() {
      let at = path[i]
      let name = volume["name"].string ?? ""
      requiredText(volume["name"], at / "name", NameProblems.dnsLabel)
      if !name.isEmpty, result.updateValue(volume, forKey: name) != nil { duplicate(at / "name", volume["name"]) }
      let sources = (volume.object ?? JSONObject()).keys.filter { $0 != "name" }
      if sources.isEmpty { required(at, "must specify a volume type") }
      for source in sources.dropFirst() { forbidden(at / source, "may not specify more than 1 volume type") }
      if let source = sources.first { self.source(source, volume[source], at / source) }
    }
    return result
  }

  private mutating func source(_ kind: String, _ source: JSON, _ path: FieldPath) {
    switch kind {
    case "secret":
      requiredText(source["secretName"], path / "secretName")
      keysAndMode(source, path)
    case "configMap":
      requiredText(source["name"], path / "name")
      keysAndMode(source, path)
    case "persistentVolumeClaim": requiredText(source["claimName"], path / "claimName")
    case "hostPath":
      requiredText(source["path"], path / "path")
      noBackSteps(source["path"], path / "path")
      oneOf(
        source["type"], path / "type", ["DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"])
    case "emptyDir":
      quantity(source["sizeLimit"], path / "sizeLimit")
      if let medium = source["medium"].string, medium != "", medium != "Memory", !medium.hasPrefix("HugePages") {
        notSupported(path / "medium", source["medium"], ["", "HugePages", "Memory"])
      }
    case "downwardAPI":
      mode(source["defaultMode"], path / "defaultMode")
      for (i, file) in source["items"].items.enumerated() { downwardFile(file, path[i]) }
    case "projected": projected(source, path)
    case "nfs":
      requiredText(source["server"], path / "server")
      requiredText(source["path"], path / "path")
      if let text = source["path"].string, !text.isEmpty, !text.hasPrefix("/") {
        invalid(path / "path", source["path"], "must be an absolute path")
      }
    case "csi": requiredText(source["driver"], path / "driver")
    default: break
    }
  }

  private mutating func mode(_ mode: JSON, _ path: FieldPath) {
    if let value = mode.int, !(0...0o777).contains(value) {
      invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")
    }
  }

  private mutating func keysAndMode(_ source: JSON, _ path: FieldPath) {
    mode(source["defaultMode"], path / "defaultMode")
    for (i, item) in source["items"].items.enumerated() { keyToPath(item, (path / "items")[i]) }
  }

  private mutating func keyToPath(_ item: JSON, _ path: FieldPath) {
    requiredText(item["key"], path / "key")
    requiredText(item["path"], path / "path")
    volumeFile(item["path"], path / "path")
    mode(item["mode"], path / "mode")
  }

  /// A path inside a volume, whose own entries starting with `..` belong to the kubelet.
  mutating func volumeFile(_ json: JSON, _ path: FieldPath) {
    relativePath(json, path)
    if let text = json.string, text.hasPrefix(".."), !text.split(separator: "/").contains("..") {
      invalid(path, json, "must not start with '..'")
    }
  }

  private mutating func downwardFile(_ file: JSON, _ path: FieldPath) {
    requiredText(file["path"], path / "path")
    volumeFile(file["path"], path / "path")
    if !file["fieldRef"].isNull {
      fieldRef(file["fieldRef"], path / "fieldRef", Self.volumeFields)
      if !file["resourceFieldRef"].isNull { invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously") }
    } else if !file["resourceFieldRef"].isNull {
      resourceFieldRef(file["resourceFieldRef"], path / "resourceFieldRef")
    } else {
      required(path / "fieldRef", "one of fieldRef and resourceFieldRef is required")
    }
    mode(file["mode"], path / "mode")
  }

  private mutating func projected(_ source: JSON, _ path: FieldPath) {
    mode(source["defaultMode"], path / "defaultMode")
    var paths: Set<String> = []
    func isNew(_ file: JSON) -> Bool { paths.insert(file.string ?? "").inserted }
    for (i, item) in source["sources"].items.enumerated() {
      let at = (path / "sources")[i]
      let kinds = (item.object ?? JSONObject()).keys
      for kind in kinds.dropFirst() { forbidden(at / kind, "may not specify more than 1 volume type per source") }
      guard let kind = kinds.first else {
        required(at, "must specify a volume source")
        continue
      }
      let inner = item[kind]
      switch kind {
      case "secret", "configMap":
        requiredText(inner["name"], at / kind / "name")
        for (j, file) in inner["items"].items.enumerated() {
          keyToPath(file, (at / kind / "items")[j])
          if !file["path"].isEmpty, !isNew(file["path"]) {
            invalid(path, .string(inner["name"].string ?? ""), "conflicting duplicate paths")
          }
        }
      case "downwardAPI":
        for (j, file) in inner["items"].items.enumerated() {
          downwardFile(file, (at / kind)[j])
          if !file["path"].isEmpty, !isNew(file["path"]) { invalid(path, file["path"], "conflicting duplicate paths") }
        }
      case "serviceAccountToken":
        lifetime(inner["expirationSeconds"], at / kind / "expirationSeconds")
        requiredText(inner["path"], at / kind / "path")
        if !inner["path"].isEmpty, !isNew(inner["path"]) { invalid(path, inner["path"], "conflicting duplicate paths") }
      case "podCertificate": podCertificateSource(inner, at / kind, volume: path, isNew: isNew)
      default: break
      }
    }
  }
}
