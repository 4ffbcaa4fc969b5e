/// `'%s of %d'.format([a, b])`.
enum CELStringFormat {
  /// Digits after the point, at most.
  static let precisionMax = 1000

  static func format(_ pattern: String, _ arguments: CELList, _ context: CELContext) throws(CELError) -> String {
    var result = String.UnicodeScalarView()
    let scalars = Array(pattern.unicodeScalars)
    var at = 0
    var used = 0
    while at < scalars.count {
      guard scalars[at] == "%" else {
        result.append(scalars[at])
        at += 1
        continue
      }
      at += 1
      guard at < scalars.count else { throw CELError("unexpected end of format string") }
      if scalars[at] == "%" {
        result.append("%")
        at += 1
        continue
      }
      guard used < arguments.count else { throw CELError("index \(used) out of range") }
      var precision: Int?
      if scalars[at] == "." {
        at += 1
        var digits = ""
        while at < scalars.count, scalars[at].isDigit {
          digits.unicodeScalars.append(scalars[at])
          at += 1
        }
        guard let value = digits.isEmpty ? 0 : Int(digits), value <= precisionMax else {
          throw CELError("error while parsing precision: \(digits)")
        }
        precision = value
      }
      guard at < scalars.count else { throw CELError("could not parse formatting clause: unexpected end of format string") }
      let clause = scalars[at]
      at += 1
      var writer = Writer(context: context)
      try writer.write(clause, precision, arguments[used])
      result.append(contentsOf: writer.text.unicodeScalars)
      used += 1
    }
    return String(result)
  }

  /// Writes one argument; charges for its length, since lists can share parts without end.
  private struct Writer {
    let context: CELContext
    var text = ""
    private var charged = 0

    init(context: CELContext) { self.context = context }

    private mutating func append(_ more: String) throws(CELError) {
      text += more
      if text.utf8.count - charged > 1000 {
        try context.charge(UInt64(text.utf8.count - charged) / 10)
        charged = text.utf8.count
      }
    }

    mutating func write(_ clause: Unicode.Scalar, _ precision: Int?, _ value: CELValue) throws(CELError) {
      switch clause {
      case "s": try string(value)
      case "d": try decimal(value)
      case "f": try append(CELStringFormat.fixed(try number(value, "fixed-point"), precision ?? 6))
      case "e": try append(CELStringFormat.scientific(try number(value, "scientific"), precision ?? 6))
      case "b": try binary(value)
      case "x": try hexadecimal(value, uppercase: false)
      case "X": try hexadecimal(value, uppercase: true)
      case "o": try octal(value)
      default:
        throw CELError("could not parse formatting clause: unrecognized formatting clause \"\(Character(clause))\"")
      }
    }

    private mutating func string(_ value: CELValue) throws(CELError) {
      switch value {
      case .double(let number): try append(CELFormat.decimal(number))
      case .list(let list):
        try append("[")
        for i in 0..<list.count {
          if i > 0 { try append(", ") }
          try string(list[i])
        }
        try append("]")
      case .map(let map):
        var entries: [(String, CELValue)] = []
        for key in map.keys {
          switch key {
          case .string, .bool, .int, .uint: entries.append((CELFormat.plain(key), map[key] ?? .null))
          default: throw CELError("no formatting function for map key of type \(key.runtimeType.runtimeName)")
          }
        }
        entries.sort { $0.0.textOrder($1.0) == .less }
        try append("{")
        for (i, (key, item)) in entries.enumerated() {
          try append(i > 0 ? ", \(key): " : "\(key): ")
          try string(item)
        }
        try append("}")
      case .object, .optional, .opaque:
        let allowed = "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
        throw CELError("error during formatting: string clause can only be used on \(allowed), was given \(value.runtimeType.runtimeName)")
      default: try append(CELFormat.plain(value))
      }
    }

    private mutating func decimal(_ value: CELValue) throws(CELError) {
      switch value {
      case .int, .uint: try append(CELFormat.plain(value))
      case .double(let number) where CELFormat.special(number) != nil: try append(CELFormat.special(number)!)
      default:
        throw CELError("error during formatting: decimal clause can only be used on integers, was given \(value.runtimeType.runtimeName)")
      }
    }

    private func number(_ value: CELValue, _ clause: String) throws(CELError) -> Double {
      switch value {
      case .double(let number): return number
      case .int(let number): return Double(number)
      case .uint(let number): return Double(number)
      case .string("NaN"): return .nan
      case .string("Infinity"): return .infinity
      case .string("-Infinity"): return -.infinity
      default:
        throw CELError("error during formatting: \(clause) clause can only be used on doubles, was given \(value.runtimeType.runtimeName)")
      }
    }

    private mutating func binary(_ value: CELValue) throws(CELError) {
      switch value {
      case .int(let number): try append(String(number, radix: 2))
      case .uint(let number): try append(String(number, radix: 2))
      case .bool(let flag): try append(flag ? "1" : "0")
      default:
        throw CELError(
          "error during formatting: only integers and bools can be formatted as binary, was given \(value.runtimeType.runtimeName)")
      }
    }

