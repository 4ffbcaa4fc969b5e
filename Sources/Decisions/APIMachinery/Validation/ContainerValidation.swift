import JSONCodec
import KubernetesAPI

extension Findings {
  /// All containers of a pod. `volumes` are the pod's volumes by name.
  mutating func containers(_ spec: JSON, _ path: FieldPath, volumes: [String: JSON]) {
    var names: Set<String> = []
    let regular = spec["containers"].items
    if regular.isEmpty { required(path / "containers") }
    let gracePeriod = spec["terminationGracePeriodSeconds"].int ?? 30
    let claims = Set(spec["resourceClaims"].items.compactMap { $0["name"].string })
    var hostPorts: Set<String> = []
    for (i, container) in regular.enumerated() {
      let at = (path / "containers")[i]
      common(container, at, volumes: volumes, names: &names, claims: claims)
      ports(container["ports"].items, at / "ports", usesHostNetwork: spec["hostNetwork"] == true, hostPorts: &hostPorts)
      probes(container, at, gracePeriod: gracePeriod)
    }
    for (i, container) in spec["initContainers"].items.enumerated() {
      let at = (path / "initContainers")[i]
      common(container, at, volumes: volumes, names: &names, claims: claims)
      var ownHostPorts: Set<String> = []
      ports(container["ports"].items, at / "ports", usesHostNetwork: spec["hostNetwork"] == true, hostPorts: &ownHostPorts)
      if container["restartPolicy"] == "Always" {
        probes(container, at, gracePeriod: gracePeriod)
      } else {
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] where !container[field].isNull {
          forbidden(at / field, "may not be set for init containers without restartPolicy=Always")
        }
      }
    }
    for (i, container) in spec["ephemeralContainers"].items.enumerated() {
      ephemeral(container, (path / "ephemeralContainers")[i], regular + spec["initContainers"].items, volumes, names: &names)
    }
  }

  private mutating func ephemeral(
    _ container: JSON, _ path: FieldPath, _ others: [JSON], _ volumes: [String: JSON], names: inout Set<String>
  ) {
    common(container, path, volumes: volumes, names: &names, claims: [])
    for field in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] where !container[field].isEmpty {
      forbidden(path / field, "cannot be set for an Ephemeral Container")
    }
    if !container["resources"].isEmpty { forbidden(path / "resources", "cannot be set for an Ephemeral Container") }
    let target = container["targetContainerName"]
    if !target.isEmpty, !others.contains(where: { $0["name"] == target }) { notFound(path / "targetContainerName", target) }
  }

  private mutating func common(
    _ container: JSON, _ path: FieldPath, volumes: [String: JSON], names: inout Set<String>, claims: Set<String>
  ) {
    requiredText(container["name"], path / "name", NameProblems.dnsLabel)
    if let name = container["name"].string, !name.isEmpty, !names.insert(name).inserted { duplicate(path / "name", container["name"]) }
    if container["image"].isEmpty {
      required(path / "image")
    } else if let image = container["image"].string, image.hasPrefix(" ") || image.hasSuffix(" ") {
      invalid(path / "image", container["image"], "must not have leading or trailing whitespace")
    }
    oneOf(container["imagePullPolicy"], path / "imagePullPolicy", ["Always", "IfNotPresent", "Never"])
    oneOf(container["terminationMessagePolicy"], path / "terminationMessagePolicy", ["File", "FallbackToLogsOnError"])
    oneOf(container["restartPolicy"], path / "restartPolicy", ["Always", "OnFailure", "Never"])
    environment(container, path)
    mounts(container, path, volumes: volumes)
    resources(container["resources"], path / "resources", claims: claims)
    security(container["securityContext"], path / "securityContext")
  }

  private mutating func ports(_ ports: [JSON], _ path: FieldPath, usesHostNetwork: Bool, hostPorts: inout Set<String>) {
    var names: Set<String> = []
    for (i, port) in ports.enumerated() {
      let at = path[i]
      if !port["name"].isEmpty {
        check(port["name"], at / "name", NameProblems.portName)
        if !names.insert(port["name"].string ?? "").inserted { duplicate(at / "name", port["name"]) }
      }
      if (port["containerPort"].int ?? 0) == 0 {
        required(at / "containerPort")
      } else {
        range(port["containerPort"], at / "containerPort", 1...65_535)
      }
      if port["protocol"].isEmpty { required(at / "protocol") } else { oneOf(port["protocol"], at / "protocol", ["TCP", "UDP", "SCTP"]) }
      guard let hostPort = port["hostPort"].int, hostPort != 0 else { continue }
      range(port["hostPort"], at / "hostPort", 1...65_535)
      if usesHostNetwork, port["hostPort"] != port["containerPort"] {
        invalid(at / "hostPort", port["hostPort"], "must match `containerPort` when `hostNetwork` is true")
      }
      let key = "\(port["protocol"].string ?? "")/\(port["hostIP"].string ?? "")/\(hostPort)"
      if !hostPorts.insert(key).inserted { duplicate(at / "hostPort", .string(key)) }
    }
  }

  private mutating func environment(_ container: JSON, _ path: FieldPath) {
    for (i, variable) in container["env"].items.enumerated() {
      let at = (path / "env")[i]
      if variable["name"].isEmpty { required(at / "name") } else { check(variable["name"], at / "name", NameProblems.environmentName) }
      guard !variable["valueFrom"].isNull else { continue }
      let source = variable["valueFrom"]
      let from = at / "valueFrom"
      if !variable["value"].isEmpty {
        invalid(from, "", "may not be specified when `value` is not empty")
      }
      let kinds = (source.object ?? JSONObject()).keys
      if kinds.isEmpty { invalid(from, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`") }
      if kinds.count > 1 { invalid(from, "", "may not have more than one field specified at a time") }
      if !source["fieldRef"].isNull { fieldRef(source["fieldRef"], from / "fieldRef", Self.environmentFields) }
      if !source["resourceFieldRef"].isNull { resourceFieldRef(source["resourceFieldRef"], from / "resourceFieldRef") }
      for field in ["configMapKeyRef", "secretKeyRef"] where !source[field].isNull {
        requiredText(source[field]["name"], from / field / "name")
        requiredText(source[field]["key"], from / field / "key", NameProblems.configKey)
      }
    }
    for (i, source) in container["envFrom"].items.enumerated() {
      let at = (path / "envFrom")[i]
      if !source["prefix"].isEmpty { check(source["prefix"], at / "prefix", NameProblems.environmentName) }
      let kinds = ["configMapRef", "secretRef"].filter { !source[$0].isNull }
      if kinds.isEmpty { invalid(at, "", "must specify one of: `configMapRef` or `secretRef`") }
      if kinds.count > 1 { invalid(at, "", "may not have more than one field specified at a time") }
      for kind in kinds { requiredText(source[kind]["name"], at / kind / "name") }
    }
  }

  static let environmentFields = [
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
    "status.podIP", "status.podIPs",
  ]
  static let volumeFields = ["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"]

  mutating func fieldRef(_ reference: JSON, _ path: FieldPath, _ allowed: [String]) {
    guard let text = reference["fieldPath"].string, !text.isEmpty else { return required(path / "fieldPath") }
    // metadata.labels['key']
    if let bracket = text.firstIndex(of: "["), text.hasSuffix("']"), text[bracket...].hasPrefix("['") {
      let map = text[..<bracket]
      let key = String(text[bracket...].dropFirst(2).dropLast(2))
      if map == "metadata.labels" || map == "metadata.annotations" {
        for problem in NameProblems.qualified(map == "metadata.labels" ? key : key.lowercased()) { invalid(path, .string(key), problem) }
      } else {
        invalid(path, .string(text), "does not support subscript")
      }
    } else if !allowed.contains(text) {
      notSupported(path / "fieldPath", reference["fieldPath"], allowed)
    }
  }

  mutating func resourceFieldRef(_ reference: JSON, _ path: FieldPath) {
    guard let text = reference["resource"].string, !text.isEmpty else { return required(path / "resource") }
    let parts = text.split(separator: ".", maxSplits: 1).map(String.init)
    let names = ["cpu", "memory", "ephemeral-storage"]
    guard parts.count == 2, parts[0] == "limits" || parts[0] == "requests", names.contains(parts[1]) || parts[1].hasPrefix("hugepages-")
    else {
      return notSupported(path / "resource", reference["resource"], names.flatMap { ["limits.\($0)", "requests.\($0)"] })
    }
  }

  private mutating func mounts(_ container: JSON, _ path: FieldPath, volumes: [String: JSON]) {
    var mountPaths: Set<String> = []
    for (i, mount) in container["volumeMounts"].items.enumerated() {
      let at = (path / "volumeMounts")[i]
      if mount["name"].isEmpty {
        required(at / "name")
      } else if volumes[mount["name"].string ?? ""] == nil {
        notFound(at / "name", mount["name"])
      }
      if mount["mountPath"].isEmpty {
        required(at / "mountPath")
      } else if !mountPaths.insert(mount["mountPath"].string ?? "").inserted {
        invalid(at / "mountPath", mount["mountPath"], "must be unique")
      }
      if !mount["subPath"].isEmpty, !mount["subPathExpr"].isEmpty {
        invalid(at / "subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")
      }
      // Upstream's paths of these two lack the index.
      for field in ["subPath", "subPathExpr"] where !mount[field].isEmpty {
        relativePath(mount[field], FieldPath("\(path / "volumeMounts")") / field)
      }
      if let propagation = mount["mountPropagation"].string {
        oneOf(mount["mountPropagation"], at / "mountPropagation", ["None", "HostToContainer", "Bidirectional"])
        if propagation == "Bidirectional", container["securityContext"]["privileged"] != true {
          forbidden(at / "mountPropagation", "Bidirectional mount propagation is available only to privileged containers")
        }
      }
      if let recursive = mount["recursiveReadOnly"].string, recursive != "Disabled", mount["readOnly"] != true {
        forbidden(at / "recursiveReadOnly", "may only be specified when readOnly is true")
      }
    }
    var devices: Set<String> = []
    for (i, device) in container["volumeDevices"].items.enumerated() {
      let at = (path / "volumeDevices")[i]
      let volume = volumes[device["name"].string ?? ""]
      if device["name"].isEmpty {
        required(at / "name")
      } else if volume == nil {
        notFound(at / "name", device["name"])
      } else if let volume, volume["persistentVolumeClaim"].isNull, volume["ephemeral"].isNull {
        invalid(at / "name", device["name"], "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode")
      }
      if device["devicePath"].isEmpty {
        required(at / "devicePath")
      } else if mountPaths.contains(device["devicePath"].string ?? "") || !devices.insert(device["devicePath"].string ?? "").inserted {
        invalid(at / "devicePath", device["devicePath"], "must be unique")
      }
    }
  }

  private mutating func security(_ context: JSON, _ path: FieldPath) {
    guard !context.isNull else { return }
    for field in ["runAsUser", "runAsGroup"] { range(context[field], path / field, 0...2_147_483_647) }
    oneOf(context["procMount"], path / "procMount", ["Default", "Unmasked"])
    profile(context["seccompProfile"], path / "seccompProfile")
    profile(context["appArmorProfile"], path / "appArmorProfile")
    guard context["allowPrivilegeEscalation"] == false else { return }
    if context["privileged"] == true {
      invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
    }
    if context["capabilities"]["add"].items.contains(where: { $0 == "CAP_SYS_ADMIN" || $0 == "SYS_ADMIN" }) {
      invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
    }
  }
}
