// Versions as of semver.org: Kubernetes' library.

/// `1.2.3-rc.1+build`.
struct CELSemver: CELOpaque, Comparable {
  let typeName = "kubernetes.Semver"
  let numbers: [UInt64]
  let preRelease: [String]

  func isEqual(to other: any CELOpaque) -> Bool { (other as? CELSemver).map { $0 == self } ?? false }

  /// Build metadata has no part in equality and order.
  static func == (a: Self, b: Self) -> Bool { a.numbers == b.numbers && a.preRelease == b.preRelease }

  static func < (a: Self, b: Self) -> Bool {
    if a.numbers != b.numbers { return a.numbers.lexicographicallyPrecedes(b.numbers) }
    if a.preRelease.isEmpty || b.preRelease.isEmpty { return !a.preRelease.isEmpty && b.preRelease.isEmpty }
    for (x, y) in zip(a.preRelease, b.preRelease) where x != y {
      switch (UInt64(x), UInt64(y)) {
      case (let m?, let n?): return m < n
      case (.some, nil): return true
      case (nil, .some): return false
      case (nil, nil): return x.textOrder(y) == .less
      }
    }
    return a.preRelease.count < b.preRelease.count
  }

  /// Nil where the text is no version. Normalizing takes `v1.2`, `1` and leading zeros as well.
  init?(_ text: String, normalizing: Bool = false) {
    var text = text[...]
    if normalizing, text.hasPrefix("v") { text = text.dropFirst() }
    let plus = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
    if plus.count > 1, !Self.identifiers(plus[1]).allSatisfy(Self.isIdentifier) { return nil }
    let dash = plus[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    var parts = dash[0].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    if normalizing {
      guard parts.count <= 3 else { return nil }
      if parts.count < 3, dash.count > 1 || plus.count > 1 { return nil }
      while parts.count < 3 { parts.append("0") }
      parts = parts.map { part in
        let rest = part.drop { $0 == "0" }
        return rest.isEmpty && !part.isEmpty ? "0" : String(rest)
      }
    }
    guard parts.count == 3 else { return nil }
    var numbers: [UInt64] = []
    for part in parts {
      guard Self.isNumber(part), part == "0" || !part.hasPrefix("0"), let number = UInt64(part) else { return nil }
      numbers.append(number)
    }
    var preRelease: [String] = []
    if dash.count > 1 {
      preRelease = Self.identifiers(dash[1])
      for part in preRelease {
        guard Self.isIdentifier(part), !(Self.isNumber(part) && part.hasPrefix("0") && part != "0") else { return nil }
      }
    }
    self.numbers = numbers
    self.preRelease = preRelease
  }

  private static func identifiers(_ text: Substring) -> [String] {
    text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
  }
  private static func isNumber(_ text: String) -> Bool { !text.isEmpty && text.unicodeScalars.allSatisfy(\.isDigit) }
  private static func isIdentifier(_ text: String) -> Bool {
    !text.isEmpty && text.unicodeScalars.allSatisfy { ($0.isIdentifierPart && $0 != "_") || $0 == "-" }
  }
}

extension CELLibrary {
  package static let semver: CELLibrary = {
    var library = CELLibrary("semver")
    let type = CELType.opaque("kubernetes.Semver")
    library.types["kubernetes.Semver"] = type
    let length = CELCallCost.traversal(of: 0, times: 1)
    let make: CELOverload.Body = { a, _ throws(CELError) in
      let text = try a.string(0)
      guard let value = CELSemver(text, normalizing: a.count > 1 ? try a.bool(1) : false) else {
        throw CELError("could not parse \(CELFormat.quote(text)) as a semantic version")
      }
      return .opaque(value)
    }
    let test: CELOverload.Body = { a, _ throws(CELError) in
      .bool(CELSemver(try a.string(0), normalizing: a.count > 1 ? try a.bool(1) : false) != nil)
    }
    library.function("semver", "string_to_semver", [.string], type, cost: length, make)
    library.function("semver", "string_bool_to_semver", [.string, .bool], type, cost: length, make)
    library.function("isSemver", "is_semver_string", [.string], .bool, cost: length, test)
    library.function("isSemver", "is_semver_string_bool", [.string, .bool], .bool, cost: length, test)
    for (i, name) in ["major", "minor", "patch"].enumerated() {
      library.member(name, "semver_\(name)", [type], .int) { a, _ throws(CELError) in
        .int(Int64(clamping: try a.opaque(0, CELSemver.self).numbers[i]))
      }
    }
    let comparisons: [(String, CELType, @Sendable (CELSemver, CELSemver) -> CELValue)] = [
      ("isLessThan", .bool, { .bool($0 < $1) }), ("isGreaterThan", .bool, { .bool($0 > $1) }),
      ("compareTo", .int, { .int($0 < $1 ? -1 : $0 == $1 ? 0 : 1) }),
    ]
    for (name, result, compare) in comparisons {
      library.member(name, "semver_\(name)", [type, type], result) { a, _ throws(CELError) in
        compare(try a.opaque(0, CELSemver.self), try a.opaque(1, CELSemver.self))
      }
    }
    return library
  }()
}
