import JSONCodec
import KubernetesAPI

extension TableLayouts {
  static let network: Layouts = [
    "/services": [
      .name,
      .text("Type", "spec", "type"),
      TableColumn("Cluster-IP") { service in
        .string(service.spec["clusterIPs"][0].string ?? service.spec.text(["clusterIP"], missing: "<none>"))
      },
      TableColumn("External-IP") { .string(externalAddresses($0)) },
      TableColumn("Port(s)") { .string(servicePorts($0)) },
      .age,
      .map("Selector", "spec", "selector"),
    ],
    "/endpoints": [.name, TableColumn("Endpoints") { .string(endpoints($0)) }, .age],
    "discovery.k8s.io/endpointslices": [
      .name,
      .text("AddressType", "addressType"),
      TableColumn("Ports") { slice in
        let ports = (slice["ports"].array ?? []).map { port -> String in
          if let number = port["port"].int { return String(number) }
          return port["name"].string ?? "*"
        }
        return .string(shortened(ports, none: "<unset>"))
      },
      TableColumn("Endpoints") { slice in
        .string(shortened((slice["endpoints"].array ?? []).flatMap { $0["addresses"].strings }, none: "<unset>"))
      },
      .age,
    ],
    "networking.k8s.io/ingresses": [
      .name,
      .text("Class", "spec", "ingressClassName", missing: "<none>"),
      TableColumn("Hosts") { .string(ingressHosts($0)) },
      TableColumn("Address") { .string(balancerAddresses($0).joined(separator: ",")) },
      TableColumn("Ports") { ($0.spec["tls"].array ?? []).isEmpty ? "80" : "80, 443" },
      .age,
    ],
    "networking.k8s.io/ingressclasses": [
      defaultedName("ingressclass.kubernetes.io/is-default-class"),
      .text("Controller", "spec", "controller"),
      TableColumn("Parameters") { ingressClass in
        let parameters = ingressClass.spec["parameters"]
        if parameters.isNull { return "<none>" }
        let group = parameters["apiGroup"].string.map { ".\($0)" } ?? ""
        return .string("\(parameters["kind"].string ?? "")\(group)/\(parameters["name"].string ?? "")")
      },
      .age,
    ],
    "networking.k8s.io/networkpolicies": [.name, .labelSelector("Pod-Selector", "spec", "podSelector", wide: false), .age],
    "networking.k8s.io/servicecidrs": [.name, TableColumn("CIDRs") { .string($0.spec["cidrs"].strings.joined(separator: ",")) }, .age],
    "networking.k8s.io/ipaddresses": [
      .name,
      TableColumn("ParentRef") { address in
        let parent = address.spec["parentRef"]
        if parent.isNull { return "<none>" }
        let group = parent["group"].string ?? ""
        let namespace = parent["namespace"].string ?? ""
        let resource = (parent["resource"].string ?? "") + (group.isEmpty ? "" : ".\(group)")
        return .string(([resource.lowercased(), namespace].filter { !$0.isEmpty } + [parent["name"].string ?? ""]).joined(separator: "/"))
      },
    ],
  ]

  /// The name, marked where an annotation makes the object the default one.
  static func defaultedName(_ annotations: String...) -> TableColumn {
    TableColumn("Name", format: "name") { subject in
      let isDefault = annotations.contains { subject.metadata["annotations"][$0].string == "true" }
      return .string(subject.name + (isDefault ? " (default)" : ""))
    }
  }

  private static func balancerAddresses(_ subject: TableSubject) -> [String] {
    let ingress = subject.status["loadBalancer"]["ingress"].array ?? []
    return Set(ingress.map { $0.text(["ip"], missing: $0["hostname"].string ?? "") }.filter { !$0.isEmpty }).sorted()
  }

  private static func externalAddresses(_ service: TableSubject) -> String {
    let external = service.spec["externalIPs"].strings
    switch service.spec["type"].string {
    case "ClusterIP", "NodePort": return joined(external)
    case "LoadBalancer": return joined(balancerAddresses(service) + external, none: "<pending>")
    case "ExternalName": return service.spec["externalName"].string ?? ""
    default: return "<unknown>"
    }
  }

  private static func servicePorts(_ service: TableSubject) -> String {
    joined(
      (service.spec["ports"].array ?? []).map { port in
        let nodePort = port["nodePort"].int ?? 0
        return "\(port["port"].int ?? 0)\(nodePort > 0 ? ":\(nodePort)" : "")/\(port["protocol"].string ?? "TCP")"
      })
  }

  private static func endpoints(_ subject: TableSubject) -> String {
    let texts = (subject["subsets"].array ?? []).flatMap { subset -> [String] in
      let addresses = (subset["addresses"].array ?? []).compactMap { $0["ip"].string }
      let ports = (subset["ports"].array ?? []).compactMap { $0["port"].int }
      if ports.isEmpty { return addresses }
      return ports.flatMap { port in addresses.map { $0.contains(":") ? "[\($0)]:\(port)" : "\($0):\(port)" } }
    }
    return shortened(texts, none: "<none>")
  }

  private static func ingressHosts(_ ingress: TableSubject) -> String {
    let rules = ingress.spec["rules"].array ?? []
    let hosts = rules.prefix(3).compactMap { $0["host"].string }.filter { !$0.isEmpty }
    if hosts.isEmpty { return "*" }
    return hosts.joined(separator: ",") + (rules.count > 3 ? " + \(rules.count - 3) more..." : "")
  }
}
