import JSONCodec

/// What a job's podFailurePolicy says about a failed pod.
enum PodFailureVerdict: Equatable {
  case count
  case ignore
  case failIndex
  case failJob(message: String)

  init(_ pod: JSON, policy: JSON) {
    self = .count
    for (i, rule) in (policy["rules"].array ?? []).enumerated() {
      guard let what = Self.match(pod, rule) else { continue }
      switch rule["action"].string {
      case "Ignore": self = .ignore
      case "FailIndex": self = .failIndex
      case "FailJob": self = .failJob(message: "\(what) matching FailJob rule at index \(i)")
      default: self = .count
      }
      return
    }
  }

  /// What in the pod a rule matches, for people; nil where it does not match.
  private static func match(_ pod: JSON, _ rule: JSON) -> String? {
    let name = "\(pod["metadata"]["namespace"].string ?? "")/\(pod["metadata"]["name"].string ?? "")"
    if let exits = rule["onExitCodes"].object.map(JSON.object) {
      let values = (exits["values"].array ?? []).compactMap(\.int)
      let statuses = ["containerStatuses", "initContainerStatuses"].flatMap { pod["status"][$0].array ?? [] }
      for status in statuses {
        guard let code = status["state"]["terminated"]["exitCode"].int, code != 0 else { continue }
        if let container = exits["containerName"].string, container != status["name"].string { continue }
        guard values.contains(code) == (exits["operator"].string == "In") else { continue }
        return "Container \(status["name"].string ?? "") for pod \(name) failed with exit code \(code)"
      }
      return nil
    }
    for pattern in rule["onPodConditions"].array ?? [] {
      let type = pattern["type"].string ?? ""
      if let condition = pod.condition(type), condition["status"].string == pattern["status"].string ?? "True" {
        return "Pod \(name) has condition \(type)"
      }
    }
    return nil
  }
}
