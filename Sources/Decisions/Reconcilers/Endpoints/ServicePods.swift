import JSONCodec
import KubernetesAPI

/// The pods behind a service, as both kinds of endpoints see them.
struct ServicePods {
  let service: JSON
  let cluster: any ClusterReader

  init(_ service: JSON, in cluster: any ClusterReader) {
    self.service = service
    self.cluster = cluster
  }

  var namespace: String { service["metadata"]["namespace"].string ?? "" }
  var isHeadless: Bool { service["spec"]["clusterIP"].string == "None" }
  var publishesNotReady: Bool { service["spec"]["publishNotReadyAddresses"].bool == true }
  var ports: [JSON] { service["spec"]["ports"].array ?? [] }
  /// Address families: IPv4, IPv6.
  var families: [String] {
    let families = (service["spec"]["ipFamilies"].array ?? []).compactMap(\.string)
    return families.isEmpty ? ["IPv4"] : families
  }

  /// Nil where somebody else says what is behind the service.
  static func selector(_ service: JSON) -> LabelSelector? {
    guard let labels = service["spec"]["selector"].object, !labels.isEmpty, service["spec"]["type"].string != "ExternalName" else {
      return nil
    }
    return LabelSelector(json: ["matchLabels": service["spec"]["selector"]])
  }

  /// Pods that the service selects and that have an address, in the order of their names.
  func pods(includingTerminating: Bool) -> [JSON] {
    guard let selector = Self.selector(service) else { return [] }
    return cluster.objects(.pod, namespace: namespace).filter { pod in
      guard !pod.hasEnded, !pod.podAddresses.isEmpty, includingTerminating || !pod.isBeingDeleted else { return false }
      return selector.matches(pod["metadata"]["labels"])
    }.sorted { ($0["metadata"]["name"].string ?? "") < ($1["metadata"]["name"].string ?? "") }
  }

  /// The ports of the service as they are in a pod; one that the pod does not name is left out.
  func ports(of pod: JSON) -> [(port: JSON, number: Int)] {
    ports.compactMap { port in
      let target = port["targetPort"]
      if let number = target.int, number != 0 { return (port, number) }
      if let name = target.string, !name.isEmpty {
        return Self.number(ofPort: name, port["protocol"].string ?? "TCP", in: pod).map { (port, $0) }
      }
      return port["port"].int.map { (port, $0) }
    }
  }

  private static func number(ofPort name: String, _ transport: String, in pod: JSON) -> Int? {
    let sidecars = (pod["spec"]["initContainers"].array ?? []).filter { $0["restartPolicy"].string == "Always" }
    for container in (pod["spec"]["containers"].array ?? []) + sidecars {
      for port in container["ports"].array ?? []
      where port["name"].string == name && port["protocol"].string ?? "TCP" == transport { return port["containerPort"].int }
    }
    return nil
  }

  func hostname(of pod: JSON) -> String? {
    guard let hostname = pod["spec"]["hostname"].string, !hostname.isEmpty,
      pod["spec"]["subdomain"].string == service["metadata"]["name"].string
    else { return nil }
    return hostname
  }

  static func reference(_ pod: JSON) -> JSON {
    ["kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"], "uid": .string(pod.uid)]
  }

  static func family(_ address: String) -> String { address.contains(":") ? "IPv6" : "IPv4" }

  /// The services of a namespace that a change of a pod concerns.
  static func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    let relevant = change.states.map { pod -> JSON in
      [
        "labels": pod["metadata"]["labels"], "ips": pod["status"]["podIPs"], "ready": .bool(pod.isReadyPod), "ended": .bool(pod.hasEnded),
        "going": .bool(pod.isBeingDeleted), "node": pod["spec"]["nodeName"], "host": pod["spec"]["hostname"],
      ]
    }
    if relevant.count == 2, relevant[0] == relevant[1] { return [] }
    return cluster.objects(.service, namespace: change.name.namespace).compactMap { service in
      guard let selector = selector(service) else { return nil }
      return change.states.contains { selector.matches($0["metadata"]["labels"]) } ? service.objectName : nil
    }
  }
}
