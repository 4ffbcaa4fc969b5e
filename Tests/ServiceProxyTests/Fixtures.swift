import JSONCodec
import NFTables
import NetworkLab
import ServiceProxy
import ServiceRules

/// A Service as the API server would write it.
func service(
  _ name: String, ip: String, more: [String] = [], ports: [JSON] = [["port": 80, "protocol": "TCP"]], type: String = "ClusterIP",
  spec: JSON = [:],
  status: JSON = .null
) -> JSON {
  var fields: JSON = ["type": .string(type), "clusterIP": .string(ip), "clusterIPs": JSON([ip] + more), "ports": .array(ports)]
  for (key, value) in spec.object ?? JSONObject() { fields[key] = value }
  return ["metadata": ["namespace": "default", "name": .string(name)], "spec": fields, "status": status]
}

struct EndpointFixture {
  var address: String
  var node = "node"
  var isReady = true
  var isTerminating = false
  var isServing = true
  /// UID of its pod.
  var pod: String?

  init(
    _ address: String, node: String = "node", ready: Bool = true, terminating: Bool = false, serving: Bool = true, pod: String? = nil
  ) {
    (self.address, self.node, isReady, isTerminating, isServing) = (address, node, ready, terminating, serving)
    self.pod = pod
  }

  var json: JSON {
    [
      "addresses": JSON([address]), "nodeName": .string(node), "targetRef": ["kind": "Pod", "uid": JSON(pod)],
      "conditions": ["ready": .bool(isReady), "serving": .bool(isServing), "terminating": .bool(isTerminating)],
    ]
  }
}

func slice(
  _ service: String, _ endpoints: [EndpointFixture], port: Int = 8080, portName: String = "", transport: String = "TCP", name: String? = nil
) -> JSON {
  [
    "metadata": [
      "namespace": "default", "name": .string(name ?? "\(service)-\(transport)-\(port)"),
      "labels": ["kubernetes.io/service-name": .string(service)],
    ],
    "addressType": .string(endpoints.first?.address.contains(":") == true ? "IPv6" : "IPv4"),
    "ports": .array([["name": .string(portName), "port": JSON(port), "protocol": .string(transport)]]),
    "endpoints": .array(endpoints.map(\.json)),
  ]
}

let bothFamilies = [
  RuleLayout(.ipv4, tableName: "swiftlet-services", podRange: IPPrefix("10.244.0.0/16"), serviceRange: IPPrefix("10.96.0.0/16")),
  RuleLayout(.ipv6, tableName: "swiftlet-services", podRange: IPPrefix("fd00:244::/64"), serviceRange: IPPrefix("fd00:96::/112")),
]

/// Services of a lab's node, told to its kernel.
struct Rules {
  let lab: Lab
  let kernel: KernelRules
  var state: ServiceState

  init(_ lab: Lab) throws {
    self.lab = lab
    kernel = try KernelRules(.existing(lab.node.thread.namespace))
    let addresses = ["192.0.2.1", "fd00:2::1"].compactMap { IPAddress($0) }
    state = ServiceState(options: RuleOptions(layouts: bothFamilies, node: NodeFacts(name: "node", nodePortAddresses: addresses)))
  }

  mutating func start(_ services: [JSON], _ slices: [JSON]) async throws {
    state.replace(services: services)
    state.replace(slices: slices)
    _ = state.update()
    for index in state.tables.indices {
      try await kernel.apply(state.differences(index, from: nil), to: state.tables[index].layout.table)
    }
  }

  /// Tells what changed and answers how many changes that were.
  @discardableResult
  mutating func tell() async throws -> [Change] {
    let stale = state.update()
    var all: [Change] = []
    for index in state.tables.indices {
      let changes = state.takeChanges(index)
      all += changes
      if !changes.isEmpty { try await kernel.apply(changes, to: state.tables[index].layout.table) }
    }
    _ = try await kernel.endStaleFlows(stale, nodeAddresses: Set(state.options.node.nodePortAddresses))
    return all
  }
}
