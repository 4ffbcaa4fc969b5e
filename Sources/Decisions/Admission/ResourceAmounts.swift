import JSONCodec
import KubernetesAPI

/// Amounts of named resources: `requests` of a container, `used` of a quota.
package struct ResourceAmounts: Sendable, Equatable {
  package private(set) var values: [String: Quantity]

  package init(_ values: [String: Quantity] = [:]) { self.values = values }

  /// A resource list; what is no quantity is left out.
  package init(_ json: JSON) {
    values = [:]
    for (name, value) in json.object ?? JSONObject() { values[name] = value.quantity }
  }

  package var isEmpty: Bool { values.isEmpty }
  package var names: [String] { values.keys.sorted() }

  package subscript(_ name: String) -> Quantity? {
    get { values[name] }
    set { values[name] = newValue }
  }

  /// Sorted by name.
  package var json: JSON { .object(JSONObject(names.map { ($0, .string(values[$0]!.text)) })) }
  /// `cpu=1,memory=2Gi`
  package var text: String { names.map { "\($0)=\(values[$0]!.text)" }.joined(separator: ",") }

  /// Zero has no suffix family of its own and takes the other's.
  private static func combined(_ a: Quantity?, _ b: Quantity, _ operation: (Quantity, Quantity) -> Quantity) -> Quantity {
    guard var a else { return operation(Quantity(nanoValue: 0, format: b.format), b) }
    if a.nanoValue == 0 { a.format = b.format }
    return operation(a, b)
  }

  package func adding(_ other: ResourceAmounts) -> ResourceAmounts {
    var result = self
    for (name, value) in other.values { result[name] = Self.combined(values[name], value, +) }
    return result
  }

  /// What this has more than `other`, never below zero.
  package func excess(over other: ResourceAmounts) -> ResourceAmounts {
    var result = self
    for (name, value) in other.values {
      let difference = Self.combined(values[name], value, -)
      result[name] = difference.nanoValue < 0 ? Quantity(nanoValue: 0, format: difference.format) : difference
    }
    return result
  }

  /// The greater of each.
  package func maximum(_ other: ResourceAmounts) -> ResourceAmounts {
    var result = self
    for (name, value) in other.values where (values[name].map { $0 < value } ?? true) { result[name] = value }
    return result
  }

  package func only(_ isWanted: (String) -> Bool) -> ResourceAmounts { ResourceAmounts(values.filter { isWanted($0.key) }) }
  package var withoutZeros: ResourceAmounts { ResourceAmounts(values.filter { $0.value.nanoValue != 0 }) }
}

/// What a pod as a whole asks for: its containers run beside each other, its init containers one after the other, and
/// sidecars beside everything that starts after them.
enum PodResources {
  /// Resources that may be given for the whole pod in `spec.resources`.
  private static func mayBeForPod(_ name: String) -> Bool { name == "cpu" || name == "memory" || name.hasPrefix("hugepages-") }

  /// The larger of what is asked for and what the node has given, while a resize is under way.
  static func requests(of pod: JSON) -> ResourceAmounts {
    var isInfeasible = false
    for condition in pod["status"]["conditions"].array ?? [] where condition["type"] == "PodResizePending" {
      isInfeasible = condition["reason"] == "Infeasible"
    }
    var result = total(pod, "requests") { container, status in
      let given = ResourceAmounts(status["resources"]["requests"]).maximum(ResourceAmounts(status["allocatedResources"]))
      let asked = ResourceAmounts(container["resources"]["requests"])
      return isInfeasible && !given.isEmpty ? given : asked.maximum(given)
    }
    result = result.adding(ResourceAmounts(pod["spec"]["overhead"]))
    return result
  }

  static func limits(of pod: JSON) -> ResourceAmounts {
    let result = total(pod, "limits") { container, status in
      ResourceAmounts(container["resources"]["limits"]).maximum(ResourceAmounts(status["resources"]["limits"]))
    }
    // Overhead raises a limit, it does not make one.
    return result.adding(ResourceAmounts(pod["spec"]["overhead"]).only { (result[$0]?.nanoValue ?? 0) != 0 })
  }

  private static func total(_ pod: JSON, _ list: String, _ amounts: (_ container: JSON, _ status: JSON) -> ResourceAmounts)
    -> ResourceAmounts
  {
    let spec = pod["spec"]
    func status(_ container: JSON, _ field: String) -> JSON {
      (pod["status"][field].array ?? []).first { $0["name"] == container["name"] } ?? .null
    }
    var running = ResourceAmounts()
    for container in spec["containers"].array ?? [] {
      running = running.adding(amounts(container, status(container, "containerStatuses")))
    }
    var sidecars = ResourceAmounts()
    var starting = ResourceAmounts()
    for container in spec["initContainers"].array ?? [] {
      let own = amounts(container, status(container, "initContainerStatuses"))
      if container["restartPolicy"] == "Always" {
        running = running.adding(own)
        sidecars = sidecars.adding(own)
        starting = starting.maximum(sidecars)
      } else {
        starting = starting.maximum(own.adding(sidecars))
      }
    }
    var result = running.maximum(starting)
    for (name, value) in ResourceAmounts(spec["resources"][list]).values where mayBeForPod(name) { result[name] = value }
    return result
  }
}
