import JSONCodec

extension ResourceInfo {
  /// The version that objects are stored in.
  package var storageVersion: String {
    if let custom { return custom.storageVersion }
    return group == "autoscaling" ? "v2" : version
  }
}

/// A built-in object in another version of its group. HorizontalPodAutoscaler is the only kind whose versions differ.
package func converted(_ object: JSON, toVersion version: String, of resource: ResourceInfo) -> JSON {
  let apiVersion = resource.group.isEmpty ? version : "\(resource.group)/\(version)"
  guard let present = object["apiVersion"].string, present != apiVersion else { return object }
  var result = object
  switch (resource.group, present, apiVersion) {
  case ("autoscaling", "autoscaling/v1", "autoscaling/v2"): AutoscalerConversion.toV2(&result)
  case ("autoscaling", "autoscaling/v2", "autoscaling/v1"): AutoscalerConversion.toV1(&result)
  default: break
  }
  result["apiVersion"] = .string(apiVersion)
  return result
}

/// HorizontalPodAutoscaler between its versions. What autoscaling/v1 has no fields for is kept in annotations there, as JSON.
///
/// Source: upstream's annotations `autoscaling.alpha.kubernetes.io/...` and the form of metrics in autoscaling/v1.
private enum AutoscalerConversion {
  static let prefix = "autoscaling.alpha.kubernetes.io/"

  static func toV1(_ object: inout JSON) {
    var metrics = object["spec"]["metrics"].items
    if let cpu = metrics.firstIndex(where: { isCPU($0, "target", "averageUtilization") }) {
      object["spec"]["targetCPUUtilizationPercentage"] = metrics.remove(at: cpu)["resource"]["target"]["averageUtilization"]
    }
    var current = object["status"]["currentMetrics"].items
    if let cpu = current.firstIndex(where: { isCPU($0, "current", "averageUtilization") }) {
      object["status"]["currentCPUUtilizationPercentage"] = current[cpu]["resource"]["current"]["averageUtilization"]
      if current[cpu]["resource"]["current"]["averageValue"].isNull { current.remove(at: cpu) }
    }
    keep(.array(metrics.map { oldMetric($0, "target", prefix: "target") }), as: "metrics", in: &object)
    keep(.array(current.map { oldMetric($0, "current", prefix: "current") }), as: "current-metrics", in: &object)
    keep(object["spec"]["behavior"], as: "behavior", in: &object)
    keep(object["status"]["conditions"], as: "conditions", in: &object)
    for (part, field) in [("spec", "metrics"), ("spec", "behavior"), ("status", "currentMetrics"), ("status", "conditions")] {
      if !object[part].isNull { object[part][field] = .null }
    }
  }

  static func toV2(_ object: inout JSON) {
    var metrics: [JSON] = []
    let cpu = object["spec"]["targetCPUUtilizationPercentage"]
    if !cpu.isNull {
      metrics.append([
        "type": "Resource", "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": cpu]],
      ])
    }
    metrics += taken("metrics", from: &object).items.map { newMetric($0, "target", prefix: "target") }
    if !metrics.isEmpty { object["spec"]["metrics"] = .array(metrics) }
    let behavior = taken("behavior", from: &object)
    if !behavior.isNull { object["spec"]["behavior"] = behavior }
    object["spec"]["targetCPUUtilizationPercentage"] = .null
    var current = taken("current-metrics", from: &object).items.map { newMetric($0, "current", prefix: "current") }
    let used = object["status"]["currentCPUUtilizationPercentage"]
    if !used.isNull, !current.contains(where: { isCPU($0, "current", "averageUtilization") }) {
      current.insert(["type": "Resource", "resource": ["name": "cpu", "current": ["averageUtilization": used]]], at: 0)
    }
    let conditions = taken("conditions", from: &object)
    guard !object["status"].isNull || !current.isEmpty || !conditions.isNull else { return }
    object["status"]["currentCPUUtilizationPercentage"] = .null
    if !current.isEmpty { object["status"]["currentMetrics"] = .array(current) }
    if !conditions.isNull { object["status"]["conditions"] = conditions }
  }

  private static func isCPU(_ metric: JSON, _ part: String, _ field: String) -> Bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu" && !metric["resource"][part][field].isNull
  }

  private static func keep(_ value: JSON, as name: String, in object: inout JSON) {
    if !value.isEmpty { object["metadata"]["annotations"][prefix + name] = .string(value.text()) }
  }

  private static func taken(_ name: String, from object: inout JSON) -> JSON {
    guard let text = object["metadata"]["annotations"][prefix + name].string else { return .null }
    object["metadata"]["annotations"][prefix + name] = .null
    if object["metadata"]["annotations"].isEmpty { object["metadata"]["annotations"] = .null }
    return (try? JSON.parse(text)) ?? .null
  }

  private static let sources = [
    "Resource": "resource", "ContainerResource": "containerResource", "Pods": "pods", "Object": "object", "External": "external",
  ]

  /// `targetAverageValue` of `target.averageValue`.
  private static func oldName(_ field: String, _ prefix: String) -> String { prefix + field.prefix(1).uppercased() + field.dropFirst() }

  /// A metric of v2 in the form of v1. `part`: `target` of a metric, `current` of what was measured.
  private static func oldMetric(_ metric: JSON, _ part: String, prefix: String) -> JSON {
    guard let name = sources[metric["type"].string ?? ""] else { return metric }
    let source = metric[name]
    var old = JSON.object(JSONObject())
    for field in ["name", "container"] { old[field] = source[field] }
    old["metricName"] = source["metric"]["name"]
    old[name == "external" ? "metricSelector" : "selector"] = source["metric"]["selector"]
    if name == "object" { old["target"] = source["describedObject"] }
    for field in ["averageUtilization", "averageValue", "value"] {
      let isPlain = name == "object" && field == "averageValue"
      old[isPlain ? field : oldName(field, prefix)] = source[part][field]
    }
    return ["type": metric["type"], name: old]
  }

  private static func newMetric(_ metric: JSON, _ part: String, prefix: String) -> JSON {
    guard let name = sources[metric["type"].string ?? ""] else { return metric }
    let old = metric[name]
    var source = JSON.object(JSONObject())
    for field in ["name", "container"] { source[field] = old[field] }
    if !old["metricName"].isNull { source["metric"]["name"] = old["metricName"] }
    let selector = old[name == "external" ? "metricSelector" : "selector"]
    if !selector.isNull { source["metric"]["selector"] = selector }
    if name == "object" { source["describedObject"] = old["target"] }
    var values = JSON.object(JSONObject())
    for field in ["averageUtilization", "averageValue", "value"] {
      let isPlain = name == "object" && field == "averageValue"
      values[field] = old[isPlain ? field : oldName(field, prefix)]
    }
    if part == "target" {
      values["type"] =
        !values["averageUtilization"].isNull ? "Utilization" : !values["averageValue"].isNull ? "AverageValue" : "Value"
    }
    source[part] = values
    return ["type": metric["type"], name: source]
  }
}
