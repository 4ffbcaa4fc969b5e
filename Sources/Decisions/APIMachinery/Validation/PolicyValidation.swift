import JSONCodec

extension Findings {
  mutating func podDisruptionBudget(_ budget: JSON) {
    let spec = budget["spec"]
    if !spec["minAvailable"].isNull, !spec["maxUnavailable"].isNull {
      invalid(FieldPath("spec"), spec, "minAvailable and maxUnavailable cannot be both set")
    }
    for field in ["minAvailable", "maxUnavailable"] {
      countOrPercent(spec[field], FieldPath("spec") / field)
      if let text = spec[field].string, let value = Int(text.dropLast()), value > 100 {
        invalid(FieldPath("spec") / field, spec[field], "must not be greater than 100%")
      }
    }
    labelSelector(spec["selector"], FieldPath("spec.selector"))
  }

  mutating func priorityClass(_ priority: JSON, old: JSON?) {
    let name = priority["metadata"]["name"].string ?? ""
    let isSystem = ["system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000]
    if name.hasPrefix("system-"), isSystem[name] != priority["value"].int {
      forbidden(
        FieldPath("metadata.name"),
        "priority class names with 'system-' prefix are reserved for system use only. error: the name is not known or its value differs")
    } else if !name.hasPrefix("system-"), (priority["value"].int ?? 0) > 1_000_000_000 {
      forbidden(FieldPath("value"), "maximum allowed value of a user defined priority is 1000000000")
    }
    guard let old else { return }
    if (priority["value"].int ?? 0) != (old["value"].int ?? 0) { forbidden(FieldPath("value"), "may not be changed in an update.") }
    if priority["preemptionPolicy"] != old["preemptionPolicy"] {
      immutable(priority["preemptionPolicy"], old["preemptionPolicy"], FieldPath("preemptionPolicy"))
    }
  }

  mutating func rbac(_ object: JSON, old: JSON?, kind: String) {
    if kind.hasSuffix("Role") {
      for (i, rule) in object["rules"].items.enumerated() { policyRule(rule, FieldPath("rules")[i], isNamespaced: kind == "Role") }
      labelSelectorsOfAggregation(object)
      return
    }
    let role = object["roleRef"]
    if role["apiGroup"] != "rbac.authorization.k8s.io" {
      notSupported(FieldPath("roleRef.apiGroup"), role["apiGroup"], ["rbac.authorization.k8s.io"])
    }
    let kinds = kind == "RoleBinding" ? ["Role", "ClusterRole"] : ["ClusterRole"]
    if !kinds.contains(role["kind"].string ?? "") {
      notSupported(FieldPath("roleRef.kind"), role["kind"].isNull ? "" : role["kind"], kinds)
    }
    requiredText(role["name"], FieldPath("roleRef.name"), NameProblems.pathSegment)
    for (i, subject) in object["subjects"].items.enumerated() {
      self.subject(subject, FieldPath("subjects")[i], isNamespaced: kind == "RoleBinding")
    }
    if let old, role != old["roleRef"] { invalid(FieldPath("roleRef"), role, "cannot change roleRef") }
  }

  private mutating func labelSelectorsOfAggregation(_ role: JSON) {
    for (i, selector) in role["aggregationRule"]["clusterRoleSelectors"].items.enumerated() {
      labelSelector(selector, FieldPath("aggregationRule.clusterRoleSelectors")[i])
    }
  }

  private mutating func policyRule(_ rule: JSON, _ path: FieldPath, isNamespaced: Bool) {
    if rule["verbs"].isEmpty { required(path / "verbs", "verbs must contain at least one value") }
    if !rule["nonResourceURLs"].isEmpty {
      if isNamespaced { invalid(path / "nonResourceURLs", rule["nonResourceURLs"], "namespaced rules cannot apply to non-resource URLs") }
      if !rule["apiGroups"].isEmpty || !rule["resources"].isEmpty || !rule["resourceNames"].isEmpty {
        invalid(path / "nonResourceURLs", rule["nonResourceURLs"], "rules cannot apply to both regular resources and non-resource URLs")
      }
      return
    }
    if rule["apiGroups"].isEmpty { required(path / "apiGroups", "resource rules must supply at least one api group") }
    if rule["resources"].isEmpty { required(path / "resources", "resource rules must supply at least one resource") }
  }

  private mutating func subject(_ subject: JSON, _ path: FieldPath, isNamespaced: Bool) {
    if subject["name"].isEmpty { required(path / "name") }
    switch subject["kind"].string ?? "" {
    case "ServiceAccount":
      if !subject["name"].isEmpty { check(subject["name"], path / "name", NameProblems.subdomain) }
      if !subject["apiGroup"].isEmpty { notSupported(path / "apiGroup", subject["apiGroup"], [""]) }
      if !isNamespaced, subject["namespace"].isEmpty { required(path / "namespace") }
    case "User", "Group":
      if subject["apiGroup"] != "rbac.authorization.k8s.io" {
        notSupported(path / "apiGroup", subject["apiGroup"], ["rbac.authorization.k8s.io"])
      }
    default: notSupported(path / "kind", subject["kind"].isNull ? "" : subject["kind"], ["ServiceAccount", "User", "Group"])
    }
  }

  mutating func networkPolicy(_ policy: JSON) {
    let spec = policy["spec"]
    let path = FieldPath("spec")
    labelSelector(spec["podSelector"], path / "podSelector")
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
      for (i, rule) in spec[direction].items.enumerated() {
        let at = (path / direction)[i]
        for (j, port) in rule["ports"].items.enumerated() { policyPort(port, (at / "ports")[j]) }
        for (j, peer) in rule[peers].items.enumerated() { self.peer(peer, (at / peers)[j]) }
      }
    }
    let types = spec["policyTypes"].items
    if types.count > 2 { invalid(path / "policyTypes", spec["policyTypes"], "may not specify more than two policyTypes") }
    for (i, type) in types.enumerated() { oneOf(type, (path / "policyTypes")[i], ["Egress", "Ingress"]) }
  }

