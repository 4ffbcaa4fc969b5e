import JSONCodec

/// A value of the Common Expression Language.
package enum CELValue: Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  case uint(UInt64)
  case double(Double)
  case string(String)
  case bytes([UInt8])
  case timestamp(CELTimestamp)
  case duration(CELDuration)
  case list(CELList)
  case map(CELMap)
  case object(CELObject)
  case type(CELType)
  indirect case optional(CELValue?)
  /// A value of a library's own type, such as an IP address.
  case opaque(any CELOpaque)
}

/// A library's own type of value.
package protocol CELOpaque: Sendable {
  /// The type's name, such as `net.IP`.
  var typeName: String { get }
  func isEqual(to other: any CELOpaque) -> Bool
}

/// Why an evaluation has no value.
package struct CELError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// The expression met a value it cannot work with; `&&` and `||` may still have an answer.
    case failed
    /// The cost limit was passed: nothing absorbs this.
    case costLimit
  }
  package let code: Code
  package let message: String
  package var description: String { message }

  package init(_ message: String) {
    self.code = .failed
    self.message = message
  }

  private init(code: Code, message: String) {
    self.code = code
    self.message = message
  }

  package static let costLimit = CELError(code: .costLimit, message: "operation cancelled: actual cost limit exceeded")
  static let noSuchOverload = CELError("no such overload")
  static let integerOverflow = CELError("integer overflow")
  static let unsignedOverflow = CELError("unsigned integer overflow")
  static func noSuchKey(_ key: String) -> CELError { CELError("no such key: \(key)") }
}

extension CELValue {
  /// The type at run time, without parameters of lists and maps.
  package var runtimeType: CELType {
    switch self {
    case .null: .null
    case .bool: .bool
    case .int: .int
    case .uint: .uint
    case .double: .double
    case .string: .string
    case .bytes: .bytes
    case .timestamp: .timestamp
    case .duration: .duration
    case .list: .list(.dyn)
    case .map: .map(.dyn, .dyn)
    case .object(let object): .object(object.typeName)
    case .type: .type(nil)
    case .optional: .optional(.dyn)
    case .opaque(let value): .opaque(value.typeName)
    }
  }

  package static func strings(_ values: [String]) -> CELValue { .list(CELList(values.map(CELValue.string))) }
  package static func list(_ values: [CELValue]) -> CELValue { .list(CELList(values)) }

  /// True for values that `optional.ofNonZeroValue` takes for nothing.
  var isZero: Bool {
    switch self {
    case .null: true
    case .bool(let value): !value
    case .int(let value): value == 0
    case .uint(let value): value == 0
    case .double(let value): value == 0
    case .string(let value): value.isEmpty
    case .bytes(let value): value.isEmpty
    case .timestamp: false
    case .duration(let value): value.nanoseconds == 0
    case .list(let value): value.count == 0
    case .map(let value): value.count == 0
    case .object(let value): value.count == 0
    case .type: false
    case .optional(let value): value == nil
    case .opaque: false
    }
  }
}

// MARK: - Equality and order

extension CELValue: Equatable {
  /// CEL's equality: numbers compare across types by their value, other types differ from each other, NaN equals nothing.
  package static func == (a: CELValue, b: CELValue) -> Bool {
    var equality = CELEquality(visitsMax: .max)
    return equality.areEqual(a, b)
  }

  enum Order: Equatable {
    case less, equal, greater, unordered

    init<T: Comparable>(_ a: T, _ b: T) { self = a < b ? .less : a == b ? .equal : a > b ? .greater : .unordered }

    var reversed: Order { self == .less ? .greater : self == .greater ? .less : self }
  }

  /// The order of two numbers, whatever their types; nil where one is no number. Integers compare with doubles as doubles, as
  /// the specification has it: 2^63 - 1 equals 2^63 then.
  func compareNumber(with other: CELValue) -> Order? {
    switch (self, other) {
    case (.int(let x), .int(let y)): Order(x, y)
    case (.uint(let x), .uint(let y)): Order(x, y)
    case (.double(let x), .double(let y)): Order(x, y)
    case (.int(let x), .uint(let y)): x < 0 ? .less : Order(UInt64(x), y)
    case (.uint, .int): other.compareNumber(with: self)?.reversed
    case (.double(let x), .int(let y)): Order(x, Double(y))
    case (.double(let x), .uint(let y)): Order(x, Double(y))
    case (.int, .double), (.uint, .double): other.compareNumber(with: self)?.reversed
    default: nil
    }
  }

  /// The order that `<` tells; nil where the types have none.
  func compare(with other: CELValue) -> Order? {
    switch (self, other) {
    case (.bool(let x), .bool(let y)): Order(x ? 1 : 0, y ? 1 : 0)
    case (.string(let x), .string(let y)): x.textOrder(y)
    case (.bytes(let x), .bytes(let y)):
      x.lexicographicallyPrecedes(y) ? .less : x == y ? .equal : .greater
    case (.timestamp(let x), .timestamp(let y)): Order(x, y)
    case (.duration(let x), .duration(let y)): Order(x, y)
    case (.opaque(let x as CELQuantity), .opaque(let y as CELQuantity)): Order(x, y)
    case (.opaque(let x as CELSemver), .opaque(let y as CELSemver)): Order(x, y)
    default: compareNumber(with: other)
    }
  }
}

extension String {
  /// Equal code point for code point; Swift's own `==` takes different spellings of a letter for the same.
  func isSameText(as other: String) -> Bool {
    utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8)
  }

  /// Order of the UTF-8 bytes, which is the order of code points.
  func textOrder(_ other: String) -> CELValue.Order {
    if utf8.lexicographicallyPrecedes(other.utf8) { return .less }
    return isSameText(as: other) ? .equal : .greater
  }
}
