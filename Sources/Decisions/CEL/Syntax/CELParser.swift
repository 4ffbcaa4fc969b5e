/// Limits on expressions before anything is computed (cel-go's).
package enum CELParserLimits {
  /// Code points of one expression.
  package static let codePointsMax = 100_000
  /// Nesting, and links of one chain such as `a.b.c` or `a + b + c`.
  package static let recursionMax = 250
}

/// A recursive-descent parser; macros are expanded as their calls are read.
struct CELParser {
  private let tokens: [CELToken]
  private var at = 0
  private var depth = 0
  private var lastID = 0
  /// Whether `cel.block` and its like are macros: the form in which optimizers write expressions down.
  private(set) var allowsBlocks = false

  static func parse(_ source: CELSource, allowsBlocks: Bool = false) throws(CELIssues) -> CELExpression {
    guard source.scalars.count <= CELParserLimits.codePointsMax else {
      let message =
        "expression code point size exceeds limit: size: \(source.scalars.count), limit \(CELParserLimits.codePointsMax)"
      throw CELIssues([(0, message)], CELSource(""))
    }
    do throws(CELSyntaxError) {
      var parser = CELParser(tokens: try CELLexer.tokens(source))
      parser.allowsBlocks = allowsBlocks
      let expression = try parser.expression()
      guard parser.token.kind == .end else { throw parser.unexpected(parser.followers) }
      return expression
    } catch {
      throw CELIssues([(error.offset, error.message)], source)
    }
  }

  private init(tokens: [CELToken]) { self.tokens = tokens }

  // MARK: Tokens

  private var token: CELToken { tokens[at] }

  private func isSymbol(_ text: String) -> Bool { token.kind == .symbol && token.text == text }

  private mutating func take(_ symbol: String) -> CELToken? {
    guard isSymbol(symbol) else { return nil }
    at += 1
    return tokens[at - 1]
  }

  private mutating func expect(_ symbol: String) throws(CELSyntaxError) {
    guard take(symbol) != nil else { throw unexpected("'\(symbol)'") }
  }

  private let starters =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
  private let followers =
    "{<EOF>, '==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', '.', '-', '?', '+', '*', '/', '%'}"

  private func unexpected(_ expected: String) -> CELSyntaxError {
    CELSyntaxError(offset: token.offset, message: "Syntax error: mismatched input '\(token.text)' expecting \(expected)")
  }

  mutating func node(_ offset: Int, _ kind: CELExpression.Kind) -> CELExpression {
    lastID += 1
    return CELExpression(id: lastID, offset: offset, kind)
  }

  mutating func call(_ offset: Int, _ function: String, _ arguments: CELExpression...) -> CELExpression {
    node(offset, .call(function, target: nil, arguments))
  }

  private func tooDeep() -> CELSyntaxError {
    CELSyntaxError(
      offset: token.offset, message: "expression recursion limit exceeded: \(CELParserLimits.recursionMax)")
  }

  // MARK: Operators

