import JSONCodec
import KubernetesAPI

extension TableLayouts {
  static let core: Layouts = [
    "/pods": pods,
    "/nodes": nodes,
    "/events": events,
    "events.k8s.io/events": events,
    "/namespaces": [.name, .text("Status", "status", "phase"), .age],
    "/configmaps": [
      .name,
      TableColumn("Data") { JSON(($0["data"].object?.count ?? 0) + ($0["binaryData"].object?.count ?? 0)) },
      .age,
    ],
    "/secrets": [.name, .text("Type", "type"), TableColumn("Data") { JSON($0["data"].object?.count ?? 0) }, .age],
    "/serviceaccounts": [.name, .age],
    "/podtemplates": [.name] + TableColumn.containers(at: "template", "spec", wide: false)
      + [.map("Pod Labels", "template", "metadata", "labels", wide: false)],
    "/resourcequotas": [
      .name,
      TableColumn("Request") { .string(quotaText($0.status, isLimit: false)) },
      TableColumn("Limit") { .string(quotaText($0.status, isLimit: true)) },
      .age,
    ],
    "/componentstatuses": [
      .name,
      TableColumn("Status") { subject in
        guard let healthy = componentCondition(subject) else { return "Unknown" }
        return healthy["status"].string == "True" ? "Healthy" : "Unhealthy"
      },
      TableColumn("Message") { .string(componentCondition($0)?["message"].string ?? "") },
      TableColumn("Error") { .string(componentCondition($0)?["error"].string ?? "") },
    ],
  ]

  private static func componentCondition(_ subject: TableSubject) -> JSON? {
    subject["conditions"].array?.first { $0["type"].string == "Healthy" }
  }

  private static func quotaText(_ status: JSON, isLimit: Bool) -> String {
    let hard = (status["hard"].object ?? JSONObject()).filter { $0.0.hasPrefix("limits.") == isLimit }.sorted { $0.0 < $1.0 }
    return hard.map { "\($0.0): \(status["used"].text([$0.0], missing: "0"))/\($0.1.string ?? $0.1.text())" }.joined(separator: ", ")
  }

  private static let nodes: [TableColumn] = [
    .name,
    TableColumn("Status") { node in
      var result: String
      switch node.condition("Ready")?["status"].string {
      case "True": result = "Ready"
      case nil: result = "Unknown"
      default: result = "NotReady"
      }
      if node.spec["unschedulable"].bool == true { result += ",SchedulingDisabled" }
      return .string(result)
    },
    TableColumn("Roles") { .string(nodeRoles($0)) },
    .age,
    .text("Version", "status", "nodeInfo", "kubeletVersion"),
    TableColumn("Internal-IP", wide: true) { .string(nodeAddress($0, "InternalIP")) },
    TableColumn("External-IP", wide: true) { .string(nodeAddress($0, "ExternalIP")) },
    .text("OS-Image", "status", "nodeInfo", "osImage", missing: "<unknown>", wide: true),
    TableColumn("Kernel-Version", wide: true) { node in
      let info = node.status["nodeInfo"]
      let architecture = info["architecture"].string ?? ""
      return .string(info.text(["kernelVersion"], missing: "<unknown>") + (architecture.isEmpty ? "" : " (\(architecture))"))
    },
    .text("Container-Runtime", "status", "nodeInfo", "containerRuntimeVersion", missing: "<unknown>", wide: true),
  ]

  private static func nodeRoles(_ node: TableSubject) -> String {
    let prefix = "node-role.kubernetes.io/"
    var roles: Set<String> = []
    for (key, value) in node.metadata["labels"].object ?? JSONObject() {
      if key.hasPrefix(prefix), key.count > prefix.count {
        roles.insert(String(key.dropFirst(prefix.count)))
      } else if key == "kubernetes.io/role", let role = value.string, !role.isEmpty {
        roles.insert(role)
      }
    }
    return joined(roles.sorted())
  }

  private static func nodeAddress(_ node: TableSubject, _ type: String) -> String {
    node.status["addresses"].array?.first { $0["type"].string == type }?["address"].string ?? "<none>"
  }

  /// Events of core/v1; those of events.k8s.io name some fields differently.
  private static let events: [TableColumn] = [
    TableColumn("Last Seen") { event in
      if !event["series"].isNull { return .string(event.age(event["series"]["lastObservedTime"])) }
      let last = either(event["lastTimestamp"], event["deprecatedLastTimestamp"])
      return .string(last.timestamp == nil ? firstSeen(event) : event.age(last))
    },
    .text("Type", "type"),
    .text("Reason", "reason"),
    TableColumn("Object") { event in
      let object = either(event["involvedObject"], event["regarding"])
      let kind = (object["kind"].string ?? "").lowercased()
      let name = object["name"].string ?? ""
      return .string(name.isEmpty ? kind : "\(kind)/\(name)")
    },
    TableColumn("Subobject", wide: true) { .string(either($0["involvedObject"], $0["regarding"]).text(["fieldPath"])) },
    TableColumn("Source", wide: true) { event in
      let source = either(event["source"], event["deprecatedSource"])
      let component = either(event["reportingComponent"], event["reportingController"]).string ?? ""
      let host = source.text(["host"], missing: event.object.text(["reportingInstance"]))
      return .string(source.text(["component"], missing: component) + (host.isEmpty ? "" : ", \(host)"))
    },
    TableColumn("Message") { event in
      var text = Substring(either(event["message"], event["note"]).string ?? "")
      while text.first?.isWhitespace == true { text.removeFirst() }
      while text.last?.isWhitespace == true { text.removeLast() }
      return .string(String(text))
    },
    TableColumn("First Seen", wide: true) { .string(firstSeen($0)) },
    TableColumn("Count", wide: true) { event in
      if let count = event["series"]["count"].int { return JSON(count) }
      let count = either(event["count"], event["deprecatedCount"]).int ?? 0
      return JSON(count == 0 ? 1 : count)
    },
    TableColumn("Name", format: "name", wide: true) { .string($0.name) },
  ]

  private static func firstSeen(_ event: TableSubject) -> String {
    let first = either(event["firstTimestamp"], event["deprecatedFirstTimestamp"])
    return event.age(first.timestamp == nil ? event["eventTime"] : first)
  }

  private static func either(_ a: JSON, _ b: JSON) -> JSON { a.isEmpty ? b : a }
}
