import JSONCodec
import KubernetesAPI

/// Server-side apply: merges a configuration into the live object and keeps account of who owns which field.
///
/// Fields that this manager applied before, does not apply now and that nobody else owns are removed. A field that another
/// manager owns and that would change is a conflict, unless `force` takes it over. The same value makes both its owners.
/// - `live`: nil when the object is being created.
/// - `applied`: with apiVersion, kind and metadata.name; nulls in it count as fields that are not set.
/// - Returns: the merged object with its managedFields; equal to `live` where the apply changes nothing. Defaults are for
///   the caller to fill in; nobody owns them.
/// - `type`: nil for objects without a schema.
package func serverSideApply(
  live: JSON?, applied: JSON, manager: String, force: Bool, subresource: String? = nil, type: SchemaType?, apiVersion: String,
  now: Timestamp
) throws(ApplyError) -> JSON {
  guard applied["metadata"]["managedFields"].isNull else { throw .badRequest("metadata.managedFields must be nil") }
  let version = applied["apiVersion"].string ?? ""
  guard version == apiVersion else {
    throw .badRequest("Incorrect version specified in apply patch. Specified patch version: \(version), expected: \(apiVersion)")
  }
  let subresource = subresource.flatMap { $0.isEmpty ? nil : $0 }
  let apply = ServerSideApply(
    live: live ?? .object(JSONObject()), configuration: ApplyMerge.withoutNulls(applied), type: type, apiVersion: apiVersion,
    manager: FieldManager(name: manager, operation: .apply, subresource: subresource, apiVersion: apiVersion), now: now)
  return try apply.run(force: force)
}

/// Why an applied configuration does not fit its type, in upstream's words; nil where it does.
package func appliedMismatch(_ configuration: JSON, type: SchemaType?) -> String? {
  let apply = ServerSideApply(
    live: .object(JSONObject()), configuration: ApplyMerge.withoutNulls(configuration), type: type,
    apiVersion: configuration["apiVersion"].string ?? "",
    manager: FieldManager(name: "", operation: .apply, subresource: nil, apiVersion: ""), now: .now)
  return apply.mismatch
}

struct ServerSideApply {
  let live: JSON
  let configuration: JSON
  let type: SchemaType?
  let apiVersion: String
  let manager: FieldManager
  let now: Timestamp

  private var shape: FieldShape { FieldShape(type) }
  private var foreign: FieldSet { foreignFields(subresource: manager.subresource, type: type) }

  /// With kubectl's own rule: what its client-side apply set is its to change, and the annotation of that follows.
  func run(force: Bool) throws(ApplyError) -> JSON {
    var result: JSON
    do throws(ApplyError) {
      result = try merged(force: force)
    } catch .conflict(let conflict) where manager.name == "kubectl" {
      let allowed = LastApplied.fields(of: live, shape)
      let rest = conflict.causes.filter { !allowed.contains($0.field) }
      guard rest.isEmpty else { throw .conflict(ApplyConflict(causes: rest)) }
      result = try merged(force: true)
    }
    if manager.name == "kubectl" { LastApplied.follow(configuration, in: &result) }
    return result
  }

  var mismatch: String? {
    let problems = ApplyMerge.mismatches(configuration, shape, path: "")
    guard let first = problems.first else { return nil }
    let text = problems.count == 1 ? first : "errors:\n" + problems.map { "  " + $0 }.joined(separator: "\n")
    return "failed to create typed patch object (\(objectDescription)): \(text)"
  }

  private func merged(force: Bool) throws(ApplyError) -> JSON {
    if let mismatch { throw .mismatch(mismatch) }
    var managed = ManagedFields(live["metadata"]["managedFields"]) ?? ManagedFields()
    var current = live
    current.removeManagedFields()
    if managed.entries.isEmpty {
      let first = FieldManager(name: "before-first-apply", operation: .update, subresource: nil, apiVersion: apiVersion)
      let comparison = FieldComparison(.object(JSONObject()), current, shape).excluding(foreign)
      managed.note(comparison, by: first, apiVersion: apiVersion, now: now)
    }
    let before = managed
    let last = managed.entries[manager]
    let fields = FieldSet(of: configuration, shape).subtractingRecursively(foreign)
    managed.entries[manager] = ManagedFields.Entry(fields: fields, apiVersion: apiVersion, time: last?.time)

    var result = ApplyMerge.merge(current, ownPart, shape) ?? current
    if let last, !last.fields.isEmpty { result = pruned(result, last: last.fields, managed) }
    let comparison = FieldComparison(current, result, shape).excluding(foreign)
    if !force { try checkConflicts(comparison, managed) }
    managed.release(comparison, except: manager)
    managed.dropUntracked()
    if result != current || managed != before { managed.entries[manager]?.time = now.rfc3339 }
    result.setManagedFields(managed)
    return result
  }

