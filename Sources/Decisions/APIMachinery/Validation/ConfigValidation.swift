import JSONCodec

extension Findings {
  static let dataBytesMax = 1_048_576

  mutating func configMap(_ map: JSON, old: JSON?) {
    var size = 0
    for (key, value) in map["data"].object ?? JSONObject() {
      check(.string(key), FieldPath("data")[key: key], NameProblems.configKey)
      if !map["binaryData"][key].isNull { invalid(FieldPath("data")[key: key], .string(key), "duplicate of key present in binaryData") }
      size += value.string?.utf8.count ?? 0
    }
    for (key, value) in map["binaryData"].object ?? JSONObject() {
      check(.string(key), FieldPath("binaryData")[key: key], NameProblems.configKey)
      size += Self.decodedSize(value)
    }
    if size > Self.dataBytesMax { tooLong(FieldPath("[]"), bytesMax: Self.dataBytesMax) }
    if let old { immutableData(map, old, ["data", "binaryData"]) }
  }

  private static func decodedSize(_ value: JSON) -> Int {
    let text = value.string ?? ""
    return text.utf8.count / 4 * 3 - (text.hasSuffix("==") ? 2 : text.hasSuffix("=") ? 1 : 0)
  }

  private mutating func immutableData(_ new: JSON, _ old: JSON, _ fields: [String]) {
    guard old["immutable"] == true else { return }
    if new["immutable"] != true { forbidden(FieldPath("immutable"), "field is immutable when `immutable` is set") }
    for field in fields where new[field] != old[field] {
      forbidden(FieldPath(field), "field is immutable when `immutable` is set")
    }
  }

  mutating func secret(_ secret: JSON, old: JSON?) {
    let data = secret["data"]
    var size = 0
    for (key, value) in data.object ?? JSONObject() {
      check(.string(key), FieldPath("data")[key: key], NameProblems.configKey)
      size += Self.decodedSize(value)
    }
    if size > Self.dataBytesMax { tooLong(FieldPath("data"), bytesMax: Self.dataBytesMax) }
    func missing(_ key: String) -> Bool { data[key].isNull }
    switch secret["type"].string ?? "" {
    case "kubernetes.io/service-account-token":
      if secret["metadata"]["annotations"]["kubernetes.io/service-account.name"].isEmpty {
        required(FieldPath("metadata.annotations")[key: "kubernetes.io/service-account.name"])
      }
    case "kubernetes.io/dockercfg": json(data, ".dockercfg")
    case "kubernetes.io/dockerconfigjson": json(data, ".dockerconfigjson")
    case "kubernetes.io/basic-auth":
      if missing("username"), missing("password") {
        required(FieldPath("data")[key: "username"])
        required(FieldPath("data")[key: "password"])
      }
    case "kubernetes.io/ssh-auth":
      if data["ssh-privatekey"].isEmpty { required(FieldPath("data")[key: "ssh-privatekey"]) }
    case "kubernetes.io/tls":
      for key in ["tls.crt", "tls.key"] where missing(key) { required(FieldPath("data")[key: key]) }
    default: break
    }
    guard let old else { return }
    immutable(secret["type"], old["type"], FieldPath("type"))
    immutableData(secret, old, ["data"])
  }

  /// A key that must hold a JSON document. What it holds is not told.
  private mutating func json(_ data: JSON, _ key: String) {
    let path = FieldPath("data")[key: key]
    guard let text = data[key].string else { return required(path) }
    guard let bytes = Base64.decode(text), (try? JSON.parse(bytes)) != nil else {
      return invalid(path, "<secret contents redacted>", "invalid character in JSON")
    }
  }

  mutating func node(_ node: JSON, old: JSON?) {
    let spec = node["spec"]
    taints(spec["taints"].items, FieldPath("metadata.taints"))
    let ranges = spec["podCIDRs"].items
    if ranges.count > 2 { invalid(FieldPath("spec.podCIDRs"), spec["podCIDRs"], "may specify no more than one CIDR for each IP family") }
    for (i, range) in ranges.enumerated() where !IPAddresses.isCIDR(range.string ?? "") {
      invalid(FieldPath("spec.podCIDRs")[i], range, IPAddresses.cidrProblem)
    }
    guard let old else { return }
    if !old["spec"]["podCIDRs"].isEmpty, old["spec"]["podCIDRs"] != spec["podCIDRs"] {
      forbidden(FieldPath("spec.podCIDRs"), "node updates may not change podCIDR except from \"\" to valid")
    }
    if !old["spec"]["providerID"].isEmpty, old["spec"]["providerID"] != spec["providerID"] {
      forbidden(FieldPath("spec.providerID"), "node updates may not change providerID except from \"\" to valid")
    }
  }

