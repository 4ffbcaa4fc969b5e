import JSONCodec
import KubernetesAPI

extension TableLayouts {
  /// Permissions, policies, classes and leases.
  static let access: Layouts = [
    "rbac.authorization.k8s.io/roles": [.name, .createdAt],
    "rbac.authorization.k8s.io/clusterroles": [.name, .createdAt],
    "rbac.authorization.k8s.io/rolebindings": roleBindings,
    "rbac.authorization.k8s.io/clusterrolebindings": roleBindings,
    "policy/poddisruptionbudgets": [
      .name,
      .text("Min Available", "spec", "minAvailable", missing: "N/A"),
      .text("Max Unavailable", "spec", "maxUnavailable", missing: "N/A"),
      .number("Allowed Disruptions", "status", "disruptionsAllowed"),
      .age,
    ],
    "scheduling.k8s.io/priorityclasses": [
      .name, .number("Value", "value"), .flag("Global-Default", "globalDefault"), .age, .text("PreemptionPolicy", "preemptionPolicy"),
    ],
    "scheduling.k8s.io/workloads": [.name, .age],
    "node.k8s.io/runtimeclasses": [.name, .text("Handler", "handler"), .age],
    "coordination.k8s.io/leases": [.name, .text("Holder", "spec", "holderIdentity"), .age],
    "coordination.k8s.io/leasecandidates": [
      .name, .text("LeaseName", "spec", "leaseName"), .text("BinaryVersion", "spec", "binaryVersion"),
      .text("EmulationVersion", "spec", "emulationVersion"), .age,
    ],
    "certificates.k8s.io/certificatesigningrequests": [
      .name,
      .age,
      .text("SignerName", "spec", "signerName", missing: "<none>"),
      .text("Requestor", "spec", "username"),
      TableColumn("RequestedDuration") { request in
        guard let seconds = request.spec["expirationSeconds"].int else { return "<none>" }
        return .string(humanDuration(nanoseconds: Int64(seconds) * 1_000_000_000))
      },
      TableColumn("Condition") { .string(requestCondition($0)) },
    ],
    "certificates.k8s.io/clustertrustbundles": [.name, .text("SignerName", "spec", "signerName", missing: "<none>")],
    "certificates.k8s.io/podcertificaterequests": [
      .name, .text("PodName", "spec", "podName"), .text("ServiceAccountName", "spec", "serviceAccountName"),
      .text("NodeName", "spec", "nodeName"), .text("SignerName", "spec", "signerName"),
      TableColumn("State") { request in .string(["Failed", "Denied", "Issued"].first { request.isTrue($0) } ?? "Pending") },
      TableColumn("UnverifiedUserAnnotations") {
        let pairs = ($0.spec["unverifiedUserAnnotations"].object ?? JSONObject()).map { "\($0)=\($1.string ?? "")" }.sorted()
        return .string(pairs.isEmpty ? "<none>" : pairs.joined(separator: ","))
      },
    ],
    "storagemigration.k8s.io/storageversionmigrations": [
      .name,
      TableColumn("Resource") {
        let resource = $0.spec["resource"]
        return .string([resource["resource"], resource["group"]].compactMap(\.string).filter { !$0.isEmpty }.joined(separator: "."))
      },
      TableColumn("Status") { migration in .string(["Succeeded", "Failed", "Running"].first { migration.isTrue($0) } ?? "Unknown") },
    ],
  ]

  private static let roleBindings: [TableColumn] = [
    .name,
    TableColumn("Role") { .string("\($0["roleRef"]["kind"].string ?? "")/\($0["roleRef"]["name"].string ?? "")") },
    .age,
    subjects("Users", "User"),
    subjects("Groups", "Group"),
    subjects("ServiceAccounts", "ServiceAccount"),
  ]

  private static func subjects(_ title: String, _ kind: String) -> TableColumn {
    TableColumn(title, wide: true) { binding in
      let names = (binding["subjects"].array ?? []).filter { $0["kind"].string == kind }.map { subject in
        let name = subject["name"].string ?? ""
        return kind == "ServiceAccount" ? "\(subject["namespace"].string ?? "")/\(name)" : name
      }
      return .string(names.joined(separator: ", "))
    }
  }

  /// Whether a condition is there is what counts, not its status.
  private static func requestCondition(_ request: TableSubject) -> String {
    var result = "Pending"
    if request.condition("Approved") != nil { result = "Approved" }
    if request.condition("Denied") != nil { result = "Denied" }
    if request.condition("Failed") != nil { result += ",Failed" }
    if !request.status["certificate"].isEmpty { result += ",Issued" }
    return result
  }
}
