/// A Kubernetes quantity such as `100m`, `1.5Gi` or `12e6`, kept exactly in nano-units.
///
/// Source: the quantity grammar in apimachinery's resource package; what is finer than nano is rounded up, as there.
package struct Quantity: Sendable, Equatable, Comparable {
  /// How the quantity is written again: each family keeps its own suffixes.
  package enum Format: Sendable { case binarySI, decimalSI, decimalExponent }

  /// Billionths of one unit. 128 bits hold every number the grammar allows.
  package var nanoValue: Int128
  package var format: Format

  static let nano: Int128 = 1_000_000_000
  /// Beyond this the value is capped, as upstream caps at 2^63 - 1.
  static let valueMax = Int128(Int64.max) * nano

  package init(nanoValue: Int128, format: Format = .decimalSI) {
    self.nanoValue = nanoValue
    self.format = format
  }
  package init(_ value: Int64, format: Format = .decimalSI) { self.init(nanoValue: Int128(value) * Self.nano, format: format) }
  package init(milli: Int64) { self.init(nanoValue: Int128(milli) * 1_000_000) }

  package static func < (a: Quantity, b: Quantity) -> Bool { a.nanoValue < b.nanoValue }
  package static func == (a: Quantity, b: Quantity) -> Bool { a.nanoValue == b.nanoValue }
  package static func + (a: Quantity, b: Quantity) -> Quantity { Quantity(nanoValue: a.nanoValue + b.nanoValue, format: a.format) }
  package static func - (a: Quantity, b: Quantity) -> Quantity { Quantity(nanoValue: a.nanoValue - b.nanoValue, format: a.format) }

  /// Whole units, rounded up (away from zero), as Quantity.Value().
  package var value: Int64 { Self.ceiling(nanoValue, Self.nano) }
  /// Thousandths, rounded up, as Quantity.MilliValue().
  package var milliValue: Int64 { Self.ceiling(nanoValue, 1_000_000) }

  private static func ceiling(_ value: Int128, _ unit: Int128) -> Int64 {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: unit)
    let rounded = remainder == 0 ? quotient : quotient + (value > 0 ? 1 : -1)
    return Int64(clamping: rounded)
  }

  private static let binary: [(String, Int128)] = [
    ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("Pi", 1 << 50), ("Ei", 1 << 60),
  ]
  /// Suffix and power of ten.
  private static let decimal: [(String, Int)] = [
    ("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18),
  ]

  private static func power(_ exponent: Int) -> Int128 {
    var result: Int128 = 1
    for _ in 0..<exponent { result *= 10 }
    return result
  }

  /// Nil where the text is no quantity.
  package init?(_ text: String) {
    let bytes = Array(text.utf8)
    var at = 0
    var negative = false
    if at < bytes.count, bytes[at] == UInt8(ascii: "-") || bytes[at] == UInt8(ascii: "+") {
      negative = bytes[at] == UInt8(ascii: "-")
      at += 1
    }
    var mantissa: Int128 = 0
    var fractionDigits = 0
    var digits = 0
    var inFraction = false
    var roundsUp = false
    while at < bytes.count {
      let byte = bytes[at]
      if byte == UInt8(ascii: "."), !inFraction {
        inFraction = true
      } else if byte &- 0x30 < 10 {
        digits += 1
        if inFraction, fractionDigits >= 18 {
          roundsUp = roundsUp || byte != 0x30
        } else {
          guard mantissa < Int128(1) << 96 else { return nil }
          mantissa = mantissa * 10 + Int128(byte - 0x30)
          if inFraction { fractionDigits += 1 }
        }
      } else {
        break
      }
      at += 1
    }
    guard digits > 0 else { return nil }
    let suffix = String(decoding: bytes[at...], as: UTF8.self)
    var multiplier: Int128 = 1
    var exponent = 0
    if let found = Self.binary.first(where: { $0.0 == suffix }) {
      format = .binarySI
      multiplier = found.1
    } else if let found = Self.decimal.first(where: { $0.0 == suffix }) {
      format = .decimalSI
      exponent = found.1
    } else if let first = suffix.first, first == "e" || first == "E", let power = Int(suffix.dropFirst()), abs(power) <= 40 {
      format = .decimalExponent
      exponent = power
    } else {
      return nil
    }
    // value * 10^9 = mantissa * multiplier * 10^(exponent - fractionDigits + 9)
    let scale = exponent - fractionDigits + 9
    let (product, overflow) = mantissa.multipliedReportingOverflow(by: multiplier)
    var result = product
    var isCapped = overflow
    if !overflow, scale >= 0 {
      if scale > 38 {
        isCapped = result != 0
      } else {
        let (scaled, tooLarge) = result.multipliedReportingOverflow(by: Self.power(min(scale, 38)))
        result = scaled
        isCapped = tooLarge
      }
    } else if !overflow {
      let divisor = -scale > 38 ? Int128.max : Self.power(-scale)
      let (quotient, remainder) = result.quotientAndRemainder(dividingBy: divisor)
      result = quotient + (remainder != 0 || roundsUp ? 1 : 0)
    }
    if isCapped || result > Self.valueMax { result = Self.valueMax }
    nanoValue = negative ? -result : result
  }

  /// The canonical text: no fraction, the largest suffix of the family that keeps the value whole.
  package var text: String {
    if nanoValue == 0 { return "0" }
    let sign = nanoValue < 0 ? "-" : ""
    let magnitude = nanoValue < 0 ? -nanoValue : nanoValue
    if format == .binarySI, magnitude % Self.nano == 0 {
      let whole = magnitude / Self.nano
      if whole >= 1024 {
        for (suffix, unit) in Self.binary.reversed() where whole % unit == 0 { return "\(sign)\(whole / unit)\(suffix)" }
      }
      return "\(sign)\(whole)"
    }
    for (suffix, exponent) in Self.decimal.reversed() {
      let unit = Self.power(exponent + 9)
      if magnitude % unit == 0 {
        if format == .decimalExponent { return "\(sign)\(magnitude / unit)" + (exponent == 0 ? "" : "e\(exponent)") }
        return "\(sign)\(magnitude / unit)\(suffix)"
      }
    }
    return "\(sign)\(magnitude)n"
  }
}
