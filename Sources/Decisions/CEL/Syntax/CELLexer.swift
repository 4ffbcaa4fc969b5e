/// A word of an expression.
struct CELToken: Sendable {
  enum Kind: Sendable, Equatable {
    case identifier
    /// An identifier between backticks, for field names such as `content-type`.
    case quotedIdentifier
    case int, uint, double, string, bytes
    case symbol
    case end
  }
  let kind: Kind
  let offset: Int
  /// As written; for string and bytes literals what they mean is in `value`.
  let text: String
  var value: CELValue = .null
}

struct CELSyntaxError: Error {
  let offset: Int
  let message: String
}

/// Cuts an expression into words.
struct CELLexer {
  private let scalars: [Unicode.Scalar]
  private var at = 0

  static func tokens(_ source: CELSource) throws(CELSyntaxError) -> [CELToken] {
    var lexer = CELLexer(scalars: source.scalars)
    var tokens: [CELToken] = []
    while true {
      let token = try lexer.next()
      tokens.append(token)
      if token.kind == .end { return tokens }
    }
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  private func peek(_ ahead: Int = 0) -> Unicode.Scalar? { at + ahead < scalars.count ? scalars[at + ahead] : nil }

  private func text(from start: Int) -> String {
    var result = String.UnicodeScalarView()
    result.append(contentsOf: scalars[start..<at])
    return String(result)
  }

  private mutating func skipSpace() {
    while let scalar = peek() {
      if scalar == " " || scalar == "\t" || scalar == "\n" || scalar == "\r" || scalar == "\u{C}" {
        at += 1
      } else if scalar == "/", peek(1) == "/" {
        while let next = peek(), next != "\n" { _ = next; at += 1 }
      } else {
        return
      }
    }
  }

  private mutating func next() throws(CELSyntaxError) -> CELToken {
    skipSpace()
    let start = at
    guard let scalar = peek() else { return CELToken(kind: .end, offset: at, text: "<EOF>") }
    if scalar.isIdentifierStart {
      if let token = try stringWithPrefix() { return token }
      while let next = peek(), next.isIdentifierPart { _ = next; at += 1 }
      return CELToken(kind: .identifier, offset: start, text: text(from: start))
    }
    if scalar.isDigit || (scalar == "." && peek(1)?.isDigit == true) { return try number() }
    if scalar == "\"" || scalar == "'" { return try string(from: start, isRaw: false, isBytes: false) }
    if scalar == "`" { return try quotedIdentifier() }
    for symbol in ["==", "!=", "<=", ">=", "&&", "||"] {
      let wanted = Array(symbol.unicodeScalars)
      if wanted[0] == scalar, wanted[1] == peek(1) {
        at += 2
        return CELToken(kind: .symbol, offset: start, text: symbol)
      }
    }
    guard "[]{}()<>.,-!?:+*/%".unicodeScalars.contains(scalar) else {
      throw CELSyntaxError(offset: start, message: "Syntax error: token recognition error at: '\(Character(scalar))'")
    }
    at += 1
    return CELToken(kind: .symbol, offset: start, text: String(Character(scalar)))
  }

  private mutating func quotedIdentifier() throws(CELSyntaxError) -> CELToken {
    let start = at
    at += 1
    while let next = peek(), next != "`" {
      guard next.isIdentifierPart || ".-/ ".unicodeScalars.contains(next) else {
        throw CELSyntaxError(offset: start, message: "Syntax error: token recognition error at: '\(text(from: start))'")
      }
      at += 1
    }
    guard peek() == "`", at > start + 1 else {
      throw CELSyntaxError(offset: start, message: "Syntax error: token recognition error at: '`'")
    }
    at += 1
    return CELToken(kind: .quotedIdentifier, offset: start, text: String(text(from: start).dropFirst().dropLast()))
  }

  // MARK: Numbers

  private mutating func number() throws(CELSyntaxError) -> CELToken {
    let start = at
    if peek() == "0", peek(1) == "x" || peek(1) == "X", peek(2)?.isHexDigit == true {
      at += 2
      while peek()?.isHexDigit == true { at += 1 }
    } else {
      while peek()?.isDigit == true { at += 1 }
      var isDouble = false
      if peek() == ".", peek(1)?.isDigit == true {
        isDouble = true
        at += 1
        while peek()?.isDigit == true { at += 1 }
      }
      if peek() == "e" || peek() == "E" {
        let sign = peek(1) == "+" || peek(1) == "-" ? 1 : 0
        if peek(1 + sign)?.isDigit == true {
          isDouble = true
          at += 1 + sign
          while peek()?.isDigit == true { at += 1 }
        }
      }
      if isDouble { return CELToken(kind: .double, offset: start, text: text(from: start)) }
    }
    let digits = text(from: start)
    if peek() == "u" || peek() == "U" {
      at += 1
      return CELToken(kind: .uint, offset: start, text: digits)
    }
    return CELToken(kind: .int, offset: start, text: digits)
  }

  // MARK: Strings

  /// `r"..."`, `b'...'`, `br'''...'''` and their like; nil where an identifier stands here.
  private mutating func stringWithPrefix() throws(CELSyntaxError) -> CELToken? {
    let start = at
    var isRaw = false
    var isBytes = false
    var ahead = 0
    while let scalar = peek(ahead) {
      if (scalar == "r" || scalar == "R") && !isRaw {
        isRaw = true
      } else if (scalar == "b" || scalar == "B") && !isBytes {
        isBytes = true
      } else {
        break
      }
      ahead += 1
    }
    guard ahead > 0, let quote = peek(ahead), quote == "\"" || quote == "'" else { return nil }
    at += ahead
    return try string(from: start, isRaw: isRaw, isBytes: isBytes)
  }

  private mutating func string(from start: Int, isRaw: Bool, isBytes: Bool) throws(CELSyntaxError) -> CELToken {
    let quote = scalars[at]
    let isTriple = peek(1) == quote && peek(2) == quote
    at += isTriple ? 3 : 1
    var content = StringContent(isBytes: isBytes)
    func unfinished(_ lexer: CELLexer) -> CELSyntaxError {
      CELSyntaxError(
        offset: start, message: "Syntax error: token recognition error at: '\(lexer.text(from: start))'")
    }
    while true {
      guard let scalar = peek() else { throw unfinished(self) }
      if scalar == quote, !isTriple || (peek(1) == quote && peek(2) == quote) {
        at += isTriple ? 3 : 1
        break
      }
      if scalar == "\n" || scalar == "\r" {
        guard isTriple else { throw unfinished(self) }
        if scalar == "\r", peek(1) == "\n" { at += 1 }
        content.append("\n")
        at += 1
      } else if scalar == "\\" && !isRaw {
        try escape(into: &content)
      } else {
        content.append(scalar)
        at += 1
        if scalar == "\\", let next = peek(), next != "\n", next != "\r" {  // in a raw string a quote may follow a backslash
          content.append(next)
          at += 1
        }
      }
    }
    let value: CELValue = isBytes ? .bytes(content.bytes) : .string(String(content.scalars))
    return CELToken(kind: isBytes ? .bytes : .string, offset: start, text: text(from: start), value: value)
  }

  private struct StringContent {
    let isBytes: Bool
    var scalars = String.UnicodeScalarView()
    var bytes: [UInt8] = []

    mutating func append(_ scalar: Unicode.Scalar) {
      if isBytes { bytes.append(contentsOf: UTF8.encode(scalar)!) } else { scalars.append(scalar) }
    }
  }

  private mutating func escape(into content: inout StringContent) throws(CELSyntaxError) {
    let start = at
    func bad(_ lexer: CELLexer) -> CELSyntaxError {
      CELSyntaxError(offset: start, message: "Syntax error: token recognition error at: '\(lexer.text(from: start))'")
    }
    at += 1
    guard let letter = peek() else { throw bad(self) }
    at += 1
    switch letter {
    case "a": content.append("\u{7}")
    case "b": content.append("\u{8}")
    case "f": content.append("\u{C}")
    case "n": content.append("\n")
    case "r": content.append("\r")
    case "t": content.append("\t")
    case "v": content.append("\u{B}")
    case "\\", "?", "\"", "'", "`": content.append(letter)
    case "x", "X": try code(digits: 2, radix: 16, isByte: true, &content, bad)
    case "u":
      guard !content.isBytes else { throw bad(self) }
      try code(digits: 4, radix: 16, isByte: false, &content, bad)
    case "U":
      guard !content.isBytes else { throw bad(self) }
      try code(digits: 8, radix: 16, isByte: false, &content, bad)
    case "0"..."3":
      at -= 1
      try code(digits: 3, radix: 8, isByte: true, &content, bad)
    default: throw bad(self)
    }
  }

  private mutating func code(
    digits: Int, radix: Int, isByte: Bool, _ content: inout StringContent, _ bad: (CELLexer) -> CELSyntaxError
  ) throws(CELSyntaxError) {
    let start = at
    for _ in 0..<digits {
      guard let digit = peek(), digit.isASCII else { throw bad(self) }
      at += 1
    }
    guard let value = UInt32(text(from: start), radix: radix) else { throw bad(self) }
    if isByte && content.isBytes {
      content.bytes.append(UInt8(truncatingIfNeeded: value))
    } else {
      guard let scalar = Unicode.Scalar(value) else { throw bad(self) }
      content.append(scalar)
    }
  }
}

extension Unicode.Scalar {
  var isDigit: Bool { ("0"..."9").contains(self) }
  var isHexDigit: Bool { isDigit || ("a"..."f").contains(self) || ("A"..."F").contains(self) }
  var isIdentifierStart: Bool { ("a"..."z").contains(self) || ("A"..."Z").contains(self) || self == "_" }
  var isIdentifierPart: Bool { isIdentifierStart || isDigit }
}