  private mutating func expression() throws(CELSyntaxError) -> CELExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= CELParserLimits.recursionMax else { throw tooDeep() }
    let condition = try logical("||", CELOperator.or) { parser throws(CELSyntaxError) in
      try parser.logical("&&", CELOperator.and) { parser throws(CELSyntaxError) in try parser.relation() }
    }
    guard let question = take("?") else { return condition }
    let yes = try logical("||", CELOperator.or) { parser throws(CELSyntaxError) in
      try parser.logical("&&", CELOperator.and) { parser throws(CELSyntaxError) in try parser.relation() }
    }
    try expect(":")
    let no = try expression()
    return call(question.offset, CELOperator.conditional, condition, yes, no)
  }

  /// A chain of `&&` or `||` as a balanced tree, so that a long one is not deep.
  private mutating func logical(
    _ symbol: String, _ function: String, _ operand: (inout CELParser) throws(CELSyntaxError) -> CELExpression
  ) throws(CELSyntaxError) -> CELExpression {
    var terms = [try operand(&self)]
    var offsets: [Int] = []
    while let found = take(symbol) {
      offsets.append(found.offset)
      terms.append(try operand(&self))
    }
    func balance(_ parser: inout CELParser, _ low: Int, _ high: Int) -> CELExpression {
      if low == high { return terms[low] }
      let middle = (low + high) / 2
      let left = balance(&parser, low, middle)
      let right = balance(&parser, middle + 1, high)
      return parser.call(offsets[middle], function, left, right)
    }
    return balance(&self, 0, terms.count - 1)
  }

  private static let relations = [
    "<": CELOperator.less, "<=": CELOperator.lessEquals, ">": CELOperator.greater, ">=": CELOperator.greaterEquals,
    "==": CELOperator.equals, "!=": CELOperator.notEquals,
  ]

  private mutating func relation() throws(CELSyntaxError) -> CELExpression {
    var left = try addition()
    var links = 0
    while true {
      let function: String
      if token.kind == .symbol, let relation = Self.relations[token.text] {
        function = relation
      } else if token.kind == .identifier, token.text == "in" {
        function = CELOperator.isIn
      } else {
        return left
      }
      let offset = token.offset
      at += 1
      try link(&links)
      left = call(offset, function, left, try addition())
    }
  }

  private mutating func link(_ links: inout Int) throws(CELSyntaxError) {
    links += 1
    guard depth + links <= CELParserLimits.recursionMax else { throw tooDeep() }
  }

  private mutating func addition() throws(CELSyntaxError) -> CELExpression {
    var left = try multiplication()
    var links = 0
    while isSymbol("+") || isSymbol("-") {
      let sign = token
      at += 1
      try link(&links)
      left = call(sign.offset, sign.text == "+" ? CELOperator.add : CELOperator.subtract, left, try multiplication())
    }
    return left
  }

  private mutating func multiplication() throws(CELSyntaxError) -> CELExpression {
    var left = try unary()
    var links = 0
    while isSymbol("*") || isSymbol("/") || isSymbol("%") {
      let sign = token
      at += 1
      try link(&links)
      let function = sign.text == "*" ? CELOperator.multiply : sign.text == "/" ? CELOperator.divide : CELOperator.modulo
      left = call(sign.offset, function, left, try unary())
    }
    return left
  }

  private mutating func unary() throws(CELSyntaxError) -> CELExpression {
    let start = token
    if isSymbol("!") {
      var count = 0
      while take("!") != nil { count += 1 }
      let operand = try member()
      return count % 2 == 0 ? operand : call(start.offset, CELOperator.not, operand)
    }
    if isSymbol("-") {
      var count = 0
      while isSymbol("-") {
        if tokens[at + 1].kind == .int || tokens[at + 1].kind == .double { break }
        at += 1
        count += 1
      }
      let operand = try member()
      return count % 2 == 0 ? operand : call(start.offset, CELOperator.negate, operand)
    }
    return try member()
  }

  // MARK: Members

  private mutating func member() throws(CELSyntaxError) -> CELExpression {
    var operand = try primary()
    var links = 0
    while true {
      if let dot = take(".") {
        try link(&links)
        operand = try selection(of: operand, dot)
      } else if let bracket = take("[") {
        try link(&links)
        let isOptional = take("?") != nil
        let index = try expression()
        try expect("]")
        operand = call(bracket.offset, isOptional ? CELOperator.optionalIndex : CELOperator.index, operand, index)
      } else if isSymbol("{"), let name = operand.qualifiedName {
        operand = try structure(name)
      } else {
        return operand
      }
    }
  }

  private mutating func selection(of operand: CELExpression, _ dot: CELToken) throws(CELSyntaxError) -> CELExpression {
    let isOptional = take("?") != nil
    let name = token
    guard name.kind == .identifier || name.kind == .quotedIdentifier, name.kind == .quotedIdentifier || name.text != "in"
    else {
      throw CELSyntaxError(
        offset: name.offset, message: "Syntax error: no viable alternative at input '.\(name.text)'")
    }
    at += 1
    if isOptional {
      let field = node(name.offset, .literal(.string(name.text)))
      return call(dot.offset, CELOperator.optionalSelect, operand, field)
    }
    if name.kind == .identifier, let open = take("(") {
      let arguments = try self.arguments()
      if let expanded = try expandMacro(name.text, target: operand, arguments, offset: open.offset) { return expanded }
      return node(open.offset, .call(name.text, target: operand, arguments))
    }
    return node(dot.offset, .select(operand, field: name.text, isTest: false))
  }

  /// What stands up to the closing parenthesis, which is taken too.
  private mutating func arguments() throws(CELSyntaxError) -> [CELExpression] {
    var result: [CELExpression] = []
    if take(")") != nil { return result }
    while true {
      result.append(try expression())
      if take(",") != nil { continue }
      try expect(")")
      return result
    }
  }

  private mutating func primary() throws(CELSyntaxError) -> CELExpression {
    let start = token
    switch start.kind {
    case .identifier: return try name(leadingDot: false)
    case .int, .uint, .double, .string, .bytes:
      at += 1
      return try literal(start, isNegative: false)
    case .end, .quotedIdentifier: throw unexpected(starters)
    case .symbol: break
    }
    switch start.text {
    case "(":
      at += 1
      let inner = try expression()
      try expect(")")
      return inner
    case "[":
      at += 1
      return try list(start)
    case "{": return try map()
    case ".":
      at += 1
      return try name(leadingDot: true)
    case "-" where tokens[at + 1].kind == .int || tokens[at + 1].kind == .double:
      at += 2
      return try literal(tokens[at - 1], isNegative: true)
    default: throw unexpected(starters)
    }
  }

  private mutating func name(leadingDot: Bool) throws(CELSyntaxError) -> CELExpression {
    let start = token
    guard start.kind == .identifier, start.text != "in" else { throw unexpected(leadingDot ? "IDENTIFIER" : starters) }
    at += 1
    if !leadingDot {
      switch start.text {
      case "true": return node(start.offset, .literal(.bool(true)))
      case "false": return node(start.offset, .literal(.bool(false)))
      case "null": return node(start.offset, .literal(.null))
      default: break
      }
    }
    if CELFieldName.reserved.contains(start.text) {
      throw CELSyntaxError(offset: start.offset, message: "reserved identifier: \(start.text)")
    }
    let name = leadingDot ? ".\(start.text)" : start.text
    if let open = take("(") {
      let arguments = try self.arguments()
      if let expanded = try expandMacro(name, target: nil, arguments, offset: open.offset) { return expanded }
      return node(open.offset, .call(name, target: nil, arguments))
    }
    return node(start.offset, .identifier(name))
  }

  private mutating func literal(_ token: CELToken, isNegative: Bool) throws(CELSyntaxError) -> CELExpression {
    let offset = isNegative ? token.offset - 1 : token.offset
    let sign = isNegative ? "-" : ""
    func number<T: FixedWidthInteger>(_ type: T.Type, _ name: String) throws(CELSyntaxError) -> T {
      let isHex = token.text.hasPrefix("0x") || token.text.hasPrefix("0X")
      let digits = isHex ? String(token.text.dropFirst(2)) : token.text
      guard let value = T(sign + digits, radix: isHex ? 16 : 10) else {
        throw CELSyntaxError(offset: offset, message: "invalid \(name) literal")
      }
      return value
    }
    switch token.kind {
    case .int: return node(offset, .literal(.int(try number(Int64.self, "int"))))
    case .uint: return node(offset, .literal(.uint(try number(UInt64.self, "uint"))))
    case .double:
      let text = token.text.hasPrefix(".") ? "0" + token.text : token.text
      guard let value = Double(sign + text) else {
        throw CELSyntaxError(offset: offset, message: "invalid double literal")
      }
      return node(offset, .literal(.double(value)))
    default: return node(offset, .literal(token.value))
    }
  }

  // MARK: Aggregates

  private mutating func list(_ open: CELToken) throws(CELSyntaxError) -> CELExpression {
    var items: [CELExpression] = []
    var optional: Set<Int> = []
    while !isSymbol("]") {
      if take("?") != nil { optional.insert(items.count) }
      items.append(try expression())
      if take(",") == nil { break }
    }
    try expect("]")
    return node(open.offset, .list(items, optional: optional))
  }

  private mutating func map() throws(CELSyntaxError) -> CELExpression {
    let open = token
    at += 1
    var entries: [CELExpression.Entry] = []
    while !isSymbol("}") {
      let isOptional = take("?") != nil
      let key = try expression()
      try expect(":")
      let value = try expression()
      lastID += 1
      entries.append(.init(id: lastID, key: key, value: value, isOptional: isOptional))
      if take(",") == nil { break }
    }
    try expect("}")
    return node(open.offset, .map(entries))
  }

  private mutating func structure(_ name: String) throws(CELSyntaxError) -> CELExpression {
    let open = token
    at += 1
    var fields: [CELExpression.Field] = []
    while !isSymbol("}") {
      let isOptional = take("?") != nil
      let field = token
      guard field.kind == .identifier || field.kind == .quotedIdentifier else { throw unexpected("{'}', IDENTIFIER}") }
      at += 1
      let colon = token
      try expect(":")
      let value = try expression()
      lastID += 1
      fields.append(.init(id: lastID, offset: colon.offset, name: field.text, value: value, isOptional: isOptional))
      if take(",") == nil { break }
    }
    try expect("}")
    return node(open.offset, .structure(name, fields))
  }
}
