import JSONCodec
import KubernetesAPI

extension Findings {
  /// HorizontalPodAutoscaler in both versions; what only v2 has is absent in v1.
  mutating func autoscaler(_ autoscaler: JSON) {
    let spec = autoscaler["spec"]
    let path = FieldPath("spec")
    let target = spec["scaleTargetRef"]
    for field in ["kind", "name"] { requiredText(target[field], path / "scaleTargetRef" / field, NameProblems.pathSegment) }
    if let text = target["apiVersion"].string, text.split(separator: "/", omittingEmptySubsequences: false).count > 2 {
      invalid(path / "scaleTargetRef" / "apiVersion", .string(text), "unexpected GroupVersion string: \(text)")
    }
    let max = spec["maxReplicas"].int ?? 0
    if let min = spec["minReplicas"].int {
      let countsFromOutside = spec["metrics"].items.contains { ["Object", "External"].contains($0["type"].string ?? "") }
      if min < (countsFromOutside ? 0 : 1) {
        invalid(path / "minReplicas", spec["minReplicas"], "must be greater than or equal to \(countsFromOutside ? 0 : 1)")
      }
      if max > 0, max < min { invalid(path / "maxReplicas", spec["maxReplicas"], "must be greater than or equal to `minReplicas`") }
    }
    if max == 0 { required(path / "maxReplicas", "must be greater than 0") }
    if max < 0 { invalid(path / "maxReplicas", spec["maxReplicas"], "must be greater than 0") }
    if let utilization = spec["targetCPUUtilizationPercentage"].int, utilization < 1 {
      invalid(path / "targetCPUUtilizationPercentage", spec["targetCPUUtilizationPercentage"], "must be greater than 0")
    }
    for (i, metric) in spec["metrics"].items.enumerated() { self.metric(metric, (path / "metrics")[i]) }
    for direction in ["scaleUp", "scaleDown"] where !spec["behavior"][direction].isNull {
      scalingRules(spec["behavior"][direction], path / "behavior" / direction)
    }
  }

  private mutating func metric(_ metric: JSON, _ path: FieldPath) {
    let sources = [
      "Object": "object", "Pods": "pods", "Resource": "resource", "ContainerResource": "containerResource", "External": "external",
    ]
    let type = metric["type"].string ?? ""
    if type.isEmpty { required(path / "type", "must specify a metric source type") }
    guard let own = sources[type] else {
      if !type.isEmpty { notSupported(path / "type", metric["type"], Array(sources.keys)) }
      return
    }
    for source in sources.values.sorted() where source != own && !metric[source].isNull {
      forbidden(path / source, "must populate the given metric source only")
    }
    let source = metric[own]
    let at = path / own
    guard !source.isNull else { return required(at, "must populate information for the given metric source") }
    switch own {
    case "resource", "containerResource":
      if source["name"].isEmpty { required(at / "name", "must specify a resource name") }
      if own == "containerResource" { requiredText(source["container"], at / "container", NameProblems.dnsLabel) }
    default:
      requiredText(source["metric"]["name"], at / "metric" / "name", NameProblems.pathSegment)
      if !source["metric"]["selector"].isNull { labelSelector(source["metric"]["selector"], at / "metric" / "selector") }
      if own == "object" {
        for field in ["kind", "name"] where source["describedObject"][field].isEmpty { required(at / "describedObject" / field) }
      }
    }
    metricTarget(source["target"], at / "target", source: own)
  }

  private mutating func metricTarget(_ target: JSON, _ path: FieldPath, source: String) {
    let type = target["type"].string ?? ""
    if type.isEmpty {
      required(path / "type", "must specify a metric target type")
    } else if !["Utilization", "Value", "AverageValue"].contains(type) {
      invalid(path / "type", target["type"], "must be either Utilization, Value, or AverageValue")
    }
    for field in ["value", "averageValue"] {
      if let quantity = Quantity(target[field].string ?? ""), quantity.milliValue <= 0 {
        invalid(path / field, target[field], "must be positive")
      }
    }
    if let utilization = target["averageUtilization"].int, utilization < 1 {
      invalid(path / "averageUtilization", target["averageUtilization"], "must be greater than 0")
    }
    switch source {
    case "resource", "containerResource":
      if target["averageUtilization"].isNull, target["averageValue"].isNull {
        required(path / "averageUtilization", "must set either a target raw value or a target utilization")
      }
      if !target["averageUtilization"].isNull, !target["averageValue"].isNull {
        forbidden(path / "averageValue", "may not set both a target raw value and a target utilization")
      }
    case "pods":
      if target["averageValue"].isNull { required(path / "averageValue", "must specify a positive target averageValue") }
    default:
      if target["value"].isNull, target["averageValue"].isNull {
        required(path / "averageValue", "must set either a target value or averageValue")
      } else if source == "external", !target["value"].isNull, !target["averageValue"].isNull {
        forbidden(path / "value", "may not set both a target value for metric and a per-pod target")
      }
    }
  }

  private mutating func scalingRules(_ rules: JSON, _ path: FieldPath) {
    let policies = ["Disabled", "Max", "Min"]
    if let seconds = rules["stabilizationWindowSeconds"].int {
      let at = path / "stabilizationWindowSeconds"
      if seconds < 0 { invalid(at, rules["stabilizationWindowSeconds"], "must be greater than or equal to zero") }
      if seconds > 3_600 { invalid(at, rules["stabilizationWindowSeconds"], "must be less than or equal to 3600") }
    }
    oneOf(rules["selectPolicy"], path / "selectPolicy", policies)
    if rules["policies"].isEmpty { required(path / "policies", "must specify at least one Policy") }
    for (i, policy) in rules["policies"].items.enumerated() {
      let at = (path / "policies")[i]
      if !["Percent", "Pods"].contains(policy["type"].string ?? "") { notSupported(at / "type", policy["type"], ["Percent", "Pods"]) }
      positive(policy["value"], at / "value")
      positive(policy["periodSeconds"], at / "periodSeconds")
      if let seconds = policy["periodSeconds"].int, seconds > 1_800 {
        invalid(at / "periodSeconds", policy["periodSeconds"], "must be less than or equal to 1800")
      }
    }
  }
}
