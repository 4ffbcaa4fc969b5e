import JSONCodec

extension Defaulting {
  /// Addresses and node ports are given by the server, not here.
  static let serviceRules: [String: Rule] = [
    "core/v1.Service": { service in
      guard service["spec"]["type"] == "LoadBalancer", !service["status"]["loadBalancer"]["ingress"].isNull else { return }
      service["status"]["loadBalancer"]["ingress"].forEachItem { ingress in
        if !ingress["ip"].isEmpty { ingress.fill("ipMode", "VIP") }
      }
    },
    "core/v1.ServiceSpec": { spec in
      switch spec["sessionAffinity"].string {
      case "None": spec["sessionAffinityConfig"] = .null
      case "ClientIP": spec["sessionAffinityConfig"]["clientIP"].fill("timeoutSeconds", 10_800)
      default: break
      }
      let type = spec["type"].string
      let isExternal = type == "NodePort" || type == "LoadBalancer"
      let hasExternalAddress = isExternal || (type == "ClusterIP" && !spec["externalIPs"].isEmpty)
      if hasExternalAddress, spec["externalTrafficPolicy"].isEmpty { spec["externalTrafficPolicy"] = "Cluster" }
      if isExternal || type == "ClusterIP" { spec.fill("internalTrafficPolicy", "Cluster") }
      if type == "LoadBalancer" { spec.fill("allocateLoadBalancerNodePorts", true) }
    },
    "core/v1.ServicePort": { port in
      if port["targetPort"].isEmpty || port["targetPort"] == 0 { port["targetPort"] = port["port"] }
    },
  ]
}
