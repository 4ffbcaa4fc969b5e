import JSONCodec
import KubernetesAPI

/// Why a node does not take a pod that was bound to it.
package struct PodRejection: Sendable, Equatable {
  /// `status.reason`: NodePorts, OutOfcpu, NodeAffinity, SysctlForbidden, ...
  package let reason: String
  package let message: String
  package init(reason: String, message: String) {
    self.reason = reason
    self.message = message
  }
}

/// The node's own check of a pod that somebody has bound to it, maybe past the scheduler. `others` are the pods that are
/// admitted and have not ended. Nil: the pod is taken.
package func podRejection(of pod: Pod, on node: Node, others: [Pod], allowedUnsafeSysctls: [String] = []) -> PodRejection? {
  forbiddenSysctl(pod, allowedUnsafeSysctls) ?? unenforceableAppArmor(pod) ?? wrongOS(pod) ?? unmatchedSelector(pod, node) ?? takenPort(
    pod, others)
    ?? missingResource(pod, node, others)
}

/// Sysctls that belong to a namespace of the pod and can do no harm outside of it.
package let safeSysctls: Set<String> = [
  "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
]

private func forbiddenSysctl(_ pod: Pod, _ allowed: [String]) -> PodRejection? {
  for sysctl in pod.spec.securityContext["sysctls"].array ?? [] {
    let name = sysctl["name"].string ?? ""
    let isAllowed = safeSysctls.contains(name) || allowed.contains { $0 == name || ($0.hasSuffix("*") && name.hasPrefix($0.dropLast())) }
    if !isAllowed { return PodRejection(reason: "SysctlForbidden", message: "forbidden sysctl: \"\(name)\" not allowlisted") }
    let ofNetwork = name.hasPrefix("net.")
    if ofNetwork && pod.spec.hostNetwork {
      return PodRejection(reason: "SysctlForbidden", message: "forbidden sysctl: \"\(name)\" not allowed with host net enabled")
    }
    if !ofNetwork && pod.spec.hostIPC {
      return PodRejection(reason: "SysctlForbidden", message: "forbidden sysctl: \"\(name)\" not allowed with host ipc enabled")
    }
  }
  return nil
}

/// A pod that wants to be confined by AppArmor does not run without it.
private func unenforceableAppArmor(_ pod: Pod) -> PodRejection? {
  func wants(_ context: JSON) -> Bool {
    guard let type = context["appArmorProfile"]["type"].string else { return false }
    return type != "Unconfined"
  }
  guard wants(pod.spec.securityContext) || pod.containersWithRoles.contains(where: { wants($0.container.securityContext) }) else {
    return nil
  }
  return PodRejection(
    reason: "AppArmor", message: "Cannot enforce AppArmor: AppArmor is not enabled on the host: this node's runtime does not use it")
}

private func wrongOS(_ pod: Pod) -> PodRejection? {
  guard let os = pod.spec.json["os"]["name"].string, os != "linux" else { return nil }
  return PodRejection(
    reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS")
}

private func unmatchedSelector(_ pod: Pod, _ node: Node) -> PodRejection? {
  let affinity = pod.spec.json["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
  let selectorMatches = (pod.spec.nodeSelector.object ?? JSONObject()).allSatisfy { node.labels[$0.0] == $0.1 }
  let terms = affinity["nodeSelectorTerms"].array ?? []
  let affinityMatches =
    affinity.isNull
    || terms.contains { term in
      let hasAny = !term["matchExpressions"].isEmpty || !term["matchFields"].isEmpty
      let labels = LabelSelector(json: ["matchExpressions": term["matchExpressions"]])?.matches(node.labels) ?? false
      let fields =
        LabelSelector(json: ["matchExpressions": term["matchFields"]])?.matches { $0 == "metadata.name" ? node.name : nil } ?? false
      return hasAny && labels && fields
    }
  if selectorMatches && affinityMatches { return nil }
  return PodRejection(reason: "NodeAffinity", message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")
}

// MARK: - Ports and resources

/// A port of the node that a pod takes.
package struct NodePort: Sendable, Hashable {
  package let transport: String
  /// "" and "0.0.0.0" are every address.
  package let address: String
  package let port: Int

  package func collides(with other: NodePort) -> Bool {
    port == other.port && transport == other.transport && (isAny || other.isAny || address == other.address)
  }
  private var isAny: Bool { address.isEmpty || address == "0.0.0.0" || address == "::" }

  /// The host ports of a pod's containers; with hostNetwork every declared port is one (the API server defaults it so).
  package static func all(of pod: Pod) -> [NodePort] {
    let containers = pod.spec.containers + pod.spec.initContainers.filter(\.isSidecar)
    return containers.flatMap(\.ports).compactMap { port in
      guard let number = port["hostPort"].int, number > 0 else { return nil }
      return NodePort(transport: port["protocol"].string ?? "TCP", address: port["hostIP"].string ?? "", port: number)
    }
  }
}

private func takenPort(_ pod: Pod, _ others: [Pod]) -> PodRejection? {
  let wanted = NodePort.all(of: pod)
  guard !wanted.isEmpty else { return nil }
  let taken = others.flatMap(NodePort.all)
  guard wanted.contains(where: { want in taken.contains { want.collides(with: $0) } }) else { return nil }
  return PodRejection(
    reason: "NodePorts", message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports")
}

/// What a pod asks of the node: the sum of its containers or its largest init container, and its overhead.
package func podRequest(_ pod: Pod, _ resource: String) -> Quantity {
  let overhead = pod.spec.json["overhead"][resource].quantity ?? Quantity(0)
  // What the pod names as a whole stands above its containers.
  let whole = pod.spec.json["resources"]
  if let named = whole["requests"][resource].quantity ?? whole["limits"][resource].quantity { return named + overhead }
  func amount(_ container: Container) -> Quantity { container.request(resource) ?? container.limit(resource) ?? Quantity(0) }
  var sidecars = Quantity(0)
  var start = Quantity(0)
  for container in pod.spec.initContainers {
    if container.isSidecar {
      sidecars = sidecars + amount(container)
      start = max(start, sidecars)
    } else {
      start = max(start, sidecars + amount(container))
    }
  }
  let running = pod.spec.containers.reduce(sidecars) { $0 + amount($1) }
  return max(start, running) + overhead
}

func missingResource(_ pod: Pod, _ node: Node, _ others: [Pod]) -> PodRejection? {
  if let most = node.allocatable("pods")?.value, Int64(others.count) + 1 > most {
    return PodRejection(
      reason: "OutOfpods",
      message: "Node didn't have enough resource: pods, requested: 1, used: \(others.count), capacity: \(most)")
  }
  for (resource, _) in node.status["allocatable"].object ?? JSONObject() where resource != "pods" {
    guard let capacity = node.allocatable(resource) else { continue }
    let want = podRequest(pod, resource)
    guard want > Quantity(0) else { continue }
    let used = others.reduce(Quantity(0)) { $0 + podRequest($1, resource) }
    guard used + want > capacity else { continue }
    func number(_ quantity: Quantity) -> Int64 { resource == "cpu" ? quantity.milliValue : quantity.value }
    return PodRejection(
      reason: "OutOf\(resource)",
      message:
        "Node didn't have enough resource: \(resource), requested: \(number(want)), used: \(number(used)), capacity: \(number(capacity))")
  }
  return nil
}
