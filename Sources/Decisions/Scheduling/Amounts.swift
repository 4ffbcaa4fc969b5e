import JSONCodec
import KubernetesAPI

/// Amounts of what a node has and pods ask for.
package struct Amounts: Hashable, Sendable {
  /// Thousandths of a core.
  package var cpu: Int64 = 0
  /// Bytes.
  package var memory: Int64 = 0
  /// Bytes of ephemeral storage.
  package var storage: Int64 = 0
  /// Everything else, in whole units: huge pages and extended resources.
  package var extended: [String: Int64] = [:]

  package init() {}

  /// Reads a resource list; `pods` is no amount and is left out.
  package init(_ quantities: JSON) {
    guard let fields = quantities.object else { return }
    for (name, value) in fields {
      guard let quantity = value.quantity else { continue }
      self[name] = name == "cpu" ? quantity.milliValue : quantity.value
    }
  }

  package subscript(_ name: String) -> Int64 {
    get {
      switch name {
      case "cpu": cpu
      case "memory": memory
      case "ephemeral-storage": storage
      default: extended[name] ?? 0
      }
    }
    set {
      switch name {
      case "cpu": cpu = newValue
      case "memory": memory = newValue
      case "ephemeral-storage": storage = newValue
      case "pods": break
      default: extended[name] = newValue
      }
    }
  }

  package var isZero: Bool { cpu == 0 && memory == 0 && storage == 0 && extended.allSatisfy { $0.value == 0 } }

  package mutating func add(_ other: Amounts) {
    cpu += other.cpu
    memory += other.memory
    storage += other.storage
    if !other.extended.isEmpty { for (name, amount) in other.extended { extended[name, default: 0] += amount } }
  }

  package mutating func subtract(_ other: Amounts) {
    cpu -= other.cpu
    memory -= other.memory
    storage -= other.storage
    if !other.extended.isEmpty { for (name, amount) in other.extended { extended[name, default: 0] -= amount } }
  }

  /// The larger amount of each resource.
  package mutating func formMaximum(_ other: Amounts) {
    cpu = max(cpu, other.cpu)
    memory = max(memory, other.memory)
    storage = max(storage, other.storage)
    for (name, amount) in other.extended { extended[name] = max(extended[name] ?? 0, amount) }
  }
}

/// What a pod takes of a node: its containers together, or its hungriest init container where that is more; sidecars count
/// for both (KEP-753); what the pod itself requests replaces the sum (KEP-2837); the overhead comes on top.
package enum PodRequests {
  /// What a container counts for in scores where it names no amount: 100m and 200Mi.
  static let cpuAssumed: Int64 = 100
  static let memoryAssumed: Int64 = 200 << 20

  /// `assuming`: containers without cpu or memory requests count for the assumed amounts. `override`: what a container counts for in
  /// place of its requests.
  package static func of(_ spec: JSON, assuming: Bool = false, container override: (JSON) -> Amounts? = { _ in nil }) -> Amounts {
    func request(_ container: JSON) -> Amounts {
      let requests = container["resources"]["requests"]
      var amounts = override(container) ?? Amounts(requests)
      if assuming {
        if requests["cpu"].isNull { amounts.cpu = cpuAssumed }
        if requests["memory"].isNull { amounts.memory = memoryAssumed }
      }
      return amounts
    }
    var running = Amounts()
    for container in spec["containers"].array ?? [] { running.add(request(container)) }
    var sidecars = Amounts()
    var starting = Amounts()
    for container in spec["initContainers"].array ?? [] {
      if container["restartPolicy"].string == "Always" {
        sidecars.add(request(container))
        starting.formMaximum(sidecars)
      } else {
        var beside = sidecars
        beside.add(request(container))
        starting.formMaximum(beside)
      }
    }
    running.add(sidecars)
    running.formMaximum(starting)
    for (name, value) in spec["resources"]["requests"].object ?? JSONObject() {
      guard let quantity = value.quantity else { continue }
      running[name] = name == "cpu" ? quantity.milliValue : quantity.value
    }
    running.add(Amounts(spec["overhead"]))
    return running
  }

  /// A bound pod's requests: where a resize is under way, the larger of what it asks and what its containers have; where it can never
  /// be granted, what they have.
  static func ofBound(_ pod: JSON) -> Amounts {
    var given: [String: Amounts] = [:]
    for list in ["containerStatuses", "initContainerStatuses"] {
      for status in pod["status"][list].array ?? [] where !status["resources"]["requests"].isEmpty {
        given[status["name"].string ?? ""] = Amounts(status["resources"]["requests"])
      }
    }
    if given.isEmpty { return of(pod["spec"]) }
    let isHopeless = (pod["status"]["conditions"].array ?? []).contains {
      $0["type"].string == "PodResizePending" && $0["reason"].string == "Infeasible"
    }
    return of(pod["spec"]) { container in
      guard var amounts = given[container["name"].string ?? ""] else { return nil }
      if !isHopeless { amounts.formMaximum(Amounts(container["resources"]["requests"])) }
      return amounts
    }
  }
}
