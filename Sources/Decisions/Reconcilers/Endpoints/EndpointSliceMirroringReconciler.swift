import JSONCodec
import KubernetesAPI

/// Repeats in EndpointSlices the Endpoints that somebody wrote for a service without selector.
package struct EndpointSliceMirroringReconciler: Reconciler {
  /// Addresses of one subset that are repeated, and endpoints in one slice.
  static let addressesMax = 1_000
  static let manager = "endpointslicemirroring-controller.k8s.io"

  package let name = "endpoint-slice-mirroring-controller"
  package let watched: [Kind] = [.endpoints, .service, .endpointSlice]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    change.kind == .endpointSlice ? EndpointSliceReconciler.serviceKeys(change, manager: Self.manager) : [change.name]
  }

  private static func isMirrored(_ endpoints: JSON) -> Bool {
    let metadata = endpoints["metadata"]
    return metadata["labels"]["endpointslice.kubernetes.io/skip-mirror"].string != "true"
      && metadata["annotations"]["control-plane.alpha.kubernetes.io/leader"].isNull && !endpoints.isBeingDeleted
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    let present = cluster.objects(.endpointSlice, namespace: key.namespace).filter {
      let labels = $0["metadata"]["labels"]
      return labels[EndpointSliceReconciler.serviceLabel].string == key.name
        && labels[EndpointSliceReconciler.managedByLabel].string == Self.manager && !$0.isBeingDeleted
    }
    guard let endpoints = cluster.object(.endpoints, key), Self.isMirrored(endpoints), let service = cluster.object(.service, key),
      !service.isBeingDeleted, (service["spec"]["selector"].object?.isEmpty ?? true)
    else { return present.map { .delete(.endpointSlice, $0.objectName, uid: $0.uid) } }
    var labels = endpoints["metadata"]["labels"]
    labels[EndpointsReconciler.managedByLabel] = .null
    labels[EndpointSliceReconciler.serviceLabel] = .string(key.name)
    labels[EndpointSliceReconciler.managedByLabel] = .string(Self.manager)
    var annotations = endpoints["metadata"]["annotations"]
    annotations[EndpointSliceReconciler.changeTime] = .null
    annotations["kubectl.kubernetes.io/last-applied-configuration"] = .null
    let (own, strange) = present.partitioned { $0.meta.ownerReferences.contains { $0["uid"].string == endpoints.uid } }
    var writes: [Write] = strange.map { .delete(.endpointSlice, $0.objectName, uid: $0.uid) }
    for family in ["IPv4", "IPv6"] {
      let groups = Self.groups(endpoints, family)
      let slices = own.filter { $0["addressType"].string == family }
      if groups.isEmpty {
        writes += slices.map { .delete(.endpointSlice, $0.objectName, uid: $0.uid) }
        continue
      }
      let plan = SlicePlan(
        kind: .endpoints, owner: endpoints, family: family, labels: labels, annotations: annotations.isEmpty ? .null : annotations,
        endpointsMax: Self.addressesMax, now: circumstances.now)
      writes += plan.writes(groups, present: slices)
    }
    return writes
  }

  private static func groups(_ endpoints: JSON, _ family: String) -> [EndpointGroup] {
    var groups: [EndpointGroup] = []
    for subset in endpoints["subsets"].array ?? [] {
      let ports = (subset["ports"].array ?? []).map { port -> JSON in
        [
          "name": .string(port["name"].string ?? ""), "port": port["port"], "protocol": .string(port["protocol"].string ?? "TCP"),
          "appProtocol": port["appProtocol"],
        ]
      }
      let addresses =
        (subset["addresses"].array ?? []).map { ($0, true) } + (subset["notReadyAddresses"].array ?? []).map { ($0, false) }
      let found = addresses.filter { ServicePods.family($0.0["ip"].string ?? "") == family }.prefix(addressesMax).map {
        endpoint($0, isReady: $1)
      }
      guard !found.isEmpty else { continue }
      if let i = groups.firstIndex(where: { $0.ports == .array(ports) }) {
        groups[i].endpoints += found
      } else {
        groups.append(EndpointGroup(ports: .array(ports), endpoints: found))
      }
    }
    return groups
  }

  private static func endpoint(_ address: JSON, isReady: Bool) -> JSON {
    [
      "addresses": [address["ip"]], "conditions": ["ready": .bool(isReady)], "hostname": address["hostname"],
      "nodeName": address["nodeName"], "targetRef": address["targetRef"],
    ]
  }
}
