import JSONCodec
import KubernetesAPI

/// Kinds with a handful of rules each.
extension Findings {
  mutating func ingressClass(_ ingressClass: JSON, old: JSON?) {
    let controller = ingressClass["spec"]["controller"]
    let path = FieldPath("spec.controller")
    if let old {
      immutable(controller, old["spec"]["controller"], path)
    } else if controller.isEmpty {
      required(path)
    } else {
      if (controller.string ?? "").utf8.count > 250 { tooLong(path, bytesMax: 250) }
      domainPrefixedPath(controller, path)
    }
    let parameters = ingressClass["spec"]["parameters"]
    guard !parameters.isNull else { return }
    let at = FieldPath("spec.parameters")
    for field in ["kind", "name"] { requiredText(parameters[field], at / field, NameProblems.pathSegment) }
    if parameters["scope"] == "Namespace" {
      if parameters["namespace"].isEmpty { required(at / "namespace", "`parameters.scope` is set to 'Namespace'") }
    } else if !parameters["namespace"].isEmpty {
      forbidden(at / "namespace", "`parameters.scope` is set to 'Cluster'")
    }
    oneOf(parameters["scope"], at / "scope", ["Cluster", "Namespace"])
  }

  /// `example.com/a/b`.
  mutating func domainPrefixedPath(_ json: JSON, _ path: FieldPath) {
    let text = json.string ?? ""
    guard let slash = text.firstIndex(of: "/"), slash != text.startIndex, text.index(after: slash) < text.endIndex else {
      return invalid(path, json, "must be a domain-prefixed path (such as \"acme.io/foo\")")
    }
    for problem in NameProblems.subdomain(String(text[..<slash])) { invalid(path, json, "prefix part " + problem) }
  }

  mutating func runtimeClass(_ runtimeClass: JSON, old: JSON?) {
    if let old {
      immutable(runtimeClass["handler"], old["handler"], FieldPath("handler"))
    } else {
      check(runtimeClass["handler"], FieldPath("handler"), NameProblems.dnsLabel)
    }
    for (name, value) in runtimeClass["overhead"]["podFixed"].object ?? JSONObject() {
      if let quantity = Quantity(value.string ?? ""), quantity.milliValue < 0 {
        invalid(FieldPath("overhead.podFixed")[key: name], value, "must be greater than or equal to 0")
      }
    }
  }

  mutating func controllerRevision(_ revision: JSON, old: JSON?) {
    if revision["data"].isNull { required(FieldPath("data"), "data is mandatory") }
    notNegative(revision["revision"], FieldPath("revision"))
    if let old { immutable(revision["data"], old["data"], FieldPath("data")) }
  }

