/// A node of a parsed expression. Macros are expanded already.
package final class CELExpression: Sendable {
  /// Unique within the expression.
  let id: Int
  /// Code points from the start of the source.
  let offset: Int
  let kind: Kind

  init(id: Int, offset: Int, _ kind: Kind) {
    self.id = id
    self.offset = offset
    self.kind = kind
  }

  enum Kind: Sendable {
    case literal(CELValue)
    /// A leading dot means: from the root, past local variables.
    case identifier(String)
    case select(CELExpression, field: String, isTest: Bool)
    case call(String, target: CELExpression?, [CELExpression])
    case list([CELExpression], optional: Set<Int>)
    case map([Entry])
    case structure(String, [Field])
    case comprehension(Comprehension)
    /// `cel.bind`: a name for a value within a body.
    case bind(variable: String, CELExpression, body: CELExpression)
  }

  struct Entry: Sendable {
    let id: Int
    let key: CELExpression
    let value: CELExpression
    let isOptional: Bool
  }

  struct Field: Sendable {
    let id: Int
    let offset: Int
    let name: String
    let value: CELExpression
    let isOptional: Bool
  }

  /// A fold over a list or map: what every loop macro becomes.
  struct Comprehension: Sendable {
    let range: CELExpression
    let variable: String
    let variable2: String?
    let accumulator: String
    let initial: CELExpression
    let condition: CELExpression
    let step: CELExpression
    let result: CELExpression
  }

  /// `a.b.c` where the node is nothing but identifiers.
  var qualifiedName: String? {
    switch kind {
    case .identifier(let name): name
    case .select(let operand, let field, false): operand.qualifiedName.map { "\($0).\(field)" }
    default: nil
    }
  }
}

/// The names under which operators are called, as in cel-go.
enum CELOperator {
  static let conditional = "_?_:_"
  static let and = "_&&_"
  static let or = "_||_"
  static let not = "!_"
  static let equals = "_==_"
  static let notEquals = "_!=_"
  static let less = "_<_"
  static let lessEquals = "_<=_"
  static let greater = "_>_"
  static let greaterEquals = "_>=_"
  static let isIn = "@in"
  static let add = "_+_"
  static let subtract = "_-_"
  static let multiply = "_*_"
  static let divide = "_/_"
  static let modulo = "_%_"
  static let negate = "-_"
  static let index = "_[_]"
  static let optionalIndex = "_[?_]"
  static let optionalSelect = "_?._"
  static let notStrictlyFalse = "@not_strictly_false"
}

/// The text of an expression with its lines, for messages.
package struct CELSource: Sendable {
  package let text: String
  let scalars: [Unicode.Scalar]
  /// Offsets at which lines start.
  private let lineStarts: [Int]

  init(_ text: String) {
    self.text = text
    scalars = Array(text.unicodeScalars)
    var starts = [0]
    for (i, scalar) in scalars.enumerated() where scalar == "\n" { starts.append(i + 1) }
    lineStarts = starts
  }

  /// Line from 1, column from 0, in code points.
  func position(_ offset: Int) -> (line: Int, column: Int) {
    var low = 0
    var high = lineStarts.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if lineStarts[middle] <= offset { low = middle } else { high = middle }
    }
    return (low + 1, offset - lineStarts[low])
  }

  func line(_ number: Int) -> [Unicode.Scalar] {
    let start = lineStarts[number - 1]
    let end = number < lineStarts.count ? lineStarts[number] - 1 : scalars.count
    return Array(scalars[start..<max(start, end)])
  }
}

/// One mistake in an expression.
package struct CELIssue: Sendable, Equatable {
  package let message: String
  /// From 1.
  package let line: Int
  /// From 1, in code points.
  package let column: Int
}

/// Why an expression does not compile; its description is what cel-go prints, with the line and a caret under the place.
package struct CELIssues: Error, Sendable, CustomStringConvertible {
  package let issues: [CELIssue]
  private let source: CELSource

  init(_ found: [(offset: Int, message: String)], _ source: CELSource) {
    self.source = source
    issues = found.map { offset, message in
      let position = source.position(min(max(offset, 0), source.scalars.count))
      return CELIssue(message: message, line: position.line, column: position.column + 1)
    }
  }

  package var description: String {
    issues.map { issue in
      var text = "ERROR: <input>:\(issue.line):\(issue.column): \(issue.message)"
      let line = source.line(issue.line)
      guard !line.isEmpty || issue.column == 1 else { return text }
      var shown = ""
      var pointer = ""
      for (i, scalar) in line.enumerated() {
        shown.unicodeScalars.append(scalar == "\t" ? " " : scalar)
        if i < issue.column - 1 { pointer += Self.isWide(scalar) ? "\u{FF0E}" : "." }
      }
      pointer += issue.column - 1 < line.count && Self.isWide(line[issue.column - 1]) ? "\u{FF3E}" : "^"
      text += "\n | \(shown)\n | \(pointer)"
      return text
    }.joined(separator: "\n")
  }

  /// East Asian wide characters take two columns on a terminal.
  private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
      0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
      true
    default: false
    }
  }
}
