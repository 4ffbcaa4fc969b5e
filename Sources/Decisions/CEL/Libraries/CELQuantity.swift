// Quantities such as `500Mi` and `1.5`: Kubernetes' library.

/// A quantity, exact to a billionth (Kubernetes rounds up what is finer), held as a whole number of billionths.
struct CELQuantity: CELOpaque, Comparable {
  let typeName = "kubernetes.Quantity"
  let billionths: Int128

  static let unit: Int128 = 1_000_000_000

  func isEqual(to other: any CELOpaque) -> Bool { (other as? CELQuantity)?.billionths == billionths }
  static func == (a: Self, b: Self) -> Bool { a.billionths == b.billionths }
  static func < (a: Self, b: Self) -> Bool { a.billionths < b.billionths }

  init(billionths: Int128) { self.billionths = billionths }

  /// Nil where the text is no quantity.
  init?(_ text: String) {
    var rest = Array(text.utf8)[...]
    var isNegative = false
    if let first = rest.first, first == UInt8(ascii: "+") || first == UInt8(ascii: "-") {
      isNegative = first == UInt8(ascii: "-")
      rest.removeFirst()
    }
    var digits: [UInt8] = []
    var decimals = 0
    var sawPoint = false
    while let byte = rest.first, (0x30...0x39).contains(byte) || (byte == 0x2E && !sawPoint) {
      if byte == 0x2E {
        sawPoint = true
      } else {
        digits.append(byte - 48)
        if sawPoint { decimals += 1 }
      }
      rest.removeFirst()
    }
    guard !digits.isEmpty, let scale = Self.scale(String(decoding: rest, as: UTF8.self)) else { return nil }
    guard let value = Self.billionths(digits, decimals: decimals, scale) else { return nil }
    billionths = isNegative ? -value : value
  }

  private enum Scale {
    case binary(Int)
    case decimal(Int)
  }

  private static func scale(_ suffix: String) -> Scale? {
    switch suffix {
    case "": return .decimal(0)
    case "n": return .decimal(-9)
    case "u": return .decimal(-6)
    case "m": return .decimal(-3)
    case "k": return .decimal(3)
    case "M": return .decimal(6)
    case "G": return .decimal(9)
    case "T": return .decimal(12)
    case "P": return .decimal(15)
    case "E": return .decimal(18)
    case "Ki": return .binary(10)
    case "Mi": return .binary(20)
    case "Gi": return .binary(30)
    case "Ti": return .binary(40)
    case "Pi": return .binary(50)
    case "Ei": return .binary(60)
    default:
      guard suffix.hasPrefix("e") || suffix.hasPrefix("E"), let exponent = Int(suffix.dropFirst()), exponent.magnitude <= 1000
      else { return nil }
      return .decimal(exponent)
    }
  }

  /// Rounds up to a billionth; nothing is larger than 2^63 - 1, as in Kubernetes.
  private static func billionths(_ digits: [UInt8], decimals: Int, _ scale: Scale) -> Int128? {
    let largest = Int128(Int64.max) * unit
    var value: Int128 = 0
    var exponent = 9 - decimals
    var factor: Int128 = 1
    switch scale {
    case .binary(let bits): factor = 1 << Int128(bits)
    case .decimal(let power): exponent += power
    }
    var dropped = false
    for digit in digits {
      guard value < Int128.max / 1000 / factor else {  // more digits than can matter
        dropped = dropped || digit > 0
        exponent += 1
        continue
      }
      value = value * 10 + Int128(digit)
    }
    value *= factor
    while exponent > 0 {
      guard value < largest else { return value == 0 ? 0 : largest }
      if value == 0 { return 0 }
      value *= 10
      exponent -= 1
    }
    while exponent < 0 {
      if value == 0 { return dropped ? 1 : 0 }
      dropped = dropped || value % 10 != 0
      value /= 10
      exponent += 1
    }
    return min(largest, value + (dropped ? 1 : 0))
  }

  /// The value rounded up where it is no whole number; nil where it does not fit.
  var integer: Int64? { billionths % Self.unit == 0 ? Int64(exactly: billionths / Self.unit) : nil }
}

extension CELLibrary {
  package static let quantities: CELLibrary = {
    var library = CELLibrary("quantity")
    let type = CELType.opaque("kubernetes.Quantity")
    library.types["kubernetes.Quantity"] = type
    library.function("quantity", "string_to_quantity", [.string], type, cost: .traversal(of: 0, times: 1)) { a, _ throws(CELError) in
      guard let value = CELQuantity(try a.string(0)) else {
        throw CELError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
      }
      return .opaque(value)
    }
    library.function("isQuantity", "is_quantity_string", [.string], .bool, cost: .traversal(of: 0, times: 1)) { a, _ throws(CELError) in
      .bool(CELQuantity(try a.string(0)) != nil)
    }
    library.member("sign", "quantity_sign", [type], .int) { a, _ throws(CELError) in
      .int(Int64(try a.opaque(0, CELQuantity.self).billionths.signum()))
    }
    library.member("isInteger", "quantity_is_integer", [type], .bool) { a, _ throws(CELError) in
      .bool(try a.opaque(0, CELQuantity.self).integer != nil)
    }
    library.member("asInteger", "quantity_as_integer", [type], .int) { a, _ throws(CELError) in
      guard let value = try a.opaque(0, CELQuantity.self).integer else { throw CELError("cannot convert value to integer") }
      return .int(value)
    }
    library.member("asApproximateFloat", "quantity_as_float", [type], .double) { a, _ throws(CELError) in
      .double(Double(try a.opaque(0, CELQuantity.self).billionths) / 1e9)
    }
    let comparisons: [(String, @Sendable (CELQuantity, CELQuantity) -> CELValue)] = [
      ("isLessThan", { .bool($0 < $1) }), ("isGreaterThan", { .bool($0 > $1) }),
      ("compareTo", { .int($0 < $1 ? -1 : $0 == $1 ? 0 : 1) }),
    ]
    for (name, compare) in comparisons {
      library.member(name, "quantity_\(name)", [type, type], name == "compareTo" ? .int : .bool) { a, _ throws(CELError) in
        compare(try a.opaque(0, CELQuantity.self), try a.opaque(1, CELQuantity.self))
      }
    }
    for (name, sign) in [("add", Int128(1)), ("sub", Int128(-1))] {
      library.member(name, "quantity_\(name)", [type, type], type) { a, _ throws(CELError) in
        let sum = try a.opaque(0, CELQuantity.self).billionths + sign * (try a.opaque(1, CELQuantity.self).billionths)
        return .opaque(try bounded(sum))
      }
      library.member(name, "quantity_\(name)_int", [type, .int], type) { a, _ throws(CELError) in
        let sum = try a.opaque(0, CELQuantity.self).billionths + sign * Int128(try a.int(1)) * CELQuantity.unit
        return .opaque(try bounded(sum))
      }
    }
    return library
  }()

  /// Far beyond what a quantity can be written as, so that sums cannot overflow.
  private static func bounded(_ billionths: Int128) throws(CELError) -> CELQuantity {
    guard billionths.magnitude < 1 << 120 else { throw CELError("quantity overflow") }
    return CELQuantity(billionths: billionths)
  }
}
