import JSONCodec
import KubernetesAPI

/// A pod's RuntimeClass exists, tells what the pod's sandbox costs and on which nodes it runs.
enum RuntimeClassAdmission {
  private static func className(_ pod: JSON) -> String? { pod["spec"]["runtimeClassName"].string }

  static func facts(_ pod: JSON, _ attributes: AdmissionAttributes) -> Set<AdmissionFact> {
    guard attributes.creates("pods"), let name = className(pod) else { return [] }
    return [.runtimeClass(name)]
  }

  private static func runtimeClass(
    _ pod: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts
  ) throws(AdmissionRefusal) -> JSON {
    guard let name = className(pod) else { return .null }
    if let found = cluster.object(.runtimeClass(name)) { return found }
    throw .forbidden(pod, attributes, "pod rejected: RuntimeClass \"\(name)\" not found")
  }

  private static let otherOverhead = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"

  private static func isSame(_ a: JSON, _ b: JSON) -> Bool { ResourceAmounts(a) == ResourceAmounts(b) }

  static func mutate(_ pod: inout JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    guard attributes.creates("pods") else { return }
    let runtimeClass = try runtimeClass(pod, attributes, cluster)
    if !runtimeClass["overhead"].isNull {
      let overhead = runtimeClass["overhead"]["podFixed"]
      if !pod["spec"]["overhead"].isNull, !isSame(pod["spec"]["overhead"], overhead) { throw .forbidden(pod, attributes, otherOverhead) }
      pod["spec"]["overhead"] = overhead
    }
    let scheduling = runtimeClass["scheduling"]
    guard !scheduling.isNull else { return }
    for (key, value) in scheduling["nodeSelector"].object ?? JSONObject() {
      let own = pod["spec"]["nodeSelector"][key]
      if !own.isNull, own != value {
        throw .forbidden(
          pod, attributes,
          "conflict: runtimeClass.scheduling.nodeSelector[\(key)] = \(value.string ?? ""); pod.spec.nodeSelector[\(key)] = \(own.string ?? "")"
        )
      }
      pod["spec"]["nodeSelector"][key] = value
    }
    let merged = merge(pod["spec"]["tolerations"].array ?? [], scheduling["tolerations"].array ?? [])
    if !merged.isEmpty { pod["spec"]["tolerations"] = .array(merged) }
  }

  static func validate(_ pod: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    guard attributes.creates("pods") else { return }
    let runtimeClass = try runtimeClass(pod, attributes, cluster)
    if !runtimeClass["overhead"].isNull {
      if !isSame(runtimeClass["overhead"]["podFixed"], pod["spec"]["overhead"]) { throw .forbidden(pod, attributes, otherOverhead) }
    } else if !pod["spec"]["overhead"].isEmpty {
      throw .forbidden(pod, attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
    }
  }

  // MARK: tolerations

  /// All of both lists, without those that another one includes; of equal ones the first stays.
  static func merge(_ first: [JSON], _ second: [JSON]) -> [JSON] {
    let all = first + second
    var kept: [JSON] = []
    for (i, toleration) in all.enumerated() {
      if kept.contains(where: { includes($0, toleration) }) { continue }
      if all[(i + 1)...].contains(where: { $0 != toleration && includes($0, toleration) }) { continue }
      kept.append(toleration)
    }
    return kept
  }

  /// Whether every taint that `narrow` tolerates, for as long, `wide` tolerates too.
  private static func includes(_ wide: JSON, _ narrow: JSON) -> Bool {
    func text(_ toleration: JSON, _ field: String) -> String { toleration[field].string ?? "" }
    if wide == narrow { return true }
    if text(wide, "key") != text(narrow, "key"), !text(wide, "key").isEmpty || text(wide, "operator") != "Exists" { return false }
    if text(wide, "effect") != text(narrow, "effect"), !text(wide, "effect").isEmpty { return false }
    if text(wide, "effect") == "NoExecute", let seconds = wide["tolerationSeconds"].int {
      guard let own = narrow["tolerationSeconds"].int, own <= seconds else { return false }
    }
    switch text(wide, "operator") {
    case "Equal", "": return (text(narrow, "operator") == "Equal" || text(narrow, "operator").isEmpty) && wide["value"] == narrow["value"]
    case "Exists": return true
    default: return false
    }
  }
}
