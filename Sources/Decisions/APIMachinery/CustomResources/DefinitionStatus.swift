import JSONCodec
import KubernetesAPI

/// What the server itself says about a CustomResourceDefinition.
extension JSON {
  /// The finalizer that holds a definition until its objects are gone.
  package static let definitionCleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io"
}

/// The status of a definition: which names it has, whether it is served, and what is wrong with it. Equal to the present status
/// where nothing changed, so that the caller can tell whether to write.
///
/// - `others`: all definitions; those of other groups and the definition itself do not count.
/// Names that another definition of the group holds already are not accepted; the rest are. A definition with all its names
/// becomes Established and stays so. Call it on every change of a definition, and of others of its group.
package func definitionStatus(_ definition: JSON, others: [JSON], now: Timestamp) -> JSON {
  var status = definition["status"].object == nil ? .object(JSONObject()) : definition["status"]
  let naming = DefinitionNaming(definition, others)
  status["acceptedNames"] = naming.accepted
  var conditions = DefinitionConditions(status["conditions"].items, now: now)
  conditions.set(
    "NamesAccepted", naming.conflict == nil, naming.conflict?.reason ?? "NoConflicts", naming.conflict?.message ?? "no conflicts found")
  if !conditions.isTrue("Established") {
    if naming.conflict == nil {
      conditions.set("Established", true, "InitialNamesAccepted", "the initial names have been accepted")
    } else {
      conditions.set("Established", false, "NotAccepted", "not all names are accepted")
    }
  }
  conditions.noteSchemas(definition)
  conditions.noteApproval(definition)
  status["conditions"] = .array(conditions.items)
  status["storedVersions"] = storedVersions(definition)
  return status
}

/// The versions that objects may be stored in: those so far and the present storage version.
package func storedVersions(_ definition: JSON) -> JSON {
  var stored = definition["status"]["storedVersions"].items
  for version in definition["spec"]["versions"].items where version["storage"] == true && !stored.contains(version["name"]) {
    stored.append(version["name"])
  }
  return .array(stored)
}

/// How far the deletion of a definition's objects has come.
package enum DefinitionDeletion: Sendable {
  case pending, inProgress, completed
  case failed(String)
}

/// The Terminating condition of a definition that is being deleted.
package func definitionStatus(_ definition: JSON, deletion: DefinitionDeletion, now: Timestamp) -> JSON {
  var status = definition["status"].object == nil ? .object(JSONObject()) : definition["status"]
  var conditions = DefinitionConditions(status["conditions"].items, now: now)
  switch deletion {
  case .pending:
    conditions.set(
      "Terminating", true, "InstanceDeletionPending",
      "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon")
  case .inProgress: conditions.set("Terminating", true, "InstanceDeletionInProgress", "CustomResource deletion is in progress")
  case .completed: conditions.set("Terminating", false, "InstanceDeletionCompleted", "removed all instances")
  case .failed(let problem):
    conditions.set("Terminating", true, "InstanceDeletionFailed", "could not list instances: \(problem)")
  }
  status["conditions"] = .array(conditions.items)
  return status
}

/// Which of the names that a definition asks for it may have.
private struct DefinitionNaming {
  private(set) var accepted: JSON
  private(set) var conflict: (reason: String, message: String)?

  init(_ definition: JSON, _ others: [JSON]) {
    var resources: Set<String> = []
    var kinds: Set<String> = []
    let name = definition["metadata"]["name"]
    for other in others where other["spec"]["group"] == definition["spec"]["group"] && other["metadata"]["name"] != name {
      let names = other["status"]["acceptedNames"]
      resources.formUnion(([names["plural"], names["singular"]] + names["shortNames"].items).compactMap(\.string))
      kinds.formUnion([names["kind"], names["listKind"]].compactMap(\.string))
    }
    let asked = definition["spec"]["names"]
    let present = definition["status"]["acceptedNames"]
    accepted = present.object == nil ? .object(JSONObject()) : present
    for (field, used, reason) in [
      ("plural", resources, "PluralConflict"), ("singular", resources, "SingularConflict"), ("shortNames", resources, "ShortNamesConflict"),
      ("kind", kinds, "KindConflict"), ("listKind", kinds, "ListKindConflict"),
    ] {
      let wanted = field == "shortNames" ? asked[field].items : [asked[field]]
      let held = field == "shortNames" ? present[field].items : [present[field]]
      let taken = wanted.filter { !held.contains($0) && used.contains($0.string ?? "") }
      if taken.isEmpty {
        accepted[field] = asked[field]
      } else {
        let problems = taken.map { "\($0.text()) is already in use" }
        conflict = (reason, problems.count == 1 ? problems[0] : "[\(problems.joined(separator: ", "))]")
      }
    }
    accepted["categories"] = asked["categories"]
  }
}

