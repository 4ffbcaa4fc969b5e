import JSONCodec
import KubernetesAPI

extension Findings {
  static let annotationBytesMax = 262_144

  /// Metadata of every kind, on create and on update.
  mutating func metadata(_ object: JSON, old: JSON?, resource: ResourceInfo) {
    let path = FieldPath("metadata")
    let metadata = object["metadata"]
    let nameProblems = Self.nameForm(resource)
    if !metadata["generateName"].isEmpty {
      let text = metadata["generateName"].string ?? ""
      let base = text.hasSuffix("-") ? String(text.dropLast()) + "a" : text
      for problem in nameProblems(base) { invalid(path / "generateName", metadata["generateName"], problem) }
    }
    if metadata["name"].isEmpty {
      required(path / "name", "name or generateName is required")
    } else {
      check(metadata["name"], path / "name", nameProblems)
    }
    if resource.isNamespaced {
      requiredText(metadata["namespace"], path / "namespace", NameProblems.dnsLabel)
    } else if !metadata["namespace"].isEmpty {
      forbidden(path / "namespace", "not allowed on this type")
    }
    notNegative(metadata["generation"], path / "generation")
    labels(metadata["labels"], path / "labels")
    annotations(metadata["annotations"], path / "annotations")
    ownerReferences(metadata["ownerReferences"].items, path / "ownerReferences")
    finalizers(metadata["finalizers"].items, path / "finalizers", isCustom: resource.custom != nil)
    if let old { metadataUpdate(metadata, old["metadata"], path) }
  }

  private static func nameForm(_ resource: ResourceInfo) -> (String) -> [String] {
    switch (resource.group, resource.kind) {
    case ("", "Namespace"), ("", "Service"): NameProblems.dnsLabel
    case ("rbac.authorization.k8s.io", _), ("apiregistration.k8s.io", _):
      NameProblems.pathSegment
    default: NameProblems.subdomain
    }
  }

  /// The error names no key: that is how upstream does it.
  mutating func labels(_ labels: JSON, _ path: FieldPath) {
    for (key, value) in labels.object ?? JSONObject() {
      for problem in NameProblems.qualified(key) { invalid(path, .string(key), problem) }
      for problem in NameProblems.labelValue(value.string ?? "") { invalid(path, value, problem) }
    }
  }

  mutating func annotations(_ annotations: JSON, _ path: FieldPath) {
    var size = 0
    for (key, value) in annotations.object ?? JSONObject() {
      for problem in NameProblems.qualified(key.lowercased()) { invalid(path, .string(key), problem) }
      size += key.utf8.count + (value.string?.utf8.count ?? 0)
    }
    if size > Self.annotationBytesMax { tooLong(path, bytesMax: Self.annotationBytesMax) }
  }

  private mutating func ownerReferences(_ references: [JSON], _ path: FieldPath) {
    var controller: String?
    for reference in references {
      let apiVersion = reference["apiVersion"].string ?? ""
      if apiVersion.isEmpty || apiVersion.hasSuffix("/") {
        invalid(path / "apiVersion", reference["apiVersion"], "version must not be empty")
      }
      for field in ["kind", "name", "uid"] where reference[field].isEmpty {
        invalid(path / field, "", field == "uid" ? "uid must not be empty" : "\(field) must not be empty")
      }
      if apiVersion == "v1", reference["kind"] == "Event" {
        invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner")
      }
      guard reference["controller"] == true else { continue }
      let name = reference["name"].string ?? ""
      if let controller {
        invalid(
          path, .array(references),
          "Only one reference can have Controller set to true. Found \"true\" in references for \(controller) and \(name)")
      } else {
        controller = name
      }
    }
  }

  private mutating func finalizers(_ finalizers: [JSON], _ path: FieldPath, isCustom: Bool) {
    for (i, finalizer) in finalizers.enumerated() {
      let name = finalizer.string ?? ""
      check(finalizer, path[i], NameProblems.qualified)
      if !isCustom, !name.contains("/"), !["kubernetes", "orphan", "foregroundDeletion"].contains(name) {
        invalid(path[i], finalizer, "name is neither a standard finalizer name nor is it fully qualified")
      }
    }
    if finalizers.contains("orphan"), finalizers.contains("foregroundDeletion") {
      invalid(path, .array(finalizers), "finalizer orphan and foregroundDeletion cannot be both set")
    }
  }

  private mutating func metadataUpdate(_ new: JSON, _ old: JSON, _ path: FieldPath) {
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
      // Setting the deletion is the server's own change; an object that is not deleted yet may get one.
      if field.hasPrefix("deletion"), old[field].isNull { continue }
      // A shorter grace period is what a second delete asks for.
      if field.hasPrefix("deletion"), !new[field].isNull { continue }
      immutable(new[field], old[field], path / field)
    }
    if let before = old["generation"].int, let after = new["generation"].int, after < before {
      invalid(path / "generation", new["generation"], "must not be decremented")
    }
    guard !old["deletionTimestamp"].isNull else { return }
    let kept = old["finalizers"].items
    let added = new["finalizers"].items.filter { !kept.contains($0) }
    if !added.isEmpty {
      forbidden(
        path / "finalizers",
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{\(added.map { $0.text() }.joined(separator: ", "))}"
      )
    }
  }

  /// A metav1.LabelSelector.
  mutating func labelSelector(_ selector: JSON, _ path: FieldPath) {
    labels(selector["matchLabels"], path / "matchLabels")
    for (i, expression) in selector["matchExpressions"].items.enumerated() {
      let at = (path / "matchExpressions")[i]
      selectorExpression(expression, at, operators: ["In", "NotIn", "Exists", "DoesNotExist"])
      for problem in NameProblems.qualified(expression["key"].string ?? "") { invalid(at / "key", expression["key"], problem) }
      for (j, value) in expression["values"].items.enumerated() { check(value, (at / "values")[j], NameProblems.labelValue) }
    }
  }

  /// Operator and number of values of one expression.
  mutating func selectorExpression(_ expression: JSON, _ path: FieldPath, operators: [String]) {
    let values = expression["values"].items
    switch expression["operator"].string ?? "" {
    case let name where !operators.contains(name): invalid(path / "operator", expression["operator"], "not a valid selector operator")
    case "In", "NotIn":
      if values.isEmpty { required(path / "values", "must be specified when `operator` is 'In' or 'NotIn'") }
    case "Exists", "DoesNotExist":
      if !values.isEmpty { forbidden(path / "values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'") }
    default:
      if values.count != 1 {
        required(path / "values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
      } else if Int64(values[0].string ?? "") == nil {
        invalid(path / "values", values[0], "for 'Gt', 'Lt' operators, the value must be an integer")
      }
    }
  }
}
