import JSONCodec
import KubernetesAPI

extension TableLayouts {
  /// What governs the API server itself, and devices.
  static let control: Layouts = [
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": [.name, .count("Webhooks", "webhooks"), .age],
    "admissionregistration.k8s.io/validatingwebhookconfigurations": [.name, .count("Webhooks", "webhooks"), .age],
    "admissionregistration.k8s.io/validatingadmissionpolicies": [
      .name, .count("Validations", "spec", "validations"), paramKind, .age,
    ],
    "admissionregistration.k8s.io/mutatingadmissionpolicies": [.name, .count("Mutations", "spec", "mutations"), paramKind, .age],
    "admissionregistration.k8s.io/validatingadmissionpolicybindings": policyBindings,
    "admissionregistration.k8s.io/mutatingadmissionpolicybindings": policyBindings,
    "flowcontrol.apiserver.k8s.io/flowschemas": [
      .name,
      .text("PriorityLevel", "spec", "priorityLevelConfiguration", "name"),
      .number("MatchingPrecedence", "spec", "matchingPrecedence", declared: .string),
      .text("DistinguisherMethod", "spec", "distinguisherMethod", "type", missing: "<none>"),
      .age,
      TableColumn("MissingPL") { .string($0.condition("Dangling")?["status"].string ?? "?") },
    ],
    "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations": [
      .name,
      .text("Type", "spec", "type"),
      numberOrNone("NominalConcurrencyShares", "spec", "limited", "nominalConcurrencyShares"),
      numberOrNone("Queues", "spec", "limited", "limitResponse", "queuing", "queues"),
      numberOrNone("HandSize", "spec", "limited", "limitResponse", "queuing", "handSize"),
      numberOrNone("QueueLengthLimit", "spec", "limited", "limitResponse", "queuing", "queueLengthLimit"),
      .age,
    ],
    "apiregistration.k8s.io/apiservices": [
      .name,
      TableColumn("Service") { registration in
        let service = registration.spec["service"]
        return service.isNull ? "Local" : .string("\(service["namespace"].string ?? "")/\(service["name"].string ?? "")")
      },
      TableColumn("Available") { registration in
        let available = registration.condition("Available") ?? .null
        let status = available["status"].string ?? "Unknown"
        let reason = available["reason"].string ?? ""
        return .string(status != "True" && !reason.isEmpty ? "\(status) (\(reason))" : status)
      },
      .age,
    ],
    "resource.k8s.io/deviceclasses": [.name, .age],
    "resource.k8s.io/resourceclaimtemplates": [.name, .age],
    "resource.k8s.io/resourceclaims": [.name, TableColumn("State") { .string(claimState($0)) }, .age],
    "resource.k8s.io/resourceslices": [
      .name, .text("Node", "spec", "nodeName"), .text("Driver", "spec", "driver"), .text("Pool", "spec", "pool", "name"), .age,
    ],
  ]

  private static let paramKind = TableColumn("ParamKind") { policy in
    let kind = policy.spec["paramKind"]
    return kind.isNull ? "<unset>" : .string("\(kind["apiVersion"].string ?? "")/\(kind["kind"].string ?? "")")
  }

  private static let policyBindings: [TableColumn] = [
    .name,
    .text("PolicyName", "spec", "policyName"),
    TableColumn("ParamRef") { binding in
      let reference = binding.spec["paramRef"]
      if reference.isNull { return "<unset>" }
      if let name = reference["name"].string, !name.isEmpty {
        return .string("\(reference.text(["namespace"], missing: "*"))/\(name)")
      }
      return .string(selectorText(reference["selector"]))
    },
    .age,
  ]

  private static func numberOrNone(_ title: String, _ path: String...) -> TableColumn {
    TableColumn(title) { subject in path.reduce(subject.object) { $0[$1] }.int.map { JSON($0) } ?? "<none>" }
  }

  private static func claimState(_ claim: TableSubject) -> String {
    var states: [String] = []
    if claim.isBeingDeleted { states.append("deleted") }
    if claim.status["allocation"].isNull {
      if states.isEmpty { states.append("pending") }
    } else {
      states.append("allocated")
      if !claim.status["reservedFor"].isEmpty { states.append("reserved") }
    }
    return states.joined(separator: ",")
  }
}
