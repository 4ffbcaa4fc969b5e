import JSONCodec

/// What happens to the objects of a custom resource on their way in and out.
extension CustomResource {
  // MARK: writes

  /// For a create, after defaulting: no status where that has an endpoint of its own.
  package func prepareForCreate(_ object: inout JSON) {
    if hasStatus { object["status"] = .null }
    object["metadata"]["generation"] = 1
  }

  /// For an update, before validation: keeps what the endpoint may not change and counts the generation. The generation grows
  /// with every change outside of metadata, and outside of status where that has an endpoint of its own.
  package func prepareForUpdate(_ new: inout JSON, old: JSON, subresource: String?) {
    if subresource == "status" {
      var result = old
      result["status"] = new["status"]
      result["metadata"]["managedFields"] = new["metadata"]["managedFields"]
      result["metadata"]["resourceVersion"] = new["metadata"]["resourceVersion"]
      new = result
      return
    }
    if hasStatus { new["status"] = old["status"] }
    let generation = old["metadata"]["generation"].int ?? 1
    new["metadata"]["generation"] = JSON(content(of: new) == content(of: old) ? generation : generation + 1)
  }

  private func content(of object: JSON) -> JSON {
    var content = object
    content["metadata"] = .null
    content["apiVersion"] = .null
    if hasStatus { content["status"] = .null }
    return content
  }

  // MARK: reads

  /// Whether objects may have to be changed before they are sent. Where the definition has never changed, every object of its
  /// storage version was written under the present schema, so that the stored bytes can go out as they are.
  package var readsNeedWork: Bool { !isStorageVersion || !isOriginal }

  /// A stored object as this version shows it, where conversion is a change of apiVersion alone: pruned and defaulted by this
  /// version's schema.
  package func present(_ object: inout JSON) {
    object["apiVersion"] = .string(apiVersion)
    if !keepsEverything { _ = try? pruneCustom(&object, schema, kind: kind) }
    schema.fillDefaults(&object)
  }

  // MARK: scale

  /// The autoscaling/v1 Scale of an object; nil where `specReplicasPath` holds no number, which is a 500 in upstream.
  package func scale(of object: JSON) -> JSON? {
    guard let scale, let replicas = Self.value(at: scale.specReplicas, object).int else { return nil }
    let metadata = object["metadata"]
    var result: JSON = [
      "kind": "Scale", "apiVersion": "autoscaling/v1",
      "metadata": [
        "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
      ],
      "spec": ["replicas": JSON(replicas)],
      "status": ["replicas": JSON(Self.value(at: scale.statusReplicas, object).int ?? 0)],
    ]
    if let path = scale.labelSelector, let selector = Self.value(at: path, object).string, !selector.isEmpty {
      result["status"]["selector"] = .string(selector)
    }
    return result
  }

  /// The object with the replicas that a Scale asks for.
  package func setReplicas(_ replicas: Int, in object: inout JSON) {
    guard let path = scale?.specReplicas else { return }
    Self.set(JSON(replicas), at: path[...], in: &object)
  }

  private static func value(at path: [String], _ object: JSON) -> JSON { path.reduce(object) { $0[$1] } }

  private static func set(_ value: JSON, at path: ArraySlice<String>, in object: inout JSON) {
    guard let first = path.first else {
      object = value
      return
    }
    set(value, at: path.dropFirst(), in: &object[first])
  }

  // MARK: validation

  /// What is wrong with an object beside its metadata.
  func errors(of object: JSON, old: JSON?) -> [FieldError] {
    var findings = Findings()
    if object["apiVersion"].string != apiVersion {
      findings.invalid(FieldPath("apiVersion"), object["apiVersion"], "must be \(apiVersion)")
    }
    if object["kind"].string != kind { findings.invalid(FieldPath("kind"), object["kind"], "must be \(kind)") }
    var errors = findings.errors + schema.errors(of: object, old: old)
    if schema.hasEmbeddedResources { errors += Self.ratcheted(object, old) { self.schema.embeddedErrors(of: $0) } }
    if schema.hasListTypes { errors += Self.ratcheted(object, old) { self.schema.duplicateErrors(of: $0) } }
    guard let rules else { return errors }
    // Rules look at what the schema promises them.
    let blocking: Set<FieldError.Reason> = [.required, .tooLong, .tooMany, .typeInvalid]
    if errors.contains(where: { blocking.contains($0.reason) }) {
      errors.append(
        FieldError(
          path: "<nil>", reason: .invalid,
          message:
            "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
        ))
      return errors
    }
    return errors + rules.errors(object: object, old: old)
  }

  /// What was wrong before may stay wrong.
  private static func ratcheted(_ object: JSON, _ old: JSON?, _ check: (JSON) -> [FieldError]) -> [FieldError] {
    if let old, !check(old).isEmpty { return [] }
    return check(object)
  }
}

extension StructuralSchema {
  /// Items of sets and of lists with map keys that occur twice.
  func duplicateErrors(of value: JSON, path: [SchemaStep] = []) -> [FieldError] {
    guard hasListTypes else { return [] }
    var errors: [FieldError] = []
    switch value {
    case .object(let fields):
      for (name, child) in fields { errors += self.child(name)?.duplicateErrors(of: child, path: path + [.field(name)]) ?? [] }
    case .array(let elements):
      var seen: Set<String> = []
      for (i, element) in elements.enumerated() {
        if listType == "set" || listType == "map" {
          let identity = listType == "set" ? element.canonicalText : identity(of: element) ?? ""
          if !seen.insert(identity).inserted {
            errors.append(
              FieldError(path: SchemaStep.text(path + [.index(i)]), reason: .duplicate, message: "Duplicate value: \(identity)"))
          }
        }
        errors += items?.duplicateErrors(of: element, path: path + [.index(i)]) ?? []
      }
    default: break
    }
    return errors
  }

  /// What is missing in embedded resources or wrong with their metadata.
  func embeddedErrors(of value: JSON, path: [SchemaStep] = []) -> [FieldError] {
    guard hasEmbeddedResources else { return [] }
    var errors: [FieldError] = []
    switch value {
    case .object(let fields):
      if isEmbeddedResource {
        var findings = Findings()
        let at = FieldPath(SchemaStep.text(path))
        for name in ["apiVersion", "kind"] where value[name].isEmpty { findings.required(at / name, "must not be empty") }
        findings.embeddedMetadata(value["metadata"], at / "metadata")
        errors += findings.errors
      }
      for (name, child) in fields { errors += self.child(name)?.embeddedErrors(of: child, path: path + [.field(name)]) ?? [] }
    case .array(let elements):
      for (i, element) in elements.enumerated() { errors += items?.embeddedErrors(of: element, path: path + [.index(i)]) ?? [] }
    default: break
    }
    return errors
  }
}

extension Findings {
  /// Metadata of a resource inside a resource; a name is not needed.
  fileprivate mutating func embeddedMetadata(_ metadata: JSON, _ path: FieldPath) {
    if !metadata["name"].isEmpty { check(metadata["name"], path / "name", NameProblems.pathSegment) }
    if !metadata["namespace"].isEmpty { check(metadata["namespace"], path / "namespace", NameProblems.dnsLabel) }
    labels(metadata["labels"], path / "labels")
    annotations(metadata["annotations"], path / "annotations")
  }
}
