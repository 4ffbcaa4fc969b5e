import JSONCodec

extension Findings {
  mutating func service(_ service: JSON, old: JSON?) {
    let path = FieldPath("spec")
    let spec = service["spec"]
    let type = spec["type"].string ?? ""
    let isHeadless = spec["clusterIP"] == "None"
    let ports = spec["ports"].items
    if ports.isEmpty, !isHeadless, type != "ExternalName" { required(path / "ports") }
    servicePorts(ports, path / "ports", type: type)
    oneOf(spec["type"], path / "type", ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])
    if isHeadless, type == "NodePort" || type == "LoadBalancer" {
      invalid((path / "clusterIPs")[0], "None", "may not be set to 'None' for \(type) services")
    }
    if type == "ExternalName" { externalName(spec, path) }
    labels(spec["selector"], path / "selector")
    sessionAffinity(spec, path)
    addresses(spec, path)
    traffic(spec, path, type: type)
    if let old { serviceUpdate(spec, old["spec"], path) }
  }

  private mutating func servicePorts(_ ports: [JSON], _ path: FieldPath, type: String) {
    var names: Set<String> = []
    var numbers: Set<String> = []
    var nodePorts: Set<String> = []
    for (i, port) in ports.enumerated() {
      let at = path[i]
      if port["name"].isEmpty {
        if ports.count > 1 { required(at / "name") }
      } else {
        check(port["name"], at / "name", NameProblems.dnsLabel)
        if !names.insert(port["name"].string ?? "").inserted { duplicate(at / "name", port["name"]) }
      }
      range(.int(Int64(port["port"].int ?? 0)), at / "port", 1...65_535)
      if port["protocol"].isEmpty { required(at / "protocol") } else { oneOf(port["protocol"], at / "protocol", ["TCP", "UDP", "SCTP"]) }
      portOrName(port["targetPort"], at / "targetPort")
      if !port["appProtocol"].isEmpty { check(port["appProtocol"], at / "appProtocol", NameProblems.qualified) }
      let kind = port["protocol"].string ?? ""
      if !numbers.insert("\(kind)/\(port["port"].int ?? 0)").inserted {
        duplicate(at, ["port": port["port"], "protocol": port["protocol"]])
      }
      guard let nodePort = port["nodePort"].int, nodePort != 0 else { continue }
      if type == "ClusterIP" { forbidden(at / "nodePort", "may not be used when `type` is 'ClusterIP'") }
      range(port["nodePort"], at / "nodePort", 1...65_535)
      if !nodePorts.insert("\(kind)/\(nodePort)").inserted { duplicate(at / "nodePort", port["nodePort"]) }
    }
  }

  private mutating func externalName(_ spec: JSON, _ path: FieldPath) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] where !spec[field].isEmpty {
      forbidden(path / field, "may not be set for ExternalName services")
    }
    guard let name = spec["externalName"].string, !name.isEmpty else { return required(path / "externalName") }
    for problem in NameProblems.subdomain(name.hasSuffix(".") ? String(name.dropLast()) : name) {
      invalid(path / "externalName", spec["externalName"], problem)
    }
  }

  private mutating func sessionAffinity(_ spec: JSON, _ path: FieldPath) {
    if spec["sessionAffinity"].isEmpty { required(path / "sessionAffinity") }
    oneOf(spec["sessionAffinity"], path / "sessionAffinity", ["ClientIP", "None"])
    let at = path / "sessionAffinityConfig"
    if spec["sessionAffinity"] == "ClientIP" {
      range(spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], at / "clientIP" / "timeoutSeconds", 1...86_400)
    } else if !spec["sessionAffinityConfig"].isNull {
      forbidden(at, "must not be set when session affinity is None")
    }
  }

  private mutating func addresses(_ spec: JSON, _ path: FieldPath) {
    let clusterIPs = spec["clusterIPs"].items
    if clusterIPs.count > 2 { invalid(path / "clusterIPs", spec["clusterIPs"], "may only hold up to 2 values") }
    for (i, ip) in clusterIPs.enumerated() where ip != "None" { address(ip, (path / "clusterIPs")[i]) }
    if !spec["clusterIP"].isEmpty, !clusterIPs.isEmpty, clusterIPs[0] != spec["clusterIP"] {
      invalid(path / "clusterIPs", spec["clusterIPs"], "first value must match `clusterIP`")
    }
    for (i, ip) in spec["externalIPs"].items.enumerated() {
      let at = (path / "externalIPs")[i]
      address(ip, at)
      if let problem = IPAddresses.specialProblem(ip.string ?? "") { invalid(at, ip, problem) }
    }
    let families = spec["ipFamilies"].items
    if families.count > 2 { invalid(path / "ipFamilies", spec["ipFamilies"], "may only hold up to 2 values") }
    for (i, family) in families.enumerated() { oneOf(family, (path / "ipFamilies")[i], ["IPv4", "IPv6"]) }
    if spec["ipFamilyPolicy"] == "SingleStack", families.count > 1 {
      invalid(
        path / "ipFamilyPolicy", spec["ipFamilyPolicy"],
        "must be RequireDualStack or PreferDualStack when multiple `ipFamilies` are specified")
    }
  }

  private mutating func traffic(_ spec: JSON, _ path: FieldPath, type: String) {
    let isExternal = type == "LoadBalancer" || type == "NodePort" || (type == "ClusterIP" && !spec["externalIPs"].isEmpty)
    if !spec["externalTrafficPolicy"].isEmpty, !isExternal {
      invalid(path / "externalTrafficPolicy", spec["externalTrafficPolicy"], "may only be set for externally-accessible services")
    }
    oneOf(spec["externalTrafficPolicy"], path / "externalTrafficPolicy", ["Cluster", "Local"])
    oneOf(spec["internalTrafficPolicy"], path / "internalTrafficPolicy", ["Cluster", "Local"])
    oneOf(spec["trafficDistribution"], path / "trafficDistribution", ["PreferClose", "PreferSameZone", "PreferSameNode"])
    if (spec["healthCheckNodePort"].int ?? 0) != 0, type != "LoadBalancer" || spec["externalTrafficPolicy"] != "Local" {
      invalid(
        path / "healthCheckNodePort", spec["healthCheckNodePort"],
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
    }
    for (i, range) in spec["loadBalancerSourceRanges"].items.enumerated()
    where !IPAddresses.isCIDR((range.string ?? "").filter { $0 != " " }) {
      // Upstream's own spelling of the field.
      invalid((path / "LoadBalancerSourceRanges")[i], range, IPAddresses.cidrProblem)
    }
    guard type != "LoadBalancer" else { return }
    for field in ["loadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "loadBalancerClass"] where !spec[field].isEmpty {
      forbidden(path / field, "may only be used when `type` is 'LoadBalancer'")
    }
  }

  private mutating func serviceUpdate(_ new: JSON, _ old: JSON, _ path: FieldPath) {
    let wasExternalName = old["type"] == "ExternalName"
    let isExternalName = new["type"] == "ExternalName"
    if !wasExternalName, !isExternalName, !old["clusterIP"].isEmpty, new["clusterIP"] != old["clusterIP"] {
      invalid((path / "clusterIPs")[0], new["clusterIP"].isNull ? "" : new["clusterIP"], "may not change once set")
    }
    if old["type"] == "LoadBalancer", new["type"] == "LoadBalancer", new["loadBalancerClass"] != old["loadBalancerClass"] {
      invalid(path / "loadBalancerClass", new["loadBalancerClass"], "may not change once set")
    }
  }
}
