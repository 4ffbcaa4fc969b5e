import JSONCodec

/// What differs between two states of an object, as sets of fields.
///
/// Source: structured-merge-diff's compare. A value that appears brings its parents along that appeared with it.
struct FieldComparison {
  var added = FieldSet()
  var modified = FieldSet()
  var removed = FieldSet()

  /// Nil is a missing value; `.null` and {} and [] count as present and empty.
  init(_ old: JSON?, _ new: JSON?, _ shape: FieldShape) {
    guard old != nil || new != nil else { return }
    if let old, let new, old == new { return }  // most of an object: spares the walk through its schema
    let shape = shape.resolved(old, new)
    if case .leaf = shape {
      noteLeaf(old, new)
      return
    }
    if old?.isEmpty ?? true, new?.isEmpty ?? true {
      if old == nil || new == nil { noteLeaf(old, new) }
      return
    }
    switch shape {
    case .object, .map, .structured, .deduced: compareFields(old, new, shape)
    case .set, .list: compareItems(old?.array ?? [], new?.array ?? [], shape)
    case .leaf: break
    }
    if old == nil { added.isMember = true } else if new == nil { removed.isMember = true }
  }

  private mutating func noteLeaf(_ old: JSON?, _ new: JSON?) {
    if old == nil {
      added.isMember = true
    } else if new == nil {
      removed.isMember = true
    } else if old != new {
      modified.isMember = true
    }
  }

  private mutating func note(_ element: PathElement, _ child: FieldComparison) {
    added[element] = child.added
    modified[element] = child.modified
    removed[element] = child.removed
  }

  private mutating func compareFields(_ old: JSON?, _ new: JSON?, _ shape: FieldShape) {
    let before = old?.object
    let after = new?.object
    var names = before?.keys ?? []
    for name in after?.keys ?? [] where !(before?.contains(name) ?? false) { names.append(name) }
    if case .object(let type) = shape, old == nil || new == nil {
      // Upstream's structs write these even where nothing is in them.
      for field in type.fields where field.emptyForm != nil && !names.contains(field.name) { names.append(field.name) }
    }
    for name in names {
      let child = shape.child(name) ?? .deduced
      let left = Self.present(before?[name], name, shape, parent: old)
      let right = Self.present(after?[name], name, shape, parent: new)
      note(.field(name), FieldComparison(left, right, child))
    }
  }

  /// A missing struct or list that upstream would write as {} or null counts as present.
  private static func present(_ value: JSON?, _ name: String, _ shape: FieldShape, parent: JSON?) -> JSON? {
    if let value, !value.isNull { return value }
    guard parent != nil, case .object(let type) = shape else { return nil }
    return type.field(name)?.emptyForm
  }

  private mutating func compareItems(_ old: [JSON], _ new: [JSON], _ shape: FieldShape) {
    let before = Self.items(old, shape)
    let after = Self.items(new, shape)
    for (element, left) in before {
      let right = after[element] ?? []
      if left.count > 1 || right.count > 1 {
        // Items that share an identity are one big leaf.
        note(element, FieldComparison(.array(left), right.isEmpty ? nil : .array(right), .leaf))
      } else {
        note(element, FieldComparison(left[0], right.first, shape.itemShape))
      }
    }
    for (element, right) in after where before[element] == nil {
      note(element, right.count > 1 ? FieldComparison(nil, .array(right), .leaf) : FieldComparison(nil, right[0], shape.itemShape))
    }
  }

  private static func items(_ list: [JSON], _ shape: FieldShape) -> [PathElement: [JSON]] {
    var result: [PathElement: [JSON]] = [:]
    for (index, item) in list.enumerated() { result[shape.element(of: item) ?? .index(index), default: []].append(item) }
    return result
  }

  var isEmpty: Bool { added.isEmpty && modified.isEmpty && removed.isEmpty }

  func excluding(_ ignored: FieldSet) -> FieldComparison {
    guard !ignored.isEmpty else { return self }
    var result = self
    result.added = added.subtractingRecursively(ignored)
    result.modified = modified.subtractingRecursively(ignored)
    result.removed = removed.subtractingRecursively(ignored)
    return result
  }
}

extension SchemaField {
  /// How upstream writes the field when it holds nothing: {} for a struct, null for a list or map that is always written.
  fileprivate var emptyForm: JSON? {
    guard !isOptional else { return nil }
    switch value {
    case .object: return .object(JSONObject())
    case .list where !omitsEmpty, .map where !omitsEmpty: return .null
    default: return nil
    }
  }
}
