import JSONCodec

/// A strategic merge patch: a merge patch that knows which lists are merged, by which key, and that carries directives.
///
/// Directives: `$patch: delete|replace` in an object or an item, `$retainKeys: [...]`, `$deleteFromPrimitiveList/<field>`,
/// `$setElementOrder/<field>`. Null removes. New items of a merged list stand before those that the patch does not name,
/// unless `$setElementOrder` says otherwise.
/// Source: the behaviour of apimachinery's strategicpatch package.
package func strategicMerge(original: JSON, patch: JSON, type: SchemaType) throws(PatchError) -> JSON {
  guard case .object(let changes) = patch else { throw .malformed("strategic merge patch must be an object") }
  return .object(try StrategicMerge.merge(original.object ?? JSONObject(), changes, .type(type)))
}

enum StrategicMerge {
  static let directive = "$patch"
  static let retainKeysDirective = "$retainKeys"
  static let deletePrefix = "$deleteFromPrimitiveList/"
  static let orderPrefix = "$setElementOrder/"

  /// What tells how the fields of an object are merged.
  enum Scope {
    case type(SchemaType)
    case map(FieldValue)
    /// Free-form content: objects are merged, lists replaced.
    case unknown

    init(_ value: FieldValue?) {
      switch value {
      case .object(let type): self = .type(type)
      case .map(let element): self = .map(element)
      case .list(let element): self = Scope(element)
      default: self = .unknown
      }
    }

    /// What is below a field, and how the field is changed.
    func below(_ field: String) -> (scope: Scope, patch: PatchStrategy) {
      switch self {
      case .type(let type):
        guard let found = type.field(field) else { return (.unknown, PatchStrategy()) }
        return (Scope(found.value), found.patch)
      case .map(let element): return (Scope(element), PatchStrategy())
      case .unknown: return (.unknown, PatchStrategy())
      }
    }
  }

  static func merge(_ original: JSONObject, _ patch: JSONObject, _ scope: Scope) throws(PatchError) -> JSONObject {
    if let directive = patch[directive] { return try replacement(by: directive, patch) }
    var result = original
    var changes = patch
    try retainKeys(&result, &changes)
    try orderLists(&result, &changes, scope)
    for (name, value) in changes {
      let isDeletion = name.hasPrefix(deletePrefix)
      let key = isDeletion ? String(name.dropFirst(deletePrefix.count)) : name
      try mergeField(&result, key, value, scope, isDeletion: isDeletion)
    }
    return result
  }

  private static func mergeField(
    _ result: inout JSONObject, _ key: String, _ value: JSON, _ scope: Scope, isDeletion: Bool
  ) throws(PatchError) {
    if value.isNull {
      result[key] = Optional<JSON>.none
      return
    }
    let below = scope.below(key)
    switch (result[key], value) {
    case (.object(let old)?, .object(let new)) where !isDeletion && !below.patch.replaces:
      result[key] = .object(try merge(old, new, below.scope))
    case (.array(let old)?, .array(let new)) where isDeletion || below.patch.merges:
      result[key] = .array(try mergeLists(old, new, below.patch.mergeKey, below.scope, isDeletion: isDeletion))
    case (_, _) where isDeletion: break  // nothing there to delete from
    default: result[key] = withoutDirectives(value)
    }
  }

  /// `$patch` in an object decides about the whole object.
  private static func replacement(by directive: JSON, _ patch: JSONObject) throws(PatchError) -> JSONObject {
    switch directive.string {
    case "replace":
      var plain = patch
      plain[Self.directive] = Optional<JSON>.none
      return withoutDirectives(.object(plain))?.object ?? JSONObject()
    case "delete": return JSONObject()
    default: throw .malformed("unknown patch type: \(directive.string ?? directive.text()) in map")
    }
  }

  /// `$retainKeys` names all fields that may stay.
  private static func retainKeys(_ original: inout JSONObject, _ patch: inout JSONObject) throws(PatchError) {
    guard let directive = patch[retainKeysDirective] else { return }
    patch[retainKeysDirective] = Optional<JSON>.none
    guard case .array(let items) = directive else { throw .malformed("invalid patch format of $retainKeys") }
    let retained = Set(items.compactMap(\.string))
    for (key, value) in patch where !value.isNull && !key.hasPrefix(deletePrefix) && !key.hasPrefix(orderPrefix) {
      guard retained.contains(key) else { throw .malformed("invalid patch format of $retainKeys") }
    }
    for key in original.keys where !retained.contains(key) { original[key] = Optional<JSON>.none }
  }

  /// Merges the lists whose order the patch gives, and takes them out of the patch.
  private static func orderLists(_ original: inout JSONObject, _ patch: inout JSONObject, _ scope: Scope) throws(PatchError) {
    for (name, directive) in patch where name.hasPrefix(orderPrefix) {
      patch[name] = Optional<JSON>.none
      let key = String(name.dropFirst(orderPrefix.count))
      guard case .array(let order) = directive else { throw .malformed("invalid patch format of setElementOrder list") }
      if let value = patch[key], value.isNull { continue }
      let below = scope.below(key)
      let identity = ListIdentity(mergeKey: below.patch.mergeKey)
      let old = original[key]?.array
      let new = patch[key]?.array
      if let new { try checkOrder(of: new, in: order, identity) }
      let merged: [JSON]
      switch (old, new) {
      case (nil, nil): continue
      case (let old?, nil): merged = old
      case (nil, let new?): merged = new.compactMap(withoutDirectives)
      case (let old?, let new?):
        merged =
          below.patch.merges
          ? try mergeLists(old, new, below.patch.mergeKey, below.scope, isDeletion: false) : new.compactMap(withoutDirectives)
      }
      original[key] = .array(try identity.arranged(merged, by: order, serverOrder: old ?? []))
      patch[key] = Optional<JSON>.none
    }
  }

  /// The items of a patch must come in the order that the patch itself asks for.
  private static func checkOrder(of items: [JSON], in order: [JSON], _ identity: ListIdentity) throws(PatchError) {
    guard !order.isEmpty else { return }
    var position = 0
    let wanted = try order.map { (item) throws(PatchError) in try identity.key(of: item) }
    for item in items where item[directive].string != "delete" {
      let key = try identity.key(of: item)
      while position < wanted.count, wanted[position] != key { position += 1 }
      guard position < wanted.count else {
        throw .malformed(
          "The order in patch list:\n\(JSON.array(items).text())\n doesn't match $setElementOrder list:\n\(JSON.array(order).text())\n")
      }
      position += 1
    }
  }

  /// A value as it is stored where there was none: no directives, no nulls. Nil for what asks for its own deletion.
  static func withoutDirectives(_ value: JSON) -> JSON? {
    switch value {
    case .object(let object):
      if object[directive]?.string == "delete" { return nil }
      var result = JSONObject()
      for (key, child) in object where !child.isNull && !isDirective(key) {
        if let plain = withoutDirectives(child) { result.append(key, plain) }
      }
      return .object(result)
    case .array(let items): return .array(items.filter { !isBareDirective($0) }.compactMap(withoutDirectives))
    default: return value
    }
  }

  private static func isDirective(_ key: String) -> Bool {
    key.hasPrefix("$") && (key == directive || key == retainKeysDirective || key.hasPrefix(deletePrefix) || key.hasPrefix(orderPrefix))
  }

  private static func isBareDirective(_ item: JSON) -> Bool {
    item.object.map { $0.count == 1 && $0.contains(directive) } ?? false
  }
}