    private mutating func hexadecimal(_ value: CELValue, uppercase: Bool) throws(CELError) {
      func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: uppercase) }.joined()
      }
      switch value {
      case .int(let number): try append(String(number, radix: 16, uppercase: uppercase))
      case .uint(let number): try append(String(number, radix: 16, uppercase: uppercase))
      case .string(let text): try append(hex(Array(text.utf8)))
      case .bytes(let bytes): try append(hex(bytes))
      default:
        throw CELError(
          "error during formatting: only integers, byte buffers, and strings can be formatted as hex, was given \(value.runtimeType.runtimeName)"
        )
      }
    }

    private mutating func octal(_ value: CELValue) throws(CELError) {
      switch value {
      case .int(let number): try append(String(number, radix: 8))
      case .uint(let number): try append(String(number, radix: 8))
      default:
        throw CELError("error during formatting: octal clause can only be used on integers, was given \(value.runtimeType.runtimeName)")
      }
    }
  }

  // MARK: Numbers, exactly

  /// The number's exact decimal digits: `digits` times ten to the power of `-scale`. A double is a whole number times a power
  /// of two, and halving is multiplying by five and moving the point.
  private static func exact(_ value: Double) -> (digits: [UInt8], scale: Int) {
    guard value != 0 else { return ([0], 0) }
    var exponent = Int(value.exponent) - 52
    var significand = value.significandBitPattern
    if value.isNormal { significand |= 1 << 52 } else { exponent = -1074 }
    while significand & 1 == 0 {
      significand >>= 1
      exponent += 1
    }
    // Little-endian limbs of nine digits.
    var limbs: [UInt64] = []
    while significand > 0 {
      limbs.append(significand % 1_000_000_000)
      significand /= 1_000_000_000
    }
    for _ in 0..<abs(exponent) {
      var carry: UInt64 = 0
      for i in limbs.indices {
        let product = limbs[i] * (exponent > 0 ? 2 : 5) + carry
        limbs[i] = product % 1_000_000_000
        carry = product / 1_000_000_000
      }
      if carry > 0 { limbs.append(carry) }
    }
    var digits: [UInt8] = []
    for limb in limbs.reversed() {
      let text = String(limb)
      if !digits.isEmpty { digits += [UInt8](repeating: 0, count: 9 - text.utf8.count) }
      digits += text.utf8.map { $0 - 48 }
    }
    return (digits, max(0, -exponent))
  }

  /// Cuts digits off the end, rounding half to even; may grow by one digit.
  private static func rounded(_ digits: [UInt8], dropping count: Int) -> [UInt8] {
    guard count > 0 else { return digits }
    guard count <= digits.count else { return [0] }
    var kept = Array(digits.dropLast(count))
    let rest = digits.suffix(count)
    let first = rest.first!
    let isUp = first > 5 || (first == 5 && (rest.dropFirst().contains { $0 > 0 } || (kept.last ?? 0) % 2 == 1))
    guard isUp else { return kept.isEmpty ? [0] : kept }
    var i = kept.count - 1
    while i >= 0, kept[i] == 9 {
      kept[i] = 0
      i -= 1
    }
    if i >= 0 { kept[i] += 1 } else { kept.insert(1, at: 0) }
    return kept
  }

  private static func text(_ digits: some Sequence<UInt8>) -> String { String(decoding: digits.map { $0 + 48 }, as: UTF8.self) }

  static func fixed(_ value: Double, _ precision: Int) -> String {
    if let special = CELFormat.special(value) { return special }
    var (digits, scale) = exact(value.magnitude)
    if scale > precision {
      digits = rounded(digits, dropping: scale - precision)
    } else {
      digits += [UInt8](repeating: 0, count: precision - scale)
    }
    scale = precision
    if digits.count <= scale { digits = [UInt8](repeating: 0, count: scale + 1 - digits.count) + digits }
    let whole = text(digits.dropLast(scale))
    return (value.sign == .minus ? "-" : "") + whole + (scale > 0 ? "." + text(digits.suffix(scale)) : "")
  }

  static func scientific(_ value: Double, _ precision: Int) -> String {
    if let special = CELFormat.special(value) { return special }
    var (digits, scale) = exact(value.magnitude)
    while digits.count > 1, digits[0] == 0 { digits.removeFirst() }
    var exponent = value == 0 ? 0 : digits.count - 1 - scale
    let wanted = precision + 1
    if digits.count > wanted {
      let before = digits.count
      digits = rounded(digits, dropping: before - wanted)
      if digits.count > wanted {
        exponent += 1
        digits.removeLast()
      }
    } else {
      digits += [UInt8](repeating: 0, count: wanted - digits.count)
    }
    scale = 0
    let fraction = precision > 0 ? "." + text(digits.dropFirst()) : ""
    return "\(value.sign == .minus ? "-" : "")\(digits[0])\(fraction)e\(CELFormat.exponentText(exponent))"
  }
}
