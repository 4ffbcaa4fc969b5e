import JSONCodec
import KubernetesAPI

/// How fast an autoscaler may follow its metrics: what it recommended and did lately, and the limits of its behavior.
package struct AutoscalerHistory: Sendable {
  package var recommendations: [(at: Timestamp, replicas: Int)] = []
  /// Changes that were made: positive up, negative down.
  package var changes: [(at: Timestamp, by: Int)] = []
  package init() {}
}

package struct AutoscalerBehavior: Sendable {
  /// Seconds that a scale-down waits where nothing else is said.
  static let downStabilization = 300
  static let policies: [String: JSON] = [
    "scaleUp": [["type": "Pods", "value": 4, "periodSeconds": 15], ["type": "Percent", "value": 100, "periodSeconds": 15]],
    "scaleDown": [["type": "Percent", "value": 100, "periodSeconds": 15]],
  ]

  let spec: JSON
  let now: Timestamp
  package init(_ spec: JSON, now: Timestamp) {
    self.spec = spec
    self.now = now
  }

  private func rules(_ direction: String) -> JSON { spec["behavior"][direction] }
  private func policies(_ direction: String) -> [JSON] {
    rules(direction)["policies"].array.flatMap { $0.isEmpty ? nil : $0 } ?? Self.policies[direction]!.array!
  }

  /// The size to take now, and why it is not the wanted one.
  package func limited(_ wanted: Int, present: Int, _ history: inout AutoscalerHistory) -> (
    replicas: Int, reason: String, message: String, isLimited: Bool
  ) {
    let least = spec["minReplicas"].int ?? 1
    let most = spec["maxReplicas"].int ?? 1
    let stabilized = stabilized(wanted, present: present, &history)
    var size = stabilized
    var reason = ("DesiredWithinRange", "the desired count is within the acceptable range", false)
    if size > present {
      let limit = pace(present, "scaleUp", &history)
      if size > limit {
        (size, reason) = (
          max(limit, present), ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate", true)
        )
      }
    } else if size < present {
      let limit = pace(present, "scaleDown", &history)
      if size < limit {
        (size, reason) = (
          min(limit, present), ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate", true)
        )
      }
    }
    if size > most {
      (size, reason) = (most, ("TooManyReplicas", "the desired replica count is more than the maximum replica count", true))
    }
    if size < least {
      (size, reason) = (least, ("TooFewReplicas", "the desired replica count is less than the minimum replica count", true))
    }
    return (size, reason.0, reason.1, reason.2)
  }

  /// Of the recommendations within the windows: the highest goes down, the lowest goes up.
  private func stabilized(_ wanted: Int, present: Int, _ history: inout AutoscalerHistory) -> Int {
    let up = Double(rules("scaleUp")["stabilizationWindowSeconds"].int ?? 0)
    let down = Double(rules("scaleDown")["stabilizationWindowSeconds"].int ?? Self.downStabilization)
    history.recommendations.removeAll { now.seconds(since: $0.at) > max(up, down) }
    history.recommendations.append((now, wanted))
    func recent(_ window: Double) -> [Int] { history.recommendations.filter { now.seconds(since: $0.at) <= window }.map(\.replicas) }
    let floor = min(wanted, recent(up).min() ?? wanted)
    let ceiling = max(wanted, recent(down).max() ?? wanted)
    return max(floor, min(ceiling, present))
  }

  /// How far the size may go in a direction, counting what was changed within each policy's period.
  private func pace(_ present: Int, _ direction: String, _ history: inout AutoscalerHistory) -> Int {
    let isUp = direction == "scaleUp"
    let choice = rules(direction)["selectPolicy"].string ?? "Max"
    if choice == "Disabled" { return present }
    history.changes.removeAll { now.seconds(since: $0.at) > 1_800 }
    let limits = policies(direction).map { policy -> Int in
      let period = Double(policy["periodSeconds"].int ?? 15)
      let changed = history.changes.filter { now.seconds(since: $0.at) <= period && ($0.by > 0) == isUp }.reduce(0) { $0 + $1.by }
      let start = present - changed
      let value = policy["value"].int ?? 0
      if policy["type"].string == "Pods" { return isUp ? start + value : start - value }
      let product = Double(start) * (1 + Double(isUp ? value : -value) / 100)
      return Int(isUp ? product.rounded(.up) : product.rounded(.down))
    }
    // The policy that allows most is used, unless the least is asked for.
    let far = choice == "Min" ? (isUp ? limits.min() : limits.max()) : (isUp ? limits.max() : limits.min())
    return max(0, far ?? present)
  }
}
