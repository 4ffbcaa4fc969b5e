import JSONCodec

/// The structural operations of server-side apply on values.
enum ApplyMerge {
  /// The live value with the applied one on top: leaves are replaced, granular objects and lists merged.
  ///
  /// Items of lists keep the applied order; live items that are not applied keep their place between them.
  static func merge(_ live: JSON?, _ applied: JSON?, _ shape: FieldShape) -> JSON? {
    guard let applied else { return live }
    guard let live, !live.isNull else { return applied }
    switch shape.resolved(live, applied) {
    case .leaf: return applied
    case .set, .list:
      guard let left = live.array, let right = applied.array else { return applied }
      if right.isEmpty { return left.isEmpty ? applied : live }
      return .array(mergeItems(left, right, shape))
    case let shape:
      guard var result = live.object, let changes = applied.object else { return applied }
      for (name, value) in changes {
        result[name] = merge(result[name], value, shape.child(name) ?? .deduced)
      }
      return .object(result)
    }
  }

  private static func mergeItems(_ live: [JSON], _ applied: [JSON], _ shape: FieldShape) -> [JSON] {
    let liveElements = live.enumerated().map { shape.element(of: $0.element) ?? .index($0.offset) }
    let appliedElements = applied.enumerated().map { shape.element(of: $0.element) ?? .index($0.offset) }
    let liveCounts = Dictionary(liveElements.map { ($0, 1) }, uniquingKeysWith: +)
    let liveItems = Dictionary(zip(liveElements, live), uniquingKeysWith: { first, _ in first })
    let appliedSet = Set(appliedElements)
    var shared = appliedElements.filter { liveItems[$0] != nil }[...]
    var merged: Set<PathElement> = []
    var result: [JSON] = []
    result.reserveCapacity(max(live.count, applied.count))
    /// A live item whose identity is not unique is not merged into: there is no telling which is meant.
    func combined(_ element: PathElement, _ item: JSON) -> JSON {
      merge(liveCounts[element] == 1 ? liveItems[element] : nil, item, shape.itemShape) ?? item
    }
    var l = 0
    var r = 0
    while l < live.count || r < applied.count {
      if l < live.count, r < applied.count {
        if liveElements[l] == appliedElements[r] {
          merged.insert(appliedElements[r])
          result.append(combined(appliedElements[r], applied[r]))
          l += 1
          r += 1
          shared = shared.dropFirst()
          continue
        }
        if appliedSet.contains(liveElements[l]), let next = shared.first, next != liveElements[l] {
          l += 1  // it comes later, in the applied order
          continue
        }
      }
      if l < live.count, !appliedSet.contains(liveElements[l]) {
        result.append(live[l])
        l += 1
        continue
      }
      if l < live.count, merged.contains(liveElements[l]) {
        l += 1
        continue
      }
      guard r < applied.count else {
        l += 1
        continue
      }
      merged.insert(appliedElements[r])
      result.append(combined(appliedElements[r], applied[r]))
      if shared.first == appliedElements[r] { shared = shared.dropFirst() }
      r += 1
    }
    return result
  }

  /// The value without the fields of a set; nil where nothing is left of an object or list.
  static func removing(_ fields: FieldSet, from value: JSON, _ shape: FieldShape) -> JSON? {
    switch (shape.resolved(value), value) {
    case (.leaf, _): return value
    case (let shape, .array(let items)):
      var result: [JSON] = []
      for item in items {
        guard let element = shape.element(of: item) else {
          result.append(item)
          continue
        }
        let below = fields[element]
        if below.isMember { continue }
        result.append(below.isEmpty ? item : removing(below, from: item, shape.itemShape) ?? .null)
      }
      return result.isEmpty ? nil : .array(result)
    case (let shape, .object(let object)):
      var result = JSONObject()
      for (name, child) in object {
        let below = fields[.field(name)]
        if below.isMember { continue }
        if below.isEmpty {
          result.append(name, child)
        } else if let rest = removing(below, from: child, shape.child(name) ?? .deduced) {
          result.append(name, rest)
        }
      }
      return result.isEmpty ? nil : .object(result)
    default: return value
    }
  }

  /// A configuration without nulls: a null field is one that is not set.
  static func withoutNulls(_ value: JSON) -> JSON {
    switch value {
    case .object(let object):
      var result = JSONObject()
      for (name, child) in object where !child.isNull { result.append(name, withoutNulls(child)) }
      return .object(result)
    case .array(let items): return .array(items.map(withoutNulls))
    default: return value
    }
  }

  /// What keeps an applied configuration from fitting its type: the messages of upstream's structured merge.
  static func mismatches(_ value: JSON, _ shape: FieldShape, path: String) -> [String] {
    let resolved = shape.resolved(value)
    switch (resolved, value) {
    case (.leaf, _), (.deduced, _): return []
    case (.object, .object(let object)), (.map, .object(let object)), (.structured, .object(let object)):
      return object.flatMap { name, child in
        guard let below = resolved.child(name) else { return ["\(path).\(name): field not declared in schema"] }
        return mismatches(child, below, path: "\(path).\(name)")
      }
    case (.set, .array(let items)), (.list, .array(let items)): return itemMismatches(items, shape, path: path)
    case (.object, _), (.map, _), (.structured, _): return ["\(path): expected map, got \(value.text())"]
    case (.set, _), (.list, _): return ["\(path): expected list, got \(value.text())"]
    }
  }

  private static func itemMismatches(_ items: [JSON], _ shape: FieldShape, path: String) -> [String] {
    var seen: Set<PathElement> = []
    var found: [String] = []
    for (index, item) in items.enumerated() {
      guard let element = shape.element(of: item) else {
        found.append("\(path): element \(index): \(identityProblem(item, shape))")
        continue
      }
      guard seen.insert(element).inserted else {
        found.append("\(path): duplicate entries for key \(element.pathText)")
        continue
      }
      found += mismatches(item, shape.itemShape, path: path + element.pathText)
    }
    return found
  }

  private static func identityProblem(_ item: JSON, _ shape: FieldShape) -> String {
    guard case .list(let keys, _, let defaults) = shape else { return "sets may only contain scalars" }
    guard let object = item.object else {
      return "associative list with keys may not have \(item.isNull ? "a null element" : "non-map elements")"
    }
    let missing = keys.first { object[$0] == nil && defaults[$0] == nil } ?? ""
    return "associative list with keys has an element that omits key field \"\(missing)\" (and doesn't have default value)"
  }
}
