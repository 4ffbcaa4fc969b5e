import JSONCodec

/// What a Service's type needs.
enum ServiceType {
  static func hasAddress(_ spec: JSON) -> Bool { spec["type"].string != "ExternalName" }

  static func hasNodePorts(_ spec: JSON) -> Bool {
    switch spec["type"].string {
    case "NodePort": true
    case "LoadBalancer": spec["allocateLoadBalancerNodePorts"].bool ?? true
    default: false
    }
  }

  static func isExternal(_ spec: JSON) -> Bool { ["NodePort", "LoadBalancer"].contains(spec["type"].string) }
  static func isLoadBalancer(_ spec: JSON) -> Bool { spec["type"].string == "LoadBalancer" }
  static func hasHealthCheckPort(_ spec: JSON) -> Bool { isLoadBalancer(spec) && spec["externalTrafficPolicy"].string == "Local" }

  /// Drops what only the former type needed, where the writer left it as it was: `kubectl patch` of the type alone must not
  /// be refused for fields that the server had filled in. A field that the writer set stays, for validation to judge.
  static func dropStaleFields(_ service: inout JSON, old: JSON) {
    let before = old["spec"]
    var spec = service["spec"]
    func drop(_ fields: String..., where need: (JSON) -> Bool) {
      guard need(before), !need(spec) else { return }
      for field in fields where spec[field] == before[field] { spec[field] = .null }
    }
    let ports: (JSON) -> [JSON] = { ($0["ports"].array ?? []).map { $0["nodePort"] } }
    if hasNodePorts(before), !hasNodePorts(spec), ports(spec) == ports(before), var list = spec["ports"].array {
      for i in list.indices { list[i]["nodePort"] = .null }
      spec["ports"] = .array(list)
    }
    drop("healthCheckNodePort", where: hasHealthCheckPort)
    drop("externalTrafficPolicy", where: isExternal)
    drop("allocateLoadBalancerNodePorts", "loadBalancerClass", where: isLoadBalancer)
    drop("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy", where: hasAddress)
    service["spec"] = spec
  }
}
