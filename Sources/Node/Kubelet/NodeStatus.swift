import JSONCodec
import KubernetesAPI
import PodLifecycle

/// What decides a Node's status, apart from what already stands in it.
package struct NodeStatusInput: Sendable {
  package var facts: MachineFacts
  package var pressure: MachinePressure
  /// Why the node is not ready; empty: it is.
  package var problems: [String]
  /// name(s) and bytes of the images here.
  package var images: [(names: [String], bytes: Int64)]
  /// Whether other nodes' pods are reached; nil: that is not ours to say.
  package var network: NetworkState?
  package init(
    facts: MachineFacts, pressure: MachinePressure = .init(), problems: [String] = [], images: [(names: [String], bytes: Int64)] = [],
    network: NetworkState? = nil
  ) {
    self.facts = facts
    self.pressure = pressure
    self.problems = problems
    self.images = images
    self.network = network
  }
}

/// The pod network between nodes, as the condition NetworkUnavailable tells it.
package enum NetworkState: Hashable, Sendable {
  case available
  case unavailable(String)
}

/// Bytes of memory kept back for the node itself: upstream's hard eviction limit.
package let memoryReservedBytes: Int64 = 100 << 20
/// Images that a Node lists.
package let nodeImagesMax = 50

/// The labels every Linux node has.
package func nodeLabels(_ configuration: KubeletConfiguration, _ facts: MachineFacts) -> [String: String] {
  var labels = [
    "kubernetes.io/hostname": configuration.nodeName, "kubernetes.io/os": "linux", "kubernetes.io/arch": facts.architecture,
    "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": facts.architecture,
  ]
  labels.merge(configuration.nodeLabels) { $1 }
  return labels
}

/// The Node to create.
package func newNode(_ configuration: KubeletConfiguration, _ input: NodeStatusInput, now: Timestamp) -> JSON {
  var node: JSON = [
    "apiVersion": "v1", "kind": "Node",
    "metadata": [
      "name": .string(configuration.nodeName), "labels": JSON(nodeLabels(configuration, input.facts)),
      "annotations": [
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        LocalVolumes.rootAnnotation: .string(LocalVolumes(dataDirectory: configuration.dataDirectory).root.string),
      ],
    ],
    "spec": .object(JSONObject()),
  ]
  var taints = configuration.taints
  if let cloud = configuration.cloud {
    taints.append(["key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"])
    node["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"] = JSON(cloud.nodeIP)
  }
  if !taints.isEmpty { node["spec"]["taints"] = .array(taints) }
  node["status"] = nodeStatus(previous: .null, configuration, input, now: now)
  return node
}

/// The Node's status on top of `previous`: capacities that others have put there stay, and count as allocatable.
package func nodeStatus(previous: JSON, _ configuration: KubeletConfiguration, _ input: NodeStatusInput, now: Timestamp) -> JSON {
  var status = previous
  let facts = input.facts
  status["addresses"] = addresses(previous: previous["addresses"], configuration)
  setCapacity(&status, configuration, facts)
  status["nodeInfo"] = [
    "machineID": .string(facts.machineID), "systemUUID": .string(facts.systemUUID), "bootID": .string(facts.bootID),
    "kernelVersion": .string(facts.kernelVersion), "osImage": .string(facts.osImage),
    "containerRuntimeVersion": .string("swiftlet://\(bareVersion(configuration.version))"),
    "kubeletVersion": .string(configuration.version), "kubeProxyVersion": "", "operatingSystem": "linux",
    "architecture": .string(facts.architecture), "swap": ["capacity": .int(facts.swapBytes)],
  ]
  status["daemonEndpoints"] = ["kubeletEndpoint": ["Port": JSON(configuration.port)]]
  let images = input.images.sorted { ($0.bytes, $1.names.first ?? "") > ($1.bytes, $0.names.first ?? "") }.prefix(nodeImagesMax)
  status["images"] = .array(images.map { ["names": JSON($0.names), "sizeBytes": .int($0.bytes)] })
  status["runtimeHandlers"] = .array(
    RuntimeClasses.handlers.map { ["name": .string($0), "features": ["recursiveReadOnlyMounts": true, "userNamespaces": false]] })
  status["features"] = ["supplementalGroupsPolicy": true]
  status["conditions"] = nodeConditions(previous: previous["conditions"].array ?? [], configuration, input, now: now)
  return status
}

/// What a cloud has said stays; until then only an address that the node was told to use is known.
private func addresses(previous: JSON, _ configuration: KubeletConfiguration) -> JSON {
  if let cloud = configuration.cloud {
    if !previous.isEmpty { return previous }
    guard cloud.nodeIP != nil else { return .null }
  }
  return .array(
    configuration.addresses.map { ["type": "InternalIP", "address": .string($0)] }
      + [["type": "Hostname", "address": .string(configuration.nodeName)]])
}

