/// Compares values and counts what it looked at: values can share parts so often that a full comparison never ends.
struct CELEquality {
  let visitsMax: Int
  private(set) var visits = 0

  init(visitsMax: Int) { self.visitsMax = visitsMax }

  /// True where the comparison was given up; its answer then means nothing.
  var isExhausted: Bool { visits > visitsMax }

  mutating func areEqual(_ a: CELValue, _ b: CELValue) -> Bool {
    visits += 1
    if isExhausted { return false }
    switch (a, b) {
    case (.null, .null): return true
    case (.bool(let x), .bool(let y)): return x == y
    case (.string(let x), .string(let y)): return x.isSameText(as: y)
    case (.bytes(let x), .bytes(let y)): return x == y
    case (.timestamp(let x), .timestamp(let y)): return x == y
    case (.duration(let x), .duration(let y)): return x == y
    case (.list(let x), .list(let y)): return areEqual(x, y)
    case (.map(let x), .map(let y)): return areEqual(x, y)
    case (.object(let x), .object(let y)): return areEqual(x, y)
    case (.map(let map), .object(let object)), (.object(let object), .map(let map)): return areEqual(object, map)
    case (.type(let x), .type(let y)): return x.runtimeName == y.runtimeName
    case (.optional(let x), .optional(let y)):
      guard let x, let y else { return x == nil && y == nil }
      return areEqual(x, y)
    case (.opaque(let x), .opaque(let y)): return x.typeName == y.typeName && x.isEqual(to: y)
    default: return a.compareNumber(with: b) == .equal
    }
  }

  private mutating func areEqual(_ a: CELList, _ b: CELList) -> Bool {
    guard a.count == b.count else { return false }
    if a.kind != .atomic {
      var rest = b.values
      for i in 0..<a.count {
        let item = a[i]
        guard let place = firstIndex(of: item, in: rest) else { return false }
        rest.swapAt(place, rest.count - 1)
        rest.removeLast()
      }
      return true
    }
    for i in 0..<a.count where !areEqual(a[i], b[i]) { return false }
    return true
  }

  private mutating func firstIndex(of item: CELValue, in values: [CELValue]) -> Int? {
    for (i, value) in values.enumerated() where areEqual(item, value) { return i }
    return nil
  }

  private mutating func areEqual(_ a: CELMap, _ b: CELMap) -> Bool {
    guard a.count == b.count else { return false }
    for key in a.keys {
      guard let mine = a[key], let other = b[key], areEqual(mine, other) else { return false }
    }
    return true
  }

  private mutating func areEqual(_ a: CELObject, _ b: CELObject) -> Bool {
    guard a.count == b.count else { return false }
    for name in a.names {
      guard let mine = a.value(name), let other = b.value(name), areEqual(mine, other) else { return false }
    }
    return true
  }

  private mutating func areEqual(_ a: CELObject, _ b: CELMap) -> Bool {
    guard a.count == b.count else { return false }
    for name in a.names {
      guard let mine = a.value(name), let other = b[.string(name)], areEqual(mine, other) else { return false }
    }
    return true
  }
}
