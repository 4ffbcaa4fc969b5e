import JSONCodec
import KubernetesAPI

@testable import Scheduling

/// A node with one core and 1 GiB, changed as a test needs it.
func node(
  _ name: String, cpu: String = "1", memory: String = "1Gi", pods: Int = 10, labels: Labels = [:], _ change: (inout JSON) -> Void = { _ in }
) -> JSON {
  var all = labels
  all["kubernetes.io/hostname"] = name
  var json: JSON = [
    "metadata": ["name": .string(name), "labels": JSON(all)],
    "status": ["allocatable": ["cpu": .string(cpu), "memory": .string(memory), "pods": JSON(pods)]],
  ]
  change(&json)
  return json
}

/// A pod whose one container asks for cpu, changed as a test needs it.
func pod(
  _ name: String = "p", cpu: String? = nil, labels: Labels = [:], priority: Int = 0, namespace: String = "default", on node: String? = nil,
  spec: JSON = [:], _ change: (inout JSON) -> Void = { _ in }
) -> JSON {
  var json: JSON = [
    "metadata": [
      "name": .string(name), "namespace": .string(namespace), "uid": .string("uid-\(namespace)-\(name)"), "labels": JSON(labels),
      "creationTimestamp": "2026-01-01T00:00:00Z",
    ],
    "spec": spec,
  ]
  if json["spec"]["containers"].isNull {
    json["spec"]["containers"] = [["name": "c"]]
    if let cpu { json["spec"]["containers"] = [["name": "c", "resources": ["requests": ["cpu": .string(cpu)]]]] }
  }
  if priority != 0 { json["spec"]["priority"] = JSON(priority) }
  if let node { json["spec"]["nodeName"] = .string(node) }
  change(&json)
  return json
}

let t0 = Timestamp(secondsSinceEpoch: 1_800_000_000)

extension Cluster {
  convenience init(_ nodes: [JSON], _ pods: [JSON] = []) {
    self.init()
    for node in nodes { put(node: NodeFacts(node)) }
    for pod in pods { add(pod) }
  }

  func add(_ pod: JSON) {
    let record = record(pod)
    place(record, on: record.nodeName)
  }

  /// The node that is chosen, or the message.
  func answer(_ pod: JSON, _ profile: Profile = Profile()) -> String {
    let record = record(pod)
    record.shape.tables = record.shape.tables.filter { $0.value.plan.profile == profile }
    return switch decide(record, SchedulingPlan(profile)) {
    case .place(let node, _): node
    case .refuse(let refusal): refusal.message
    }
  }

  /// All nodes that would do.
  func feasible(_ pod: JSON, _ profile: Profile = Profile()) -> Set<String> {
    let plan = SchedulingPlan(profile)
    let record = record(pod)
    // A table belongs to its profile.
    record.shape.tables = record.shape.tables.filter { $0.value.plan.profile == profile }
    var needs: VolumeNeeds?
    if !record.claims.isEmpty {
      guard case .needs(let found) = volumeNeeds(record, plan) else { return [] }
      needs = found
    }
    let table = record.pinnedNode == nil ? table(record.shape, plan, 0) : nil
    let check = PodCheck(self, record, plan, table: table, volumes: needs)
    return Set(
      nodes.indices.filter { slot in
        nodes[slot].facts != nil && (record.pinnedNode == nil || record.pinnedNode == nodes[slot].facts?.name)
          && check.verdictWithNominated(slot).fits
      }.compactMap { nodes[$0].facts?.name })
  }
}

func parsed(_ text: String) -> JSON { try! JSON.parse(text) }
