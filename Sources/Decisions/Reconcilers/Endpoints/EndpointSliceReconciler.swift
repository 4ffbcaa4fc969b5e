import JSONCodec
import KubernetesAPI

/// Tells in EndpointSlices which pods are behind a service with a selector.
package struct EndpointSliceReconciler: Reconciler {
  /// Endpoints in one slice.
  static let endpointsMax = 100
  static let managedByLabel = "endpointslice.kubernetes.io/managed-by"
  static let serviceLabel = "kubernetes.io/service-name"
  static let headlessLabel = "service.kubernetes.io/headless"
  static let manager = "endpointslice-controller.k8s.io"
  static let changeTime = "endpoints.kubernetes.io/last-change-trigger-time"

  package let name = "endpoint-slice-controller"
  package let watched: [Kind] = [.service, .pod, .endpointSlice, .node]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .service: return [change.name]
    case .pod: return ServicePods.keys(for: change, in: cluster)
    case .endpointSlice: return Self.serviceKeys(change, manager: Self.manager)
    default:
      // A node's zone matters to its endpoints; its heartbeats do not.
      guard change.states.count == 2, Self.zone(change.old) != Self.zone(change.new) else { return [] }
      return cluster.objects(.service, namespace: nil).filter { ServicePods.selector($0) != nil }.map(\.objectName)
    }
  }

  static func serviceKeys(_ change: Change, manager: String) -> [ObjectName] {
    change.states.compactMap { slice in
      let labels = slice["metadata"]["labels"]
      guard labels[managedByLabel].string == manager, let service = labels[serviceLabel].string else { return nil }
      return ObjectName(change.name.namespace, service)
    }
  }

  static func zone(_ node: JSON?) -> String? { node?["metadata"]["labels"]["topology.kubernetes.io/zone"].string }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    let present = cluster.objects(.endpointSlice, namespace: key.namespace).filter {
      let labels = $0["metadata"]["labels"]
      return labels[Self.serviceLabel].string == key.name && labels[Self.managedByLabel].string == Self.manager && !$0.isBeingDeleted
    }
    guard let service = cluster.object(.service, key), !service.isBeingDeleted, ServicePods.selector(service) != nil else {
      return present.map { .delete(.endpointSlice, $0.objectName, uid: $0.uid) }
    }
    let pods = ServicePods(service, in: cluster)
    // What belonged to a service of the same name that is gone goes with it.
    let (own, strange) = present.partitioned { $0.meta.ownerReferences.contains { $0["uid"].string == service.uid } }
    var writes: [Write] = strange.map { .delete(.endpointSlice, $0.objectName, uid: $0.uid) }
    for family in ["IPv4", "IPv6"] {
      let slices = own.filter { $0["addressType"].string == family }
      guard pods.families.contains(family) else {
        writes += slices.map { .delete(.endpointSlice, $0.objectName, uid: $0.uid) }
        continue
      }
      let plan = SlicePlan(
        kind: .service, owner: service, family: family, labels: Self.labels(service, isHeadless: pods.isHeadless), annotations: .null,
        endpointsMax: Self.endpointsMax, now: circumstances.now)
      writes += plan.writes(groups(pods, family), present: slices)
    }
    return writes
  }

  static func labels(_ service: JSON, isHeadless: Bool) -> JSON {
    var labels = service["metadata"]["labels"]
    for reserved in [managedByLabel, serviceLabel, headlessLabel, "endpointslice.kubernetes.io/skip-mirror"] { labels[reserved] = .null }
    labels[serviceLabel] = service["metadata"]["name"]
    labels[managedByLabel] = .string(manager)
    if isHeadless { labels[headlessLabel] = "" }
    return labels
  }

  /// The endpoints by the ports that they have.
  private func groups(_ pods: ServicePods, _ family: String) -> [EndpointGroup] {
    var groups: [EndpointGroup] = []
    for pod in pods.pods(includingTerminating: true) {
      let addresses = pod.podAddresses.filter { ServicePods.family($0) == family }
      guard !addresses.isEmpty else { continue }
      let ports = pods.ports(of: pod).map { Self.port($0.port, $0.number) }
      // A pod without any of the service's ports is reachable only where the service has none.
      if ports.isEmpty, !pods.ports.isEmpty { continue }
      let endpoint = endpoint(pod, addresses, pods)
      if let i = groups.firstIndex(where: { $0.ports == .array(ports) }) {
        groups[i].endpoints.append(endpoint)
      } else {
        groups.append(EndpointGroup(ports: .array(ports), endpoints: [endpoint]))
      }
    }
    return groups
  }

  private static func port(_ port: JSON, _ number: Int) -> JSON {
    [
      "name": .string(port["name"].string ?? ""), "port": JSON(number), "protocol": .string(port["protocol"].string ?? "TCP"),
      "appProtocol": port["appProtocol"],
    ]
  }

  private func endpoint(_ pod: JSON, _ addresses: [String], _ pods: ServicePods) -> JSON {
    let isServing = pod.isReadyPod
    let isReady = pods.publishesNotReady || (isServing && !pod.isBeingDeleted)
    let zone = Self.zone(pods.cluster.object(.node, "", pod.podNode))
    var endpoint: JSON = [
      "addresses": JSON(Array(addresses.prefix(1))),
      "conditions": ["ready": .bool(isReady), "serving": .bool(isServing), "terminating": .bool(pod.isBeingDeleted)],
      "hostname": JSON(pods.hostname(of: pod)), "nodeName": JSON(pod.podNode.isEmpty ? nil : pod.podNode), "zone": JSON(zone),
      "targetRef": ServicePods.reference(pod),
    ]
    guard isReady else { return endpoint }
    let preference = pods.service["spec"]["trafficDistribution"].string
    if let zone, ["PreferClose", "PreferSameZone", "PreferSameNode"].contains(preference) {
      endpoint["hints"]["forZones"] = [["name": .string(zone)]]
    }
    if preference == "PreferSameNode", !pod.podNode.isEmpty { endpoint["hints"]["forNodes"] = [["name": .string(pod.podNode)]] }
    return endpoint
  }
}

extension Array {
  func partitioned(_ isFirst: (Element) -> Bool) -> (first: [Element], second: [Element]) {
    var result: (first: [Element], second: [Element]) = ([], [])
    for element in self {
      if isFirst(element) { result.first.append(element) } else { result.second.append(element) }
    }
    return result
  }
}
