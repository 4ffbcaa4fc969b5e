import JSONCodec
import KubernetesAPI

/// Amounts of resources by name. CPU counts in thousandths, everything else in whole units.
package struct ResourceAmounts: Sendable, Equatable {
  package var amounts: [String: Int64]
  package init(_ amounts: [String: Int64] = [:]) { self.amounts = amounts }

  package subscript(_ name: String) -> Int64 { amounts[name] ?? 0 }

  package static func + (a: ResourceAmounts, b: ResourceAmounts) -> ResourceAmounts {
    ResourceAmounts(a.amounts.merging(b.amounts) { $0 + $1 })
  }

  package static func - (a: ResourceAmounts, b: ResourceAmounts) -> ResourceAmounts {
    ResourceAmounts(a.amounts.merging(b.amounts.mapValues { -$0 }) { $0 + $1 })
  }

  /// The larger amount of each resource.
  package func union(_ other: ResourceAmounts) -> ResourceAmounts {
    ResourceAmounts(amounts.merging(other.amounts) { max($0, $1) })
  }

  package init(quantities: JSON) {
    amounts = [:]
    for (name, value) in quantities.object ?? JSONObject() {
      guard let quantity = value.quantity else { continue }
      amounts[name] = name == "cpu" ? quantity.milliValue : quantity.value
    }
  }
}

extension ResourceAmounts {
  /// What a pod needs of a node: its containers together, or its hungriest init container where that is more; sidecars
  /// count for both (KEP-753); the overhead comes on top.
  package static func requests(of spec: PodSpec) -> ResourceAmounts {
    func request(_ container: Container) -> ResourceAmounts { ResourceAmounts(quantities: container.json["resources"]["requests"]) }
    var running = spec.containers.reduce(ResourceAmounts()) { $0 + request($1) }
    var sidecars = ResourceAmounts()
    var starting = ResourceAmounts()
    for container in spec.initContainers {
      if container.isSidecar {
        sidecars = sidecars + request(container)
        starting = starting.union(sidecars)
      } else {
        starting = starting.union(sidecars + request(container))
      }
    }
    running = running + sidecars
    var result = running.union(starting) + ResourceAmounts(quantities: spec.json["overhead"])
    let podLevel = ResourceAmounts(quantities: spec.json["resources"]["requests"])
    for (name, amount) in podLevel.amounts { result.amounts[name] = amount }
    return result
  }
}

/// A node as the scheduler sees it: what it offers and what its pods take of it.
package struct NodeState: Sendable {
  package let node: Node
  package let allocatable: ResourceAmounts
  package var requested: ResourceAmounts
  package var podCount: Int
  /// Host ports in use, as "TCP/0.0.0.0/80".
  package var hostPorts: Set<String>

  package init(node: Node, requested: ResourceAmounts = ResourceAmounts(), podCount: Int = 0, hostPorts: Set<String> = []) {
    self.node = node
    allocatable = ResourceAmounts(quantities: node.json["status"]["allocatable"])
    self.requested = requested
    self.podCount = podCount
    self.hostPorts = hostPorts
  }

  package mutating func add(_ pod: Pod) {
    requested = requested + ResourceAmounts.requests(of: pod.spec)
    podCount += 1
    hostPorts.formUnion(HostPorts.of(pod.spec))
  }
}

/// The ports of the host that a pod's containers want.
package enum HostPorts {
  package static func of(_ spec: PodSpec) -> Set<String> {
    var result: Set<String> = []
    for container in spec.containers + spec.initContainers.filter(\.isSidecar) {
      for port in container.ports {
        guard let number = port["hostPort"].int, number != 0 else { continue }
        let address = port["hostIP"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "0.0.0.0"
        result.insert("\(port["protocol"].string ?? "TCP")/\(address)/\(number)")
      }
    }
    return result
  }

  /// Two wishes clash where protocol and number are the same and the addresses are equal or one is the wildcard.
  package static func clash(_ a: Set<String>, _ b: Set<String>) -> Bool {
    a.contains { first in
      b.contains { second in
        let (x, y) = (first.split(separator: "/"), second.split(separator: "/"))
        return x[0] == y[0] && x[2] == y[2] && (x[1] == y[1] || x[1] == "0.0.0.0" || y[1] == "0.0.0.0")
      }
    }
  }
}
