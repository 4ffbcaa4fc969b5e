import JSONCodec
import KubernetesAPI

extension Findings {
  private static let updateText =
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

  /// What may change in the spec of a pod that exists.
  mutating func podUpdate(_ pod: JSON, old: JSON) {
    let path = FieldPath("spec")
    let before = old["spec"]
    var after = pod["spec"]
    if after == before { return }
    for list in ["containers", "initContainers"] where after[list].items.count != before[list].items.count {
      forbidden(path / list, "pod updates may not add or remove containers")
    }
    if !errors.filter({ $0.reason == .forbidden }).isEmpty { return }
    deadline(after["activeDeadlineSeconds"], before["activeDeadlineSeconds"], path / "activeDeadlineSeconds")
    let tolerations = after["tolerations"].items
    if !before["tolerations"].items.allSatisfy(tolerations.contains) {
      forbidden(path / "tolerations", "existing toleration can not be modified except its tolerationSeconds")
    }
    let gates = before["schedulingGates"].items
    let added = after["schedulingGates"].items.filter { !gates.contains($0) }
    if !added.isEmpty {
      forbidden(path / "schedulingGates", "only deletion is allowed, but found new scheduling gate '\(added[0]["name"].string ?? "")'")
    }

    // What may change is put back; what still differs then may not.
    for list in ["containers", "initContainers"] where !after[list].isNull {
      let images = before[list].items.map { $0["image"] }
      var i = 0
      after[list].forEachItem {
        $0["image"] = images[i]
        i += 1
      }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] { after[field] = before[field] }
    if let seconds = before["terminationGracePeriodSeconds"].int, seconds < 0, after["terminationGracePeriodSeconds"] == 1 {
      after["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    }
    if !gates.isEmpty { after["nodeSelector"] = narrowed(after["nodeSelector"], before["nodeSelector"]) }
    guard after != before else { return }
    let changes = Self.differences(before, after, "").prefix(10).joined(separator: "\n")
    forbidden(path, "\(Self.updateText)\n\(changes)\n")
  }

  /// A gated pod's node selector may get more labels: then the old one stands for it.
  private func narrowed(_ new: JSON, _ old: JSON) -> JSON {
    for (key, value) in old.object ?? JSONObject() where new[key] != value { return new }
    return old
  }

  private mutating func deadline(_ new: JSON, _ old: JSON, _ path: FieldPath) {
    guard let before = old.int else { return }
    guard let after = new.int else { return invalid(path, .null, "must not update from a positive integer to nil value") }
    if after > before { invalid(path, new, "must be less than or equal to previous value") }
  }

  /// One line for each value that is not the same: `-path: old` and `+path: new`.
  static func differences(_ old: JSON, _ new: JSON, _ path: String) -> [String] {
    if old == new { return [] }
    if case .object(let a) = old, case .object(let b) = new {
      let keys = a.keys + b.keys.filter { !a.contains($0) }
      return keys.flatMap { differences(a[$0] ?? .null, b[$0] ?? .null, path.isEmpty ? $0 : "\(path).\($0)") }
    }
    if case .array(let a) = old, case .array(let b) = new, a.count == b.count {
      return a.indices.flatMap { differences(a[$0], b[$0], "\(path)[\($0)]") }
    }
    return (old.isNull ? [] : ["- \(path): \(old.text())"]) + (new.isNull ? [] : ["+ \(path): \(new.text())"])
  }

  /// `pods/ephemeralcontainers`: containers may come, never change or go.
  mutating func ephemeralContainersUpdate(_ pod: JSON, old: JSON) {
    let path = FieldPath("spec") / "ephemeralContainers"
    podSpec(pod["spec"], FieldPath("spec"))
    let new = pod["spec"]["ephemeralContainers"].items
    for container in old["spec"]["ephemeralContainers"].items {
      guard let i = new.firstIndex(where: { $0["name"] == container["name"] }) else {
        forbidden(path, "existing ephemeral containers \"\(container["name"].string ?? "")\" may not be removed\n")
        continue
      }
      if new[i] != container {
        forbidden(path, "existing ephemeral containers \"\(container["name"].string ?? "")\" may not be changed\n")
      }
    }
    if old["metadata"]["annotations"]["kubernetes.io/config.mirror"].isNull == false {
      forbidden(FieldPath.root, "static pods do not support ephemeral containers")
    }
  }

  /// `pods/resize`: cpu and memory of containers, within the pod's class.
  mutating func resize(_ pod: JSON, old: JSON) {
    let path = FieldPath("spec")
    podSpec(pod["spec"], path)
    if Pod(pod).qosClass != Pod(old).qosClass {
      invalid(FieldPath("metadata"), .string(Pod(pod).qosClass.rawValue), "Pod QOS Class may not change as a result of resizing")
    }
    var after = pod["spec"]
    for list in ["containers", "initContainers"] where !after[list].isNull {
      let before = old["spec"][list].items
      guard after[list].items.count == before.count else {
        forbidden(path / list, "containers may not be added or removed on resize")
        return
      }
      for (i, container) in before.enumerated() {
        for name in (container["resources"]["limits"].object ?? JSONObject()).keys
        where after[list][i]["resources"]["limits"][name].isNull {
          forbidden((path / list)[i] / "resources" / "limits", "resource limits cannot be removed")
        }
      }
      var i = 0
      after[list].forEachItem { container in
        for kind in ["limits", "requests"] {
          for name in ["cpu", "memory"] { container["resources"][kind][name] = before[i]["resources"][kind][name] }
          if container["resources"][kind].isEmpty { container["resources"][kind] = before[i]["resources"][kind] }
        }
        if container["resources"].isEmpty { container["resources"] = before[i]["resources"] }
        container["resizePolicy"] = before[i]["resizePolicy"]
        i += 1
      }
    }
    if after != old["spec"] { forbidden(path, "only cpu and memory resources are mutable") }
  }
}