  /// The configuration without what belongs to another endpoint.
  private var ownPart: JSON {
    ApplyMerge.removing(foreign, from: configuration, shape) ?? configuration
  }

  private var objectDescription: String {
    let metadata = configuration["metadata"]
    let namespace = metadata["namespace"].string ?? ""
    let name = (namespace.isEmpty ? "" : namespace + "/") + (metadata["name"].string ?? "")
    return "\(name); \(apiVersion), Kind=\(configuration["kind"].string ?? "")"
  }

  private func checkConflicts(_ comparison: FieldComparison, _ managed: ManagedFields) throws(ApplyError) {
    let changed = comparison.modified.union(comparison.added)
    var causes: [ApplyConflict.Cause] = []
    for (other, entry) in managed.entries where other != manager {
      for path in entry.fields.intersection(changed).paths {
        causes.append(ApplyConflict.Cause(manager: other.description, field: path))
      }
    }
    guard causes.isEmpty else {
      throw .conflict(ApplyConflict(causes: causes.sorted { ($0.manager, $0.field) < ($1.manager, $1.field) }))
    }
  }

  /// The merged object without what this manager applied last time and does not apply now, as far as nobody else owns it.
  private func pruned(_ merged: JSON, last: FieldSet, _ managed: ManagedFields) -> JSON {
    let lastNamed = last.withNamedParents(shape)
    let stripped = ApplyMerge.removing(lastNamed, from: merged, shape) ?? .object(JSONObject())
    let mergedFields = FieldSet(of: merged, shape).withNamedParents(shape)
    let owned = managed.entries.values.reduce(FieldSet()) { $0.union($1.fields) }.withNamedParents(shape)
    // Back comes what somebody owns, and then what this manager never owned but that went with its parent.
    let strippedFields = FieldSet(of: stripped, shape).withNamedParents(shape)
    let kept = ApplyMerge.removing(mergedFields.subtracting(strippedFields.union(owned)), from: merged, shape) ?? merged
    let keptFields = FieldSet(of: kept, shape).withNamedParents(shape)
    return ApplyMerge.removing(mergedFields.subtracting(keptFields).intersection(lastNamed), from: merged, shape) ?? merged
  }
}

/// The annotation in which client-side apply keeps the last applied configuration.
enum LastApplied {
  static let annotation = "kubectl.kubernetes.io/last-applied-configuration"
  /// All annotations of an object together, as upstream limits them.
  static let annotationsSizeMax = 256 * 1024

  /// The paths of the fields that client-side apply set.
  static func fields(of live: JSON, _ shape: FieldShape) -> Set<String> {
    guard let text = live["metadata"]["annotations"][annotation].string, let configuration = try? JSON.parse(text) else { return [] }
    return Set(FieldSet(of: ApplyMerge.withoutNulls(configuration), shape).paths)
  }

  /// Brings the annotation up to date, where there is one.
  static func follow(_ configuration: JSON, in object: inout JSON) {
    guard object["metadata"]["annotations"][annotation].string != nil else { return }
    var plain = configuration
    if !plain["metadata"]["annotations"].isNull { plain["metadata"]["annotations"][annotation] = .null }
    object["metadata"]["annotations"][annotation] = .string(plain.text() + "\n")
    let size = (object["metadata"]["annotations"].object ?? JSONObject()).reduce(0) { size, field in
      size + field.0.utf8.count + (field.1.string?.utf8.count ?? 0)
    }
    if size > annotationsSizeMax { object["metadata"]["annotations"][annotation] = .null }
  }
}
