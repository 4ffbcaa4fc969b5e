import JSONCodec
import KubernetesAPI

/// Tells in an Endpoints object, the older form, which pods are behind a service with a selector.
package struct EndpointsReconciler: Reconciler {
  /// Addresses in all subsets together.
  static let addressesMax = 1_000
  static let managedByLabel = "endpoints.kubernetes.io/managed-by"
  static let capacityAnnotation = "endpoints.kubernetes.io/over-capacity"

  package let name = "endpoint-controller"
  package let watched: [Kind] = [.service, .pod, .endpoints]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .pod: ServicePods.keys(for: change, in: cluster)
    case .endpoints: cluster.object(.service, change.name).flatMap(ServicePods.selector) == nil ? [] : [change.name]
    default: [change.name]
    }
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    let present = cluster.object(.endpoints, key)
    guard let service = cluster.object(.service, key), !service.isBeingDeleted else {
      // What somebody else wrote for a service of this name is his.
      guard let present, present["metadata"]["labels"][Self.managedByLabel].string == "endpoint-controller" else { return [] }
      return [.delete(.endpoints, key, uid: present.uid)]
    }
    guard ServicePods.selector(service) != nil else { return [] }
    let pods = ServicePods(service, in: cluster)
    var endpoints: JSON =
      present ?? [
        "apiVersion": "v1", "kind": "Endpoints", "metadata": ["name": .string(key.name), "namespace": .string(key.namespace)],
      ]
    var labels = service["metadata"]["labels"]
    labels[EndpointSliceReconciler.headlessLabel] = pods.isHeadless ? "" : .null
    labels[Self.managedByLabel] = "endpoint-controller"
    let (subsets, isTruncated) = subsets(pods)
    let before = endpoints
    endpoints["metadata"]["labels"] = labels
    if (endpoints["subsets"].array ?? []) != subsets { endpoints["subsets"] = subsets.isEmpty ? .null : .array(subsets) }
    endpoints["metadata"]["annotations"][Self.capacityAnnotation] = isTruncated ? "truncated" : .null
    if present == nil { return [.create(.endpoints, stamped(endpoints, circumstances.now))] }
    return endpoints == before ? [] : [.update(.endpoints, stamped(endpoints, circumstances.now))]
  }

  private func stamped(_ endpoints: JSON, _ now: Timestamp) -> JSON {
    var endpoints = endpoints
    endpoints["metadata"]["annotations"][EndpointSliceReconciler.changeTime] = .string(now.rfc3339)
    return endpoints
  }

  /// Addresses with the same ports stand together, the ready ones apart from the others.
  private func subsets(_ pods: ServicePods) -> ([JSON], isTruncated: Bool) {
    var groups: [(ports: [JSON], ready: [JSON], notReady: [JSON])] = []
    var count = 0
    let family = pods.families[0]
    for pod in pods.pods(includingTerminating: pods.publishesNotReady) {
      guard let ip = pod.podAddresses.first(where: { ServicePods.family($0) == family }) else { continue }
      let ports = pods.ports(of: pod).map { port, number -> JSON in
        [
          "name": JSON(port["name"].string.flatMap { $0.isEmpty ? nil : $0 }), "port": JSON(number),
          "protocol": .string(port["protocol"].string ?? "TCP"), "appProtocol": port["appProtocol"],
        ]
      }
      if ports.isEmpty, !(pods.ports.isEmpty && pods.isHeadless) { continue }
      count += 1
      guard count <= Self.addressesMax else { continue }
      let address: JSON = [
        "ip": .string(ip), "hostname": JSON(pods.hostname(of: pod)), "nodeName": JSON(pod.podNode.isEmpty ? nil : pod.podNode),
        "targetRef": ServicePods.reference(pod),
      ]
      var i = groups.firstIndex { $0.ports == ports } ?? -1
      if i < 0 {
        groups.append((ports, [], []))
        i = groups.count - 1
      }
      if pods.publishesNotReady || pod.isReadyPod { groups[i].ready.append(address) } else { groups[i].notReady.append(address) }
    }
    let subsets: [JSON] = groups.map { group in
      [
        "addresses": group.ready.isEmpty ? .null : .array(group.ready),
        "notReadyAddresses": group.notReady.isEmpty ? .null : .array(group.notReady),
        "ports": group.ports.isEmpty ? .null : .array(group.ports),
      ]
    }
    return (subsets, count > Self.addressesMax)
  }
}
