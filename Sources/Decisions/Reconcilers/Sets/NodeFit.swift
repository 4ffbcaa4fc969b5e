import JSONCodec
import KubernetesAPI

/// Whether a daemon's pod belongs on a node.
struct NodeFit {
  /// A pod may be started here.
  let starts: Bool
  /// A pod that is here may stay.
  let stays: Bool

  init(_ spec: JSON, tolerations: [JSON], node: JSON) {
    let name = node.objectName.name
    let labels = node["metadata"]["labels"]
    guard spec["nodeName"].isEmpty || spec["nodeName"].string == name,
      (spec["nodeSelector"].object ?? JSONObject()).allSatisfy({ labels[$0].string == $1.string }),
      Self.matches(spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"], labels: labels, name: name)
    else {
      starts = false
      stays = false
      return
    }
    let untolerated = (node["spec"]["taints"].array ?? []).filter { taint in !tolerations.contains { Tolerations.tolerates($0, taint) } }
    stays = !untolerated.contains { $0["effect"].string == "NoExecute" }
    starts = stays && !untolerated.contains { $0["effect"].string == "NoSchedule" }
  }

  /// A NodeSelector: any of its terms, all of a term's expressions.
  static func matches(_ selector: JSON, labels: JSON, name: String) -> Bool {
    guard let terms = selector["nodeSelectorTerms"].array else { return true }
    return terms.contains { term in
      let expressions = term["matchExpressions"].array ?? []
      let fields = term["matchFields"].array ?? []
      guard !expressions.isEmpty || !fields.isEmpty,
        let onLabels = LabelSelector(json: ["matchExpressions": .array(expressions)]),
        let onFields = LabelSelector(json: ["matchExpressions": .array(fields)])
      else { return false }
      return onLabels.matches(labels) && onFields.matches { $0 == "metadata.name" ? name : nil }
    }
  }
}

enum Tolerations {
  static func tolerates(_ toleration: JSON, _ taint: JSON) -> Bool {
    if let effect = toleration["effect"].string, !effect.isEmpty, effect != taint["effect"].string { return false }
    let key = toleration["key"].string ?? ""
    if !key.isEmpty, key != taint["key"].string { return false }
    if toleration["operator"].string == "Exists" { return true }
    return !key.isEmpty && toleration["value"].string ?? "" == taint["value"].string ?? ""
  }
}
