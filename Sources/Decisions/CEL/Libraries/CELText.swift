/// Work on text by code points.
enum CELText {
  /// The first place of a part at or after a position; nil where there is none. Knuth, Morris and Pratt: never quadratic.
  static func find<T: Equatable>(_ part: [T], in whole: [T], from start: Int) -> Int? {
    if part.isEmpty { return start <= whole.count ? start : nil }
    guard whole.count - start >= part.count else { return nil }
    var fallback = [Int](repeating: 0, count: part.count)
    var length = 0
    for i in 1..<max(1, part.count) {
      while length > 0, part[i] != part[length] { length = fallback[length - 1] }
      if part[i] == part[length] { length += 1 }
      fallback[i] = length
    }
    var matched = 0
    for i in start..<whole.count {
      while matched > 0, whole[i] != part[matched] { matched = fallback[matched - 1] }
      if whole[i] == part[matched] { matched += 1 }
      if matched == part.count { return i - matched + 1 }
    }
    return nil
  }

  static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  /// Pieces between separators, at most `max` of them (negative: all); an empty separator splits every code point.
  static func split(_ text: String, by separator: String, max limit: Int) -> [String] {
    if limit == 0 { return [] }
    if limit == 1 { return [text] }
    let whole = Array(text.unicodeScalars)
    let part = Array(separator.unicodeScalars)
    var result: [String] = []
    var start = 0
    while limit < 0 || result.count < limit - 1 {
      if part.isEmpty {
        guard start < whole.count - 1 else { break }
        result.append(string([whole[start]]))
        start += 1
      } else {
        guard let found = find(part, in: whole, from: start) else { break }
        result.append(string(whole[start..<found]))
        start = found + part.count
      }
    }
    if !part.isEmpty || start < whole.count { result.append(string(whole[start...])) }
    return result
  }

  static func replace(_ text: String, _ old: String, with new: String, max limit: Int) -> String {
    if limit == 0 { return text }
    let whole = Array(text.unicodeScalars)
    let part = Array(old.unicodeScalars)
    let replacement = Array(new.unicodeScalars)
    var result = String.UnicodeScalarView()
    var start = 0
    var count = 0
    while limit < 0 || count < limit {
      if part.isEmpty {
        guard start <= whole.count else { break }
        result.append(contentsOf: replacement)
        if start < whole.count { result.append(whole[start]) }
        start += 1
      } else {
        guard let found = find(part, in: whole, from: start) else { break }
        result.append(contentsOf: whole[start..<found])
        result.append(contentsOf: replacement)
        start = found + part.count
      }
      count += 1
    }
    if start < whole.count { result.append(contentsOf: whole[start...]) }
    return String(result)
  }

  /// Unicode's White_Space property.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace }

  static func trim(_ text: String) -> String {
    let scalars = text.unicodeScalars
    guard let first = scalars.firstIndex(where: { !isSpace($0) }), let last = scalars.lastIndex(where: { !isSpace($0) })
    else { return "" }
    return String(scalars[first...last])
  }
}

/// Values as text.
enum CELFormat {
  /// What `string(x)` gives for scalars, and a short form for other values in messages.
  static func plain(_ value: CELValue) -> String {
    switch value {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .int(let value): String(value)
    case .uint(let value): String(value)
    case .double(let value): double(value)
    case .string(let value): value
    case .bytes(let value): String(decoding: value, as: UTF8.self)
    case .timestamp(let value): value.rfc3339
    case .duration(let value): value.text
    case .type(let type): type.runtimeName
    default: value.runtimeType.runtimeName
    }
  }

  /// The shortest digits that read back the same: significant digits and the exponent of the first one.
  private static func digits(_ value: Double) -> (digits: [UInt8], exponent: Int) {
    var mantissa: [UInt8] = []
    var exponent = 0
    var pointAt: Int?
    var bytes = Array(value.magnitude.description.utf8)[...]
    if let e = bytes.firstIndex(of: UInt8(ascii: "e")) {
      exponent = Int(String(decoding: bytes[(e + 1)...], as: UTF8.self)) ?? 0
      bytes = bytes[..<e]
    }
    for byte in bytes { if byte == UInt8(ascii: ".") { pointAt = mantissa.count } else { mantissa.append(byte) } }
    exponent += (pointAt ?? mantissa.count) - 1
    while mantissa.count > 1, mantissa.first == UInt8(ascii: "0") {
      mantissa.removeFirst()
      exponent -= 1
    }
    while mantissa.count > 1, mantissa.last == UInt8(ascii: "0") { mantissa.removeLast() }
    return (mantissa, mantissa == [UInt8(ascii: "0")] ? 0 : exponent)
  }

  static func special(_ value: Double) -> String? {
    value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : nil
  }

  /// Go's `%g` with the shortest digits.
  static func double(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    let (mantissa, exponent) = digits(value)
    let sign = value.sign == .minus ? "-" : ""
    if exponent < -4 || exponent >= 6 {
      let fraction = mantissa.count > 1 ? "." + String(decoding: mantissa[1...], as: UTF8.self) : ""
      return "\(sign)\(Character(Unicode.Scalar(mantissa[0])))\(fraction)e\(exponentText(exponent))"
    }
    return sign + fixed(mantissa, exponent)
  }

  /// The shortest digits without an exponent, as `'%s'` has them.
  static func decimal(_ value: Double) -> String {
    if let special = special(value) { return special }
    let (mantissa, exponent) = digits(value)
    return (value.sign == .minus ? "-" : "") + fixed(mantissa, exponent)
  }

  static func exponentText(_ exponent: Int) -> String {
    "\(exponent < 0 ? "-" : "+")\(abs(exponent) < 10 ? "0" : "")\(abs(exponent))"
  }

  private static func fixed(_ mantissa: [UInt8], _ exponent: Int) -> String {
    let text = String(decoding: mantissa, as: UTF8.self)
    if exponent < 0 { return "0." + String(repeating: "0", count: -exponent - 1) + text }
    if exponent + 1 >= mantissa.count { return text + String(repeating: "0", count: exponent + 1 - mantissa.count) }
    return String(decoding: mantissa[...exponent], as: UTF8.self) + "." + String(decoding: mantissa[(exponent + 1)...], as: UTF8.self)
  }

  /// A string in double quotes with escapes, as an expression would have it.
  static func quote(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\u{7}": result += "\\a"
      case "\u{8}": result += "\\b"
      case "\u{C}": result += "\\f"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{B}": result += "\\v"
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