/// `v1.36.2+swiftlet.0.1` -> `0.1`; any other version without its v.
private func bareVersion(_ version: String) -> String {
  if let plus = version.firstIndex(of: "+") {
    let own = version[version.index(after: plus)...]
    return own.hasPrefix("swiftlet.") ? String(own.dropFirst("swiftlet.".count)) : String(own)
  }
  return version.hasPrefix("v") ? String(version.dropFirst()) : version
}

private func setCapacity(_ status: inout JSON, _ configuration: KubeletConfiguration, _ facts: MachineFacts) {
  var capacity = status["capacity"].object ?? JSONObject()
  func kilobytes(_ bytes: Int64) -> JSON { .string("\(bytes / 1024)Ki") }
  capacity["cpu"] = .string("\(facts.cpus)")
  capacity["memory"] = kilobytes(facts.memoryBytes)
  capacity["ephemeral-storage"] = kilobytes(facts.diskBytes)
  capacity["pods"] = .string("\(configuration.maxPods)")
  for (size, bytes) in facts.hugePages.sorted(by: { $0.key < $1.key }) {
    let name = size >= 1 << 20 ? "\(size >> 20)Gi" : size >= 1 << 10 ? "\(size >> 10)Mi" : "\(size)Ki"
    capacity["hugepages-\(name)"] = bytes == 0 ? "0" : kilobytes(bytes)
  }
  var allocatable = capacity
  let pagesBytes = facts.hugePages.values.reduce(0, +)
  allocatable["memory"] = kilobytes(max(0, facts.memoryBytes - memoryReservedBytes - pagesBytes))
  allocatable["ephemeral-storage"] = .string("\(facts.diskBytes / 10 * 9)")
  status["capacity"] = .object(capacity)
  status["allocatable"] = .object(allocatable)
}

// MARK: - Conditions

private let ownConditions: Set<String> = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready", "CgroupControllersMissing"]

private func nodeConditions(
  previous: [JSON], _ configuration: KubeletConfiguration, _ input: NodeStatusInput, now: Timestamp
) -> JSON {
  func condition(_ type: String, _ status: String, _ reason: String, _ message: String) -> JSON {
    let before = previous.first { $0["type"].string == type }
    let kept = before?["status"].string == status ? before?["lastTransitionTime"].string : nil
    return [
      "type": .string(type), "status": .string(status), "lastHeartbeatTime": .string(now.rfc3339),
      "lastTransitionTime": .string(kept ?? now.rfc3339), "reason": .string(reason), "message": .string(message),
    ]
  }
  func pressure(_ type: String, _ isHigh: Bool, _ high: (String, String), _ low: (String, String)) -> JSON {
    isHigh ? condition(type, "True", high.0, high.1) : condition(type, "False", low.0, low.1)
  }
  var result = previous.filter { !ownConditions.contains($0["type"].string ?? "") }
  result.append(
    pressure(
      "MemoryPressure", input.pressure.memory, ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
      ("KubeletHasSufficientMemory", "kubelet has sufficient memory available")))
  result.append(
    pressure(
      "DiskPressure", input.pressure.disk, ("KubeletHasDiskPressure", "kubelet has disk pressure"),
      ("KubeletHasNoDiskPressure", "kubelet has no disk pressure")))
  result.append(
    pressure(
      "PIDPressure", input.pressure.processes, ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
      ("KubeletHasSufficientPID", "kubelet has sufficient PID available")))
  if let network = input.network {
    result.removeAll { $0["type"].string == "NetworkUnavailable" }
    switch network {
    case .available:
      result.append(condition("NetworkUnavailable", "False", "PodNetworkReady", "pods of other nodes are reached"))
    case .unavailable(let message): result.append(condition("NetworkUnavailable", "True", "PodNetworkFailed", message))
    }
  }
  if !configuration.missingControllers.isEmpty {
    let names = configuration.missingControllers.joined(separator: ", ")
    result.append(
      condition(
        "CgroupControllersMissing", "True", "LimitsNotEnforced",
        "cgroup v2 lacks the controllers \(names): pods' limits of them are not enforced. Boot with systemd.unified_cgroup_hierarchy=1 (and cgroup_no_v1=all) to get them."
      ))
  }
  result.append(
    input.problems.isEmpty
      ? condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
      : condition("Ready", "False", "KubeletNotReady", "[\(input.problems.joined(separator: ", "))]"))
  return .array(result)
}

/// Whether two statuses differ in more than heartbeats.
package func nodeStatusChanged(from old: JSON, to new: JSON) -> Bool {
  func still(_ status: JSON) -> JSON {
    var status = status.withoutNulls
    status["conditions"] = .array(
      (status["conditions"].array ?? []).map {
        var condition = $0
        condition["lastHeartbeatTime"] = .null
        return condition
      })
    return status
  }
  return still(old) != still(new)
}
