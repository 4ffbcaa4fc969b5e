/// Why bytes are not JSON, and where.
package struct JSONError: Error, CustomStringConvertible, Equatable {
  package let reason: String
  /// Bytes from the start of the document.
  package let offset: Int
  package init(reason: String, offset: Int) {
    self.reason = reason
    self.offset = offset
  }
  package var description: String { "\(reason) at byte \(offset)" }
}

/// What parsing noticed beside the document.
package struct JSONFindings: Sendable {
  /// Paths of fields that stood twice in one object (the last value wins), such as `spec.containers[0].name`.
  package var duplicateFields: [String] = []
  package init() {}
}

extension JSON {
  /// Nesting beyond this is refused, so that a hostile body cannot exhaust the stack.
  package static let depthMax = 512

  package static func parse(_ bytes: some Collection<UInt8>) throws(JSONError) -> JSON {
    var findings = JSONFindings()
    return try parse(bytes, noting: &findings, wantsDuplicates: false)
  }

  package static func parse(_ text: String) throws(JSONError) -> JSON { try parse(Array(text.utf8)) }

  /// Parses and also notes fields that stand twice, for `fieldValidation=Strict`.
  package static func parse(_ bytes: some Collection<UInt8>, noting findings: inout JSONFindings) throws(JSONError) -> JSON {
    try parse(bytes, noting: &findings, wantsDuplicates: true)
  }

  private static func parse(
    _ bytes: some Collection<UInt8>, noting findings: inout JSONFindings, wantsDuplicates: Bool
  ) throws(JSONError) -> JSON {
    var failure: JSONError?
    func run(_ buffer: UnsafeBufferPointer<UInt8>, _ findings: inout JSONFindings) -> JSON {
      var parser = JSONParser(buffer, wantsDuplicates: wantsDuplicates)
      do throws(JSONError) {
        let value = try parser.document()
        findings = parser.findings
        return value
      } catch {
        failure = error
        return .null
      }
    }
    let value =
      bytes.withContiguousStorageIfAvailable { run($0, &findings) }
      ?? Array(bytes).withUnsafeBufferPointer { run($0, &findings) }
    if let failure { throw failure }
    return value
  }
}

/// A recursive-descent parser over bytes (RFC 8259).
private struct JSONParser {
  let bytes: UnsafeBufferPointer<UInt8>
  let wantsDuplicates: Bool
  var at = 0
  var depth = 0
  var path: [String] = []
  var findings = JSONFindings()

  init(_ bytes: UnsafeBufferPointer<UInt8>, wantsDuplicates: Bool) {
    self.bytes = bytes
    self.wantsDuplicates = wantsDuplicates
  }

  func fail(_ reason: String) -> JSONError { JSONError(reason: reason, offset: at) }

  mutating func document() throws(JSONError) -> JSON {
    let result = try value()
    skipSpace()
    guard at == bytes.count else { throw fail("unexpected content after the document") }
    return result
  }

  @inline(__always) mutating func skipSpace() {
    while at < bytes.count {
      let byte = bytes[at]
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      at += 1
    }
  }

