import JSONCodec

/// The strategic merge patch of `pods/<name>/status` that turns one status into another; nil where nothing differs.
///
/// It carries `metadata.uid`, so that a namesake is never written to. Lists that merge by key (conditions, podIPs,
/// hostIPs) name only the items that changed and, where the order or the members changed, the whole order.
package func podStatusPatch(uid: String, from old: JSON, to new: JSON) -> JSON? {
  guard let patch = statusPatch(from: old, to: new, mergeKeys: ["conditions": "type", "podIPs": "ip", "hostIPs": "ip"]) else {
    return nil
  }
  return ["metadata": ["uid": .string(uid)], "status": patch]
}

/// The strategic merge patch between two `status` objects, one level deep; `mergeKeys` says which lists merge by which key.
package func statusPatch(from old: JSON, to new: JSON, mergeKeys: [String: String]) -> JSON? {
  // A server may keep `lastProbeTime: null` or drop it: nulls are no difference.
  let old = old.withoutNulls
  let new = new.withoutNulls
  var patch = JSONObject()
  for (key, value) in new.object ?? JSONObject() {
    let before = old[key]
    if before == value { continue }
    if let mergeKey = mergeKeys[key], let items = value.array, let earlier = before.array {
      appendListPatch(&patch, key, mergeKey, from: earlier, to: items)
    } else {
      patch[key] = value
    }
  }
  for (key, value) in old.object ?? JSONObject() where new[key].isNull && !value.isNull { patch[key] = JSON.null }
  return patch.isEmpty ? nil : .object(patch)
}

private func appendListPatch(_ patch: inout JSONObject, _ key: String, _ mergeKey: String, from old: [JSON], to new: [JSON]) {
  func find(_ items: [JSON], _ item: JSON) -> JSON? { items.first { $0[mergeKey] == item[mergeKey] } }
  var changed: [JSON] = []
  for item in new {
    let before = find(old, item)
    if before == item { continue }
    var item = item
    // A merged map keeps the fields that the patch does not name: those that went are named as null.
    if let before = before?.object, var object = item.object {
      for (field, _) in before where object[field] == nil { object[field] = JSON.null }
      item = .object(object)
    }
    changed.append(item)
  }
  for item in old where find(new, item) == nil {
    var gone = JSONObject([("$patch", "delete")])
    gone[mergeKey] = item[mergeKey]
    changed.append(.object(gone))
  }
  let order = new.map { JSON.object(JSONObject([(mergeKey, $0[mergeKey])])) }
  let before = old.map { JSON.object(JSONObject([(mergeKey, $0[mergeKey])])) }
  if changed.isEmpty && order == before { return }
  patch["$setElementOrder/\(key)"] = .array(order)
  if !changed.isEmpty { patch[key] = .array(changed) }
}

extension JSON {
  /// The same document without fields that are null, at any depth.
  package var withoutNulls: JSON {
    switch self {
    case .array(let items): .array(items.map(\.withoutNulls))
    case .object(let object): .object(JSONObject(object.filter { !$0.1.isNull }.map { ($0.0, $0.1.withoutNulls) }))
    default: self
    }
  }
}