  mutating func volumeAttachment(_ attachment: JSON, old: JSON?) {
    let spec = attachment["spec"]
    let path = FieldPath("spec")
    if let old {
      immutable(spec, old["spec"], path)
      return
    }
    requiredText(spec["attacher"], path / "attacher", NameProblems.qualified)
    if spec["nodeName"].isEmpty { required(path / "nodeName") }
    let source = spec["source"]
    if source["persistentVolumeName"].isNull, source["inlineVolumeSpec"].isNull {
      required(path / "source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    } else if !source["persistentVolumeName"].isNull, !source["inlineVolumeSpec"].isNull {
      forbidden(path / "source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    }
  }

  mutating func csiDriver(_ driver: JSON, old: JSON?) {
    let name = driver["metadata"]["name"]
    if (name.string ?? "").utf8.count > 63 { tooLong(FieldPath("metadata.name"), bytesMax: 63) }
    let spec = driver["spec"]
    let path = FieldPath("spec")
    for (i, mode) in spec["volumeLifecycleModes"].items.enumerated() {
      if !["Ephemeral", "Persistent"].contains(mode.string ?? "") {
        notSupported((path / "volumeLifecycleModes")[i], mode, ["Ephemeral", "Persistent"])
      }
    }
    oneOf(spec["fsGroupPolicy"], path / "fsGroupPolicy", ["File", "None", "ReadWriteOnceWithFSType"])
    if let old {
      for field in ["attachRequired", "volumeLifecycleModes"] { immutable(spec[field], old["spec"][field], path / field) }
    }
  }

  mutating func endpoints(_ endpoints: JSON) {
    for (i, subset) in endpoints["subsets"].items.enumerated() {
      let path = FieldPath("subsets")[i]
      if subset["addresses"].isEmpty, subset["notReadyAddresses"].isEmpty {
        required(path, "must specify `addresses` or `notReadyAddresses`")
      }
      for list in ["addresses", "notReadyAddresses"] {
        for (j, item) in subset[list].items.enumerated() {
          let at = (path / list)[j] / "ip"
          address(item["ip"], at)
          guard !Self.isOwnEndpoint(endpoints), let problem = IPAddresses.specialProblem(item["ip"].string ?? "") else { continue }
          invalid(at, item["ip"], problem)
        }
      }
      for (j, port) in subset["ports"].items.enumerated() {
        let at = (path / "ports")[j]
        if subset["ports"].items.count > 1, port["name"].isEmpty { required(at / "name") }
        if !port["name"].isEmpty { check(port["name"], at / "name", NameProblems.dnsLabel) }
        range(port["port"].isNull ? 0 : port["port"], at / "port", 1...65_535)
        if port["protocol"].isEmpty { required(at / "protocol") }
        oneOf(port["protocol"], at / "protocol", ["SCTP", "TCP", "UDP"])
      }
    }
  }

  mutating func volumeAttributesClass(_ object: JSON, old: JSON?) {
    if object["driverName"].isEmpty { required(FieldPath("driverName")) }
    if object["parameters"].isEmpty { required(FieldPath("parameters"), "must contain at least one key/value pair") }
    guard let old else { return }
    for field in ["driverName", "parameters"] where object[field] != old[field] {
      forbidden(FieldPath(field), "updates to \(field) are forbidden.")
    }
  }

  mutating func ipAddress(_ object: JSON, old: JSON?) {
    let name = object["metadata"]["name"].string ?? ""
    if !IPAddresses.isAddress(name) { invalid(FieldPath("metadata.name"), object["metadata"]["name"], IPAddresses.problem) }
    let reference = object["spec"]["parentRef"]
    let path = FieldPath("spec.parentRef")
    if reference.isNull {
      required(path)
    } else {
      for field in ["resource", "name"] { requiredText(reference[field], path / field, NameProblems.pathSegment) }
    }
    if let old { immutable(reference, old["spec"]["parentRef"], path) }
  }

  mutating func serviceCIDR(_ object: JSON, old: JSON?) {
    let ranges = object["spec"]["cidrs"]
    let path = FieldPath("spec.cidrs")
    if ranges.isEmpty { required(path, "at least one CIDR required") }
    if ranges.items.count > 2 { invalid(path, ranges, "may only hold up to 2 values") }
    for (i, range) in ranges.items.enumerated() {
      if !IPAddresses.isCIDR(range.string ?? "") { invalid(path[i], range, IPAddresses.cidrProblem) }
    }
    let families = Set(ranges.items.map { $0.string?.contains(":") ?? false })
    if ranges.items.count == 2, families.count == 1 {
      invalid(path, ranges, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64")
    }
    // A second family may be added to the first.
    let before = old?["spec"]["cidrs"].items ?? []
    if Array(ranges.items.prefix(before.count)) != before { invalid(path, ranges, "field is immutable") }
  }

  // MARK: certificates

  /// `subresource`: conditions change through approval and status only.
  mutating func certificateRequest(_ request: JSON, old: JSON?) {
    let spec = request["spec"]
    let path = FieldPath("spec")
    let text = String(decoding: Base64.decode(spec["request"].string ?? "") ?? [], as: UTF8.self)
    if !text.contains("-----BEGIN CERTIFICATE REQUEST-----") {
      invalid(path / "request", spec["request"], "PEM block type must be CERTIFICATE REQUEST")
    }
    if spec["usages"].isEmpty { required(path / "usages", "usages is required for certificates.k8s.io/v1 certificate requests") }
    var seen: Set<String> = []
    for (i, usage) in spec["usages"].items.enumerated() where !seen.insert(usage.string ?? "").inserted {
      duplicate((path / "usages")[i], usage)
    }
    signerName(spec["signerName"], path / "signerName")
    if let seconds = spec["expirationSeconds"].int, seconds < 600 {
      invalid(path / "expirationSeconds", spec["expirationSeconds"], "may not specify a duration less than 600 seconds (10 minutes)")
    }
    certificateConditions(request, old: old)
  }

  mutating func certificateConditions(_ request: JSON, old: JSON?) {
    let path = FieldPath("status.conditions")
    let conditions = request["status"]["conditions"].items
    var seen: Set<String> = []
    for (i, condition) in conditions.enumerated() {
      let type = condition["type"].string ?? ""
      if type.isEmpty { required(path[i] / "type") }
      if ["Approved", "Denied", "Failed"].contains(type), condition["status"] != "True" {
        if condition["status"].isEmpty {
          required(path[i] / "status")
        } else {
          notSupported(path[i] / "status", condition["status"], ["True"])
        }
      }
      if !seen.insert(type).inserted { duplicate(path[i] / "type", condition["type"]) }
    }
    if seen.isSuperset(of: ["Approved", "Denied"]) {
      invalid(path, "Denied", "Approved and Denied conditions are mutually exclusive")
    }
    for condition in old?["status"]["conditions"].items ?? [] {
      let type = condition["type"].string ?? ""
      if ["Approved", "Denied", "Failed"].contains(type), !seen.contains(type) {
        forbidden(path, "updates may not remove a condition of type \"\(type)\"")
      }
    }
  }

  // MARK: fairness

  mutating func flowSchema(_ schema: JSON) {
    let spec = schema["spec"]
    let path = FieldPath("spec")
    if let precedence = spec["matchingPrecedence"].int {
      if precedence <= 0 { invalid(path / "matchingPrecedence", spec["matchingPrecedence"], "must be a positive value") }
      if precedence > 10_000 { invalid(path / "matchingPrecedence", spec["matchingPrecedence"], "must not be greater than 10000") }
      if precedence == 1, schema["metadata"]["name"] != "exempt" {
        invalid(path / "matchingPrecedence", spec["matchingPrecedence"], "only the schema named 'exempt' may have matchingPrecedence 1")
      }
    }
    let method = spec["distinguisherMethod"]
    if !method.isNull {
      if !["ByNamespace", "ByUser"].contains(method["type"].string ?? "") {
        notSupported(path / "distinguisherMethod" / "type", method["type"], ["ByNamespace", "ByUser"])
      }
    }
    requiredText(spec["priorityLevelConfiguration"]["name"], path / "priorityLevelConfiguration" / "name", NameProblems.subdomain)
    for (i, rule) in spec["rules"].items.enumerated() {
      let at = (path / "rules")[i]
      if rule["subjects"].isEmpty { required(at / "subjects", "subjects must contain at least one value") }
      if rule["resourceRules"].isEmpty, rule["nonResourceRules"].isEmpty {
        required(at, "at least one of resourceRules and nonResourceRules has to be non-empty")
      }
      for (j, subject) in rule["subjects"].items.enumerated() {
        if !["Group", "ServiceAccount", "User"].contains(subject["kind"].string ?? "") {
          notSupported((at / "subjects")[j] / "kind", subject["kind"], ["Group", "ServiceAccount", "User"])
        }
      }
    }
  }

  mutating func priorityLevel(_ level: JSON) {
    let spec = level["spec"]
    let path = FieldPath("spec")
    switch spec["type"].string ?? "" {
    case "Exempt":
      if !spec["limited"].isNull { forbidden(path / "limited", "must be nil if the type is not Limited") }
    case "Limited":
      if !spec["exempt"].isNull { forbidden(path / "exempt", "must be nil if the type is Limited") }
      let limited = spec["limited"]
      if limited.isNull { return required(path / "limited", "must not be empty when type is Limited") }
      notNegative(limited["nominalConcurrencyShares"], path / "limited" / "nominalConcurrencyShares")
      range(limited["lendablePercent"], path / "limited" / "lendablePercent", 0...100)
      let response = limited["limitResponse"]
      let at = path / "limited" / "limitResponse"
      switch response["type"].string ?? "" {
      case "Reject":
        if !response["queuing"].isNull { forbidden(at / "queuing", "must be nil if limited.limitResponse.type is not Limited") }
      case "Queue":
        if response["queuing"].isNull { return required(at / "queuing", "must not be empty if limited.limitResponse.type is Limited") }
        for field in ["queueLengthLimit", "queues", "handSize"] { positive(response["queuing"][field], at / "queuing" / field) }
        if let hand = response["queuing"]["handSize"].int, let queues = response["queuing"]["queues"].int, hand > queues {
          invalid(at / "queuing" / "handSize", response["queuing"]["handSize"], "should not be greater than queues (\(queues))")
        }
      default: notSupported(at / "type", response["type"], ["Queue", "Reject"])
      }
    default: notSupported(path / "type", spec["type"], ["Exempt", "Limited"])
    }
  }
}