private struct DefinitionConditions {
  private(set) var items: [JSON]
  let now: Timestamp

  init(_ items: [JSON], now: Timestamp) {
    self.items = items
    self.now = now
  }

  func isTrue(_ type: String) -> Bool { items.contains { $0["type"].string == type && $0["status"] == "True" } }

  mutating func remove(_ type: String) { items.removeAll { $0["type"].string == type } }

  mutating func set(_ type: String, _ holds: Bool, _ reason: String, _ message: String) {
    let value: JSON = holds ? "True" : "False"
    let position = items.firstIndex { $0["type"].string == type }
    let before = position.map { items[$0] } ?? .null
    var condition: JSON = ["type": .string(type), "status": value, "reason": .string(reason), "message": .string(message)]
    condition["lastTransitionTime"] = before["status"] == value ? before["lastTransitionTime"] : .string(now.rfc3339)
    if let position { items[position] = condition } else { items.append(condition) }
  }

  /// NonStructuralSchema is there only where there is something to tell.
  mutating func noteSchemas(_ definition: JSON) {
    var problems: [String] = []
    if definition["spec"]["preserveUnknownFields"] == true {
      problems.append("spec.preserveUnknownFields: Invalid value: true: must be false")
    }
    for (i, version) in definition["spec"]["versions"].items.enumerated() where !version["schema"]["openAPIV3Schema"].isNull {
      let path = "spec.versions[\(i)].schema.openAPIV3Schema"
      problems += StructuralSchema(version["schema"]["openAPIV3Schema"]).structuralErrors(path: path).map(\.description)
    }
    if problems.isEmpty { return remove("NonStructuralSchema") }
    set("NonStructuralSchema", true, "Violations", problems.count == 1 ? problems[0] : "[\(problems.joined(separator: ", "))]")
  }

  mutating func noteApproval(_ definition: JSON) {
    let type = "KubernetesAPIApprovalPolicyConformant"
    switch APIApproval(definition) {
    case .notNeeded: remove(type)
    case .approved(let reason): set(type, true, "ApprovedAnnotation", reason)
    case .unapproved(let reason): set(type, false, "UnapprovedAnnotation", reason)
    case .missing(let reason): set(type, false, "MissingAnnotation", reason)
    case .invalid(_, let reason): set(type, false, "InvalidAnnotation", reason)
    }
  }
}

/// Groups under k8s.io and kubernetes.io belong to the community: a definition there says by an annotation who approved it.
enum APIApproval: Equatable {
  static let annotation = "api-approved.kubernetes.io"
  private static let reading = "see https://github.com/kubernetes/enhancements/pull/1111"

  case notNeeded
  case approved(String)
  case unapproved(String)
  case missing(String)
  case invalid(String, String)

  init(_ definition: JSON) {
    let group = definition["spec"]["group"].string ?? ""
    guard ["k8s.io", "kubernetes.io"].contains(where: { group == $0 || group.hasSuffix("." + $0) }) else {
      self = .notNeeded
      return
    }
    let value = definition["metadata"]["annotations"][Self.annotation].string ?? ""
    if value.isEmpty {
      self = .missing("protected groups must have approval annotation \"\(Self.annotation)\", \(Self.reading)")
    } else if value.hasPrefix("unapproved") {
      self = .unapproved("not approved: \(JSON.string(value).text())")
    } else if value.hasPrefix("https://") || value.hasPrefix("http://") {
      self = .approved("approved in \(value)")
    } else {
      self = .invalid(
        value,
        "protected groups must have approval annotation \"\(Self.annotation)\" with either a URL or a reason starting with \"unapproved\", \(Self.reading)"
      )
    }
  }
}
