import JSONCodec
import KubernetesAPI

/// Fields that a request cannot change, because they belong to another endpoint: status for the main resource, spec for
/// the status subresource. Nobody comes to own them through it.
func foreignFields(subresource: String?, type: SchemaType?) -> FieldSet {
  if subresource == "status" { return FieldSet(field: "spec") }
  if let type, type.field("status") == nil { return FieldSet() }
  return FieldSet(field: "status")
}

/// Notes in `new.metadata.managedFields` who changed what, for every request that writes except server-side apply.
///
/// To be called with defaults filled in on both sides, as upstream does: who creates an object owns its defaults.
/// - `old`: the stored object; nil when it is being created.
/// - `new`: the object as the request wants it. Its own managedFields count (a client may edit the list, `[{}]` resets it)
///   unless the request is for a subresource.
/// - `type`: nil for objects without a schema.
/// The time of an entry changes only when its manager set or changed a field in this request.
package func updateManagedFields(
  old: JSON?, new: inout JSON, manager: String, subresource: String?, type: SchemaType?, apiVersion: String, now: Timestamp
) {
  let subresource = subresource.flatMap { $0.isEmpty ? nil : $0 }
  let before = old?["metadata"]["managedFields"] ?? .null
  let given = new["metadata"]["managedFields"]
  new.removeManagedFields()
  var live = old ?? .object(JSONObject())
  live.removeManagedFields()
  let comparison = FieldComparison(live, new, FieldShape(type)).excluding(foreignFields(subresource: subresource, type: type))
  if comparison.isEmpty, subresource != nil || given.isEmpty || given == before {
    // Nothing to note: the list stays as it is, without being read.
    if !before.isNull { new["metadata"]["managedFields"] = before }
    return
  }
  var managed = ManagedFields(live: before, new: given, isSubresource: subresource != nil)
  managed.note(
    comparison, by: FieldManager(name: manager, operation: .update, subresource: subresource, apiVersion: apiVersion),
    apiVersion: apiVersion, now: now)
  managed.capUpdaters()
  new.setManagedFields(managed)
}

extension ManagedFields {
  mutating func note(_ comparison: FieldComparison, by manager: FieldManager, apiVersion: String, now: Timestamp) {
    let taken = comparison.added.union(comparison.modified).subtracting(Self.neverTracked)
    let own = entries[manager]
    release(comparison, except: nil)
    if !taken.isEmpty {
      // What was the manager's own stays so: it only gave up what others would have given up too, and gets it back here.
      let kept = (own?.fields ?? FieldSet()).subtracting(comparison.removed)
      entries[manager] = Entry(fields: kept.union(taken), apiVersion: apiVersion, time: now.rfc3339)
    }
    dropUntracked()
  }
}

extension JSON {
  mutating func removeManagedFields() {
    guard !self["metadata"]["managedFields"].isNull else { return }
    self["metadata"]["managedFields"] = .null
  }

  mutating func setManagedFields(_ managed: ManagedFields) {
    let list = managed.json
    if list.isNull { removeManagedFields() } else { self["metadata"]["managedFields"] = list }
  }
}
