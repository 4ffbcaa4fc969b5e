import JSONCodec

/// What makes two items of a list the same: their merge key, or themselves where they are scalars.
struct ListIdentity {
  let mergeKey: String?

  /// Identities as text, so that they can be looked up.
  func key(of item: JSON) throws(PatchError) -> String {
    guard let mergeKey, case .object(let object) = item else { return item.text() }
    guard let value = object[mergeKey] else {
      throw .malformed("map: \(item.text()) does not contain declared merge key: \(mergeKey)")
    }
    return value.text()
  }

  func positions(_ items: [JSON]) throws(PatchError) -> [String: Int] {
    var result: [String: Int] = [:]
    for (index, item) in items.enumerated() {
      let key = try key(of: item)
      if result[key] == nil { result[key] = index }
    }
    return result
  }

  /// Puts the items that `order` names into that order, the others into the server's, and weaves the two: an item of the
  /// server's comes first only where the server had it before the next named one.
  func arranged(_ items: [JSON], by order: [JSON], serverOrder: [JSON]) throws(PatchError) -> [JSON] {
    let wanted = try positions(order)
    let known = try positions(serverOrder)
    var named: [(item: JSON, key: String)] = []
    var others: [(item: JSON, key: String)] = []
    for item in items {
      let key = try key(of: item)
      if wanted[key] != nil { named.append((item, key)) } else { others.append((item, key)) }
    }
    named = sorted(named, wanted)
    others = sorted(others, known)
    var result: [JSON] = []
    result.reserveCapacity(items.count)
    var i = 0
    var j = 0
    while i < others.count || j < named.count {
      let takesOther: Bool
      if i < others.count, j < named.count {
        if let left = known[others[i].key], let right = known[named[j].key] { takesOther = left < right } else { takesOther = false }
      } else {
        takesOther = i < others.count
      }
      if takesOther {
        result.append(others[i].item)
        i += 1
      } else {
        result.append(named[j].item)
        j += 1
      }
    }
    return result
  }

  /// A stable sort by position; what has none comes last.
  private func sorted(_ items: [(item: JSON, key: String)], _ positions: [String: Int]) -> [(item: JSON, key: String)] {
    items.enumerated().sorted { a, b in
      let left = positions[a.element.key] ?? Int.max
      let right = positions[b.element.key] ?? Int.max
      return left == right ? a.offset < b.offset : left < right
    }.map(\.element)
  }
}

extension StrategicMerge {
  /// Merges a list whose strategy is merge, or deletes scalars from one.
  static func mergeLists(
    _ original: [JSON], _ patch: [JSON], _ mergeKey: String?, _ scope: Scope, isDeletion: Bool
  ) throws(PatchError) -> [JSON] {
    if original.isEmpty && patch.isEmpty { return original }
    let objects = (original + patch).filter { $0.object != nil }.count
    guard !(original + patch).contains(where: { $0.array != nil }) else { throw .notApplicable("lists of lists are not supported") }
    if objects == 0 { return try mergeScalars(original, patch, isDeletion: isDeletion) }
    guard objects == original.count + patch.count else {
      throw .notApplicable("list element types are not identical")
    }
    guard let mergeKey else { throw .notApplicable("cannot merge lists without merge key") }
    return try mergeObjects(original, patch, ListIdentity(mergeKey: mergeKey), mergeKey, scope)
  }

  private static func mergeScalars(_ original: [JSON], _ patch: [JSON], isDeletion: Bool) throws(PatchError) -> [JSON] {
    let identity = ListIdentity(mergeKey: nil)
    if isDeletion {
      let deleted = try identity.positions(patch)
      return original.filter { deleted[$0.text()] == nil }
    }
    var seen: Set<String> = []
    let merged = (original + patch).filter { seen.insert($0.text()).inserted }
    return try identity.arranged(merged, by: patch, serverOrder: original)
  }

  private static func mergeObjects(
    _ original: [JSON], _ patch: [JSON], _ identity: ListIdentity, _ mergeKey: String, _ scope: Scope
  ) throws(PatchError) -> [JSON] {
    var result = original
    var changes: [JSON] = []
    var replacesAll = false
    for item in patch {
      switch item[directive] {
      case .null: changes.append(item)
      case "delete":
        let key = try identity.key(of: item)
        result = result.filter { $0[mergeKey].text() != key }
      case "replace": replacesAll = true
      case "merge": throw .notApplicable("merging lists cannot yet be specified in the patch")
      default: throw .malformed("unknown patch type: \(item[directive].string ?? item[directive].text()) in map")
      }
    }
    if replacesAll { return changes.compactMap(withoutDirectives) }
    let serverOrder = result
    var positions = try identity.positions(result)
    for item in changes {
      let key = try identity.key(of: item)
      if let position = positions[key] {
        let merged = try merge(result[position].object ?? JSONObject(), item.object ?? JSONObject(), scope)
        result[position] = .object(merged)
      } else if let plain = withoutDirectives(item) {
        positions[key] = result.count
        result.append(plain)
      }
    }
    return try identity.arranged(result, by: changes, serverOrder: serverOrder)
  }
}