  mutating func value() throws(JSONError) -> JSON {
    skipSpace()
    guard at < bytes.count else { throw fail("unexpected end of JSON input") }
    switch bytes[at] {
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  mutating func word(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    guard at + text.utf8CodeUnitCount <= bytes.count else { throw fail("invalid literal") }
    for i in 0..<text.utf8CodeUnitCount where bytes[at + i] != text.utf8Start[i] { throw fail("invalid literal") }
    at += text.utf8CodeUnitCount
    return value
  }

  mutating func enter() throws(JSONError) {
    depth += 1
    guard depth <= JSON.depthMax else { throw fail("exceeded max depth of \(JSON.depthMax)") }
  }

  mutating func object() throws(JSONError) -> JSON {
    try enter()
    defer { depth -= 1 }
    at += 1
    var result = JSONObject()
    skipSpace()
    if at < bytes.count, bytes[at] == UInt8(ascii: "}") {
      at += 1
      return .object(result)
    }
    while true {
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw fail("expected a field name") }
      let key = try string()
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { throw fail("expected ':' after a field name") }
      at += 1
      if wantsDuplicates { path.append(key) }
      let item = try value()
      if result.contains(key) {
        if wantsDuplicates { noteDuplicate() }
        result[key] = item
      } else {
        result.append(key, item)
      }
      if wantsDuplicates { path.removeLast() }
      skipSpace()
      guard at < bytes.count else { throw fail("unexpected end of JSON input") }
      if bytes[at] == UInt8(ascii: ",") {
        at += 1
        continue
      }
      guard bytes[at] == UInt8(ascii: "}") else { throw fail("expected ',' or '}' in an object") }
      at += 1
      return .object(result)
    }
  }

  mutating func noteDuplicate() {
    var text = ""
    for part in path { text += text.isEmpty || part.hasPrefix("[") ? part : "." + part }
    if !findings.duplicateFields.contains(text) { findings.duplicateFields.append(text) }
  }

  mutating func array() throws(JSONError) -> JSON {
    try enter()
    defer { depth -= 1 }
    at += 1
    var result: [JSON] = []
    skipSpace()
    if at < bytes.count, bytes[at] == UInt8(ascii: "]") {
      at += 1
      return .array(result)
    }
    while true {
      if wantsDuplicates { path.append("[\(result.count)]") }
      result.append(try value())
      if wantsDuplicates { path.removeLast() }
      skipSpace()
      guard at < bytes.count else { throw fail("unexpected end of JSON input") }
      if bytes[at] == UInt8(ascii: ",") {
        at += 1
        continue
      }
      guard bytes[at] == UInt8(ascii: "]") else { throw fail("expected ',' or ']' in a list") }
      at += 1
      return .array(result)
    }
  }

  mutating func string() throws(JSONError) -> String {
    at += 1
    let start = at
    while at < bytes.count {
      let byte = bytes[at]
      if byte == UInt8(ascii: "\"") {
        let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<at]), as: UTF8.self)
        at += 1
        return text
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
      guard byte >= 0x20 else { throw fail("control character in a string") }
      at += 1
    }
    throw fail("unexpected end of a string")
  }

  mutating func escapedString(from start: Int) throws(JSONError) -> String {
    var text = Array(bytes[start..<at])
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"):
        guard at < bytes.count else { throw fail("unexpected end of a string") }
        let escape = bytes[at]
        at += 1
        switch escape {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "n"): text.append(10)
        case UInt8(ascii: "r"): text.append(13)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try unicodeScalar()).utf8)
        default: throw fail("unknown escape in a string")
        }
      case 0..<0x20: throw fail("control character in a string")
      default: text.append(byte)
      }
    }
    throw fail("unexpected end of a string")
  }

  mutating func hex4() throws(JSONError) -> UInt32 {
    guard at + 4 <= bytes.count else { throw fail("short \\u escape") }
    var result: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = Character(UnicodeScalar(bytes[at])).hexDigitValue else { throw fail("bad \\u escape") }
      result = result << 4 | UInt32(digit)
      at += 1
    }
    return result
  }

  /// A lone surrogate becomes U+FFFD, as in Go's decoder.
  mutating func unicodeScalar() throws(JSONError) -> Character {
    let first = try hex4()
    guard (0xD800..<0xE000).contains(first) else { return Character(UnicodeScalar(first) ?? "\u{FFFD}") }
    guard first < 0xDC00, at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else {
      return "\u{FFFD}"
    }
    let resume = at
    at += 2
    let second = try hex4()
    guard (0xDC00..<0xE000).contains(second) else {
      at = resume
      return "\u{FFFD}"
    }
    return Character(UnicodeScalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}")
  }

  mutating func number() throws(JSONError) -> JSON {
    let start = at
    var isInteger = true
    if at < bytes.count, bytes[at] == UInt8(ascii: "-") { at += 1 }
    let firstDigit = at
    var digits = 0
    var integer: UInt64 = 0
    var overflow = false
    while at < bytes.count, case let digit = bytes[at] &- 0x30, digit < 10 {
      let (product, o1) = integer.multipliedReportingOverflow(by: 10)
      let (sum, o2) = product.addingReportingOverflow(UInt64(digit))
      integer = sum
      overflow = overflow || o1 || o2
      digits += 1
      at += 1
    }
    guard digits > 0 else { throw fail("invalid character") }
    if digits > 1, bytes[firstDigit] == 0x30 { throw fail("a number may not start with 0") }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      isInteger = false
      at += 1
      let fraction = at
      while at < bytes.count, bytes[at] &- 0x30 < 10 { at += 1 }
      guard at > fraction else { throw fail("a fraction needs digits") }
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
      let exponent = at
      while at < bytes.count, bytes[at] &- 0x30 < 10 { at += 1 }
      guard at > exponent else { throw fail("an exponent needs digits") }
    }
    let negative = bytes[start] == UInt8(ascii: "-")
    if isInteger, !overflow {
      if !negative, let value = Int64(exactly: integer) { return .int(value) }
      if negative, integer <= UInt64(Int64.max) + 1 { return .int(Int64(truncatingIfNeeded: 0 &- integer)) }
    }
    let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<at]), as: UTF8.self)
    guard let value = Double(text), value.isFinite else { throw fail("number out of range") }
    return .double(value)
  }
}