  private mutating func policyPort(_ port: JSON, _ path: FieldPath) {
    oneOf(port["protocol"], path / "protocol", ["SCTP", "TCP", "UDP"])
    if port["port"].isNull {
      if !port["endPort"].isNull { required(path / "port", "must be specified when endPort is specified") }
      return
    }
    portOrName(port["port"], path / "port")
    guard let end = port["endPort"].int else { return }
    if port["port"].string != nil {
      invalid(path / "endPort", .int(Int64(end)), "may not be specified when `port` is non-numeric")
    } else if end < port["port"].int ?? 0 {
      invalid(path / "endPort", .int(Int64(port["port"].int ?? 0)), "must be greater than or equal to `port`")
    }
    range(port["endPort"], path / "endPort", 1...65_535)
  }

  private mutating func peer(_ peer: JSON, _ path: FieldPath) {
    let hasSelector = !peer["podSelector"].isNull || !peer["namespaceSelector"].isNull
    labelSelector(peer["podSelector"], path / "podSelector")
    labelSelector(peer["namespaceSelector"], path / "namespaceSelector")
    if !peer["ipBlock"].isNull {
      let cidr = peer["ipBlock"]["cidr"]
      if cidr.isEmpty {
        required(path / "ipBlock" / "cidr")
      } else if !IPAddresses.isCIDR(cidr.string ?? "") {
        invalid(path / "ipBlock" / "cidr", cidr, IPAddresses.cidrProblem)
      }
      for (i, except) in peer["ipBlock"]["except"].items.enumerated() where !IPAddresses.isCIDR(except.string ?? "") {
        invalid((path / "ipBlock" / "except")[i], except, IPAddresses.cidrProblem)
      }
      if hasSelector { forbidden(path, "may not specify both ipBlock and another peer") }
    } else if !hasSelector {
      required(path, "must specify a peer")
    }
  }

  mutating func ingress(_ ingress: JSON) {
    let spec = ingress["spec"]
    let path = FieldPath("spec")
    if spec["rules"].isEmpty, spec["defaultBackend"].isNull {
      invalid(path, spec.isNull ? .object(JSONObject()) : spec, "either `defaultBackend` or `rules` must be specified")
    }
    if !spec["defaultBackend"].isNull { backend(spec["defaultBackend"], path / "defaultBackend") }
    for (i, rule) in spec["rules"].items.enumerated() {
      let at = (path / "rules")[i]
      let host = rule["host"].string ?? ""
      if IPAddresses.isAddress(host) {
        invalid(at / "host", rule["host"], "must be a DNS name, not an IP address")
      } else if !host.isEmpty {
        for problem in NameProblems.subdomain(host.hasPrefix("*.") ? String(host.dropFirst(2)) : host) {
          invalid(at / "host", rule["host"], problem)
        }
      }
      for (j, item) in rule["http"]["paths"].items.enumerated() { ingressPath(item, (at / "http" / "paths")[j]) }
    }
    if !spec["ingressClassName"].isNull { check(spec["ingressClassName"], path / "ingressClassName", NameProblems.subdomain) }
  }

  private mutating func ingressPath(_ item: JSON, _ path: FieldPath) {
    if item["pathType"].isEmpty { required(path / "pathType", "pathType must be specified") }
    let text = item["path"].string ?? ""
    if item["pathType"] == "Exact" || item["pathType"] == "Prefix" {
      if !text.hasPrefix("/") { invalid(path / "path", .string(text), "must be an absolute path") }
      for part in ["//", "/./", "/../", "%2f", "%2F"] where text.contains(part) {
        invalid(path / "path", .string(text), "must not contain '\(part)'")
      }
    }
    backend(item["backend"], path / "backend")
  }

  /// Exactly a service with a port, or a resource.
  private mutating func backend(_ backend: JSON, _ path: FieldPath) {
    let service = backend["service"]
    switch (service.isNull, backend["resource"].isNull) {
    case (false, false): invalid(path, "", "cannot set both resource and service backends")
    case (true, true): required(path, "resource or service backend is required")
    case (true, false): break
    case (false, true):
      requiredText(service["name"], path / "service" / "name", NameProblems.dnsLabel)
      let port = service["port"]
      if !port["name"].isEmpty, (port["number"].int ?? 0) != 0 {
        invalid(path, "", "cannot set both port name & port number")
      } else if !port["name"].isEmpty {
        check(port["name"], path / "service" / "port" / "name", NameProblems.portName)
      } else if (port["number"].int ?? 0) != 0 {
        range(port["number"], path / "service" / "port" / "number", 1...65_535)
      } else {
        required(path, "port name or number is required")
      }
    }
  }
}
