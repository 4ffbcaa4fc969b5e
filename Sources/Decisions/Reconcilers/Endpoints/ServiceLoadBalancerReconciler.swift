import JSONCodec
import KubernetesAPI

/// Gives Services of type LoadBalancer the addresses of the nodes: every node answers at the service's ports, since the service proxy
/// takes in what goes to an address of the load balancer. For machines without a cloud.
package struct ServiceLoadBalancerReconciler: Reconciler {
  static let exclusion = "node.kubernetes.io/exclude-from-external-load-balancers"

  package let name = "service-lb-controller"
  package let watched: [Kind] = [.service, .node, .endpointSlice]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .service: return change.new.map(Self.isOurs) == true ? [change.name] : []
    case .endpointSlice:
      guard let service = change.object["metadata"]["labels"]["kubernetes.io/service-name"].string else { return [] }
      let name = ObjectName(change.name.namespace, service)
      return cluster.object(.service, name).map { Self.isOurs($0) && Self.isLocal($0) } == true ? [name] : []
    default:
      // Heartbeats change nothing here.
      guard change.old.map(Self.address) != change.new.map(Self.address) else { return [] }
      return cluster.objects(.service, namespace: nil).filter(Self.isOurs).map(\.objectName)
    }
  }

  private static func isOurs(_ service: JSON) -> Bool {
    service["spec"]["type"].string == "LoadBalancer" && service["spec"]["loadBalancerClass"].isNull && !service.isBeingDeleted
  }

  private static func isLocal(_ service: JSON) -> Bool { service["spec"]["externalTrafficPolicy"].string == "Local" }

  /// Where a node is reached; nil where nothing is to be sent to it.
  private static func address(_ node: JSON) -> String? {
    guard node.condition("Ready")?["status"].string == "True", node["metadata"]["labels"][exclusion].isNull, !node.isBeingDeleted else {
      return nil
    }
    return (node["status"]["addresses"].array ?? []).first { $0["type"].string == "InternalIP" }?["address"].string
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let service = cluster.object(.service, key), Self.isOurs(service) else { return [] }
    var nodes = cluster.objects(.node, namespace: nil)
    if Self.isLocal(service) {
      let slices = cluster.objects(.endpointSlice, namespace: key.namespace).filter {
        $0["metadata"]["labels"]["kubernetes.io/service-name"].string == key.name
      }
      let serving = Set(
        slices.flatMap { $0["endpoints"].array ?? [] }.filter { $0["conditions"]["ready"].bool != false }.compactMap {
          $0["nodeName"].string
        })
      nodes = nodes.filter { serving.contains($0.objectName.name) }
    }
    let present = (service["status"]["loadBalancer"]["ingress"].array ?? []).compactMap { $0["ip"].string }
    let wanted = nodes.compactMap(Self.address).sorted()
    guard present != wanted else { return [] }
    var status = service["status"]
    status["loadBalancer"] =
      wanted.isEmpty ? .object(JSONObject()) : ["ingress": .array(wanted.map { ["ip": .string($0), "ipMode": "VIP"] })]
    return [
      .status(.service, service, status),
      .event(.service, service, "EnsuredLoadBalancer", "Nodes answer for this service: \(wanted.joined(separator: ", "))"),
    ]
  }
}