  mutating func lease(_ lease: JSON) {
    positive(lease["spec"]["leaseDurationSeconds"], FieldPath("spec.leaseDurationSeconds"))
    notNegative(lease["spec"]["leaseTransitions"], FieldPath("spec.leaseTransitions"))
  }

  /// Both spellings: events of core/v1 and of events.k8s.io.
  mutating func event(_ event: JSON, old: JSON?) {
    let namespace = event["metadata"]["namespace"].string ?? ""
    let isNew = !event["regarding"].isNull || !event["note"].isNull
    let regarding = event[isNew ? "regarding" : "involvedObject"]
    let path = FieldPath(isNew ? "regarding" : "involvedObject") / "namespace"
    let target = regarding["namespace"].string ?? ""
    if target.isEmpty {
      if namespace != "default", namespace != "kube-system" { invalid(path, "", "does not match event.namespace") }
    } else if target != namespace {
      invalid(path, regarding["namespace"], "does not match event.namespace")
    }
    guard !event["eventTime"].isNull else { return }
    let controllerField = isNew ? "reportingController" : "reportingComponent"
    let controller = event[controllerField]
    if controller.isEmpty {
      required(FieldPath("reportingController"))
    } else {
      check(controller, FieldPath("reportingController"), NameProblems.qualified)
    }
    for field in ["reportingInstance", "action", "reason"] {
      if event[field].isEmpty {
        required(FieldPath(field))
      } else if (event[field].string?.utf8.count ?? 0) > 128 {
        invalid(FieldPath(field), "", "can have at most 128 characters")
      }
    }
    if (event[isNew ? "note" : "message"].string?.utf8.count ?? 0) > 1024 {
      invalid(FieldPath("message"), "", "can have at most 1024 characters")
    }
    if !["Normal", "Warning"].contains(event["type"].string ?? "") {
      invalid(FieldPath("type"), event["type"].isNull ? "" : event["type"], "has invalid value: \(event["type"].string ?? "")")
    }
  }

  /// Where this API server listens, which on a machine by itself may be loopback. Whoever may write it rules the cluster anyway.
  static func isOwnEndpoint(_ object: JSON) -> Bool {
    object["metadata"]["namespace"] == "default" && object["metadata"]["name"] == "kubernetes"
  }

  mutating func endpointSlice(_ slice: JSON, old: JSON?) {
    let type = slice["addressType"].string ?? ""
    if type.isEmpty {
      required(FieldPath("addressType"))
    } else {
      oneOf(slice["addressType"], FieldPath("addressType"), ["FQDN", "IPv4", "IPv6"])
    }
    let endpoints = slice["endpoints"].items
    let isOwn = Self.isOwnEndpoint(slice)
    if endpoints.count > 1000 { tooMany(FieldPath("endpoints"), endpoints.count, max: 1000) }
    for (i, endpoint) in endpoints.enumerated() {
      let at = FieldPath("endpoints")[i] / "addresses"
      let addresses = endpoint["addresses"].items
      if addresses.isEmpty { required(at, "must contain at least 1 address") }
      if addresses.count > 100 { tooMany(at, addresses.count, max: 100) }
      for (j, address) in addresses.enumerated() {
        let text = address.string ?? ""
        switch type {
        case "IPv4": if !IPAddresses.isIPv4(text) { invalid(at[j], address, "must be a valid IPv4 address") }
        case "IPv6": if !IPAddresses.isIPv6(text) { invalid(at[j], address, "must be a valid IPv6 address") }
        case "FQDN": check(address, at[j], NameProblems.subdomain)
        default: break
        }
        if type != "FQDN", !isOwn, let problem = IPAddresses.specialProblem(text) { invalid(at[j], address, problem) }
      }
      if !endpoint["hostname"].isNull { check(endpoint["hostname"], FieldPath("endpoints")[i] / "hostname", NameProblems.dnsLabel) }
    }
    var names: Set<String> = []
    let ports = slice["ports"].items
    if ports.count > 20_000 { tooMany(FieldPath("ports"), ports.count, max: 20_000) }
    for (i, port) in ports.enumerated() {
      let at = FieldPath("ports")[i]
      let name = port["name"].string ?? ""
      if !name.isEmpty { check(port["name"], at / "name", NameProblems.dnsLabel) }
      if !names.insert(name).inserted { duplicate(at / "name", .string(name)) }
      if port["protocol"].isEmpty { required(at / "protocol") } else { oneOf(port["protocol"], at / "protocol", ["TCP", "UDP", "SCTP"]) }
    }
    if let old { immutable(slice["addressType"], old["addressType"], FieldPath("addressType")) }
  }
}
