import JSONCodec

/// The part of kubectl's JSONPath that printer columns use: fields, `['a']`, `[0]`, `[-1]`, `[0:2]`, `[*]`, `.*`, `..a` and filters such as
/// `[?(@.type=="Ready")]`.
struct JSONPath: Sendable {
  enum Step: Sendable {
    case field(String)
    case index(Int)
    case slice(Int?, Int?)
    case all
    case anywhere(String)
    /// Items whose value at the path compares so; without a comparison, those that have it.
    case filter([Step], Comparison?)
  }

  struct Comparison: Sendable {
    let sign: String
    let value: JSON
  }

  /// Values found beyond this are left out.
  static let resultsMax = 10_000

  let steps: [Step]

  /// Nil where the text is no such path.
  init?(_ text: String) {
    var parser = Parser(Array(text))
    guard let steps = parser.steps(), parser.isAtEnd else { return nil }
    self.steps = steps
  }

  func values(in object: JSON) -> [JSON] { Self.values(steps[...], object) }

  private static func values(_ steps: ArraySlice<Step>, _ value: JSON) -> [JSON] {
    var current = [value]
    for step in steps {
      var found: [JSON] = []
      for value in current where found.count < resultsMax { found += self.step(step, value) }
      current = found
    }
    return current
  }

  private static func step(_ step: Step, _ value: JSON) -> [JSON] {
    switch step {
    case .field(let name): return value.object?[name].map { [$0] } ?? []
    case .index(let i):
      guard let items = value.array else { return [] }
      let at = i < 0 ? items.count + i : i
      return items.indices.contains(at) ? [items[at]] : []
    case .slice(let from, let to):
      guard let items = value.array else { return [] }
      func bound(_ i: Int) -> Int { min(max(i < 0 ? items.count + i : i, 0), items.count) }
      let start = bound(from ?? 0)
      return Array(items[start..<max(start, bound(to ?? items.count))])
    case .all: return value.array ?? value.object?.values ?? []
    case .anywhere(let name): return anywhere(name, value)
    case .filter(let path, let comparison):
      return (value.array ?? []).filter { item in
        guard let found = values(path[...], item).first else { return false }
        return comparison.map { holds($0, found) } ?? true
      }
    }
  }

  private static func anywhere(_ name: String, _ value: JSON) -> [JSON] {
    var found: [JSON] = value.object?[name].map { [$0] } ?? []
    for child in value.array ?? value.object?.values ?? [] where found.count < resultsMax { found += anywhere(name, child) }
    return found
  }

  private static func holds(_ comparison: Comparison, _ value: JSON) -> Bool {
    switch comparison.sign {
    case "==": return value == comparison.value
    case "!=": return value != comparison.value
    default: break
    }
    let isLess: Bool
    if let a = value.double, let b = comparison.value.double {
      isLess = a < b
    } else if let a = value.string, let b = comparison.value.string {
      isLess = a < b
    } else {
      return false
    }
    let isEqual = value == comparison.value
    switch comparison.sign {
    case "<": return isLess
    case "<=": return isLess || isEqual
    case ">": return !isLess && !isEqual
    default: return !isLess
    }
  }

  private struct Parser {
    static let depthMax = 20
    let text: [Character]
    var at = 0
    var depth = 0

    init(_ text: [Character]) { self.text = text }

    var isAtEnd: Bool { at == text.count }
    var next: Character? { at < text.count ? text[at] : nil }

    mutating func take(_ word: String) -> Bool {
      let characters = Array(word)
      guard at + characters.count <= text.count, Array(text[at..<at + characters.count]) == characters else { return false }
      at += characters.count
      return true
    }

    mutating func steps() -> [Step]? {
      var steps: [Step] = []
      while let character = next {
        if take("..") {
          guard let name = name() else { return nil }
          steps.append(.anywhere(name))
        } else if take(".") {
          if next == "[" || isAtEnd { continue }
          if take("*") {
            steps.append(.all)
          } else {
            guard let name = name() else { return nil }
            steps.append(.field(name))
          }
        } else if character == "[" {
          at += 1
          guard let step = bracket() else { return nil }
          steps.append(step)
        } else {
          return steps
        }
      }
      return steps
    }

    mutating func name() -> String? {
      var name = ""
      while let character = next, !".[]()=<>! \"'".contains(character) || character == "\\" {
        at += 1
        if character == "\\", let escaped = next {
          name.append(escaped)
          at += 1
        } else {
          name.append(character)
        }
      }
      return name.isEmpty ? nil : name
    }

    mutating func bracket() -> Step? {
      if take("*]") { return .all }
      if take("?(") { return filter() }
      if next == "'" || next == "\"" {
        guard let name = quoted(), take("]") else { return nil }
        return .field(name)
      }
      let from = number()
      if take("]") { return from.map { .index($0) } }
      guard take(":") else { return nil }
      let to = number()
      return take("]") ? .slice(from, to) : nil
    }

    mutating func number() -> Int? {
      let start = at
      if next == "-" { at += 1 }
      while let character = next, character.isASCII, character.isNumber { at += 1 }
      return Int(String(text[start..<at]))
    }

    mutating func quoted() -> String? {
      guard let quote = next else { return nil }
      at += 1
      var result = ""
      while let character = next, character != quote {
        at += 1
        if character == "\\", let escaped = next {
          result.append(escaped)
          at += 1
        } else {
          result.append(character)
        }
      }
      return take(String(quote)) ? result : nil
    }

    mutating func skipBlanks() { while next == " " { at += 1 } }

    mutating func filter() -> Step? {
      depth += 1
      defer { depth -= 1 }
      skipBlanks()
      guard depth <= Self.depthMax, take("@"), let path = steps() else { return nil }
      skipBlanks()
      if take(")]") { return .filter(path, nil) }
      for sign in ["==", "!=", "<=", ">=", "<", ">"] where take(sign) {
        skipBlanks()
        guard let value = literal() else { return nil }
        skipBlanks()
        return take(")]") ? .filter(path, Comparison(sign: sign, value: value)) : nil
      }
      return nil
    }

    mutating func literal() -> JSON? {
      if next == "'" || next == "\"" { return quoted().map { .string($0) } }
      var word = ""
      while let character = next, character != ")", character != " " {
        word.append(character)
        at += 1
      }
      return try? JSON.parse(word)
    }
  }
}
