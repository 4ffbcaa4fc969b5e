import JSONCodec
import KubernetesAPI

/// One metric of an autoscaler's spec: where it comes from, what it is called in messages, and how it is told in the status.
package struct AutoscalerMetric: Sendable {
  package enum Source: String, Sendable {
    case resource = "Resource"
    case containerResource = "ContainerResource"
    case pods = "Pods"
    case object = "Object"
    case external = "External"

    /// The field of the spec and of the status that says more.
    var field: String {
      switch self {
      case .resource: "resource"
      case .containerResource: "containerResource"
      case .pods: "pods"
      case .object: "object"
      case .external: "external"
      }
    }
  }

  package let source: Source
  /// What the spec says under the source's name.
  package let spec: JSON

  /// Nil where the type is unknown.
  package init?(_ metric: JSON) {
    guard let source = Source(rawValue: metric["type"].string ?? "") else { return nil }
    self.source = source
    spec = metric[source.field]
  }

  /// The resource's or the metric's name.
  package var name: String { (isResource ? spec["name"] : spec["metric"]["name"]).string ?? "" }
  package var container: String? { spec["container"].string }
  /// Which of several series of the metric is meant, as a query says it; nil: any.
  package var selector: String? {
    let requirements = LabelSelector(json: spec["metric"]["selector"])?.requirements ?? []
    return requirements.isEmpty ? nil : requirements.map(Self.text).joined(separator: ",")
  }

  private static func text(_ requirement: LabelSelector.Requirement) -> String {
    switch requirement {
    case .in(let key, let values): values.count == 1 ? "\(key)=\(values[0])" : "\(key) in (\(values.joined(separator: ",")))"
    case .notIn(let key, let values): values.count == 1 ? "\(key)!=\(values[0])" : "\(key) notin (\(values.joined(separator: ",")))"
    case .exists(let key): key
    case .doesNotExist(let key): "!\(key)"
    case .greaterThan(let key, let bound): "\(key)>\(bound)"
    case .lessThan(let key, let bound): "\(key)<\(bound)"
    }
  }
  package var isResource: Bool { source == .resource || source == .containerResource }
  var target: JSON { spec["target"] }
  var targetValue: Int64? { target["value"].quantity?.milliValue }
  var targetAverage: Int64? { target["averageValue"].quantity?.milliValue }
  var failureReason: String { "FailedGet\(source.rawValue)Metric" }

  var title: String {
    switch source {
    case .resource:
      target["averageUtilization"].isNull ? "\(name) resource" : "\(name) resource utilization (percentage of request)"
    case .containerResource:
      target["averageUtilization"].isNull ? "\(name) container resource" : "\(name) container resource utilization (percentage of request)"
    case .pods: "pods metric \(name)"
    case .object: "\(spec["describedObject"]["kind"].string ?? "") metric \(name)"
    case .external: "external metric \(name)"
    }
  }

  /// The metric as the status tells it.
  func status(current: JSON) -> JSON {
    var told: JSON = ["current": current]
    if isResource {
      told["name"] = .string(name)
      told["container"] = JSON(container)
    } else {
      told["metric"] = spec["metric"]
    }
    if source == .object { told["describedObject"] = spec["describedObject"] }
    return ["type": .string(source.rawValue), source.field: told]
  }
}
