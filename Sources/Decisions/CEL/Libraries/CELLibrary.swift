/// One way to call a function: for these types of arguments.
package struct CELOverload: Sendable {
  package typealias Body = @Sendable ([CELValue], CELContext) throws(CELError) -> CELValue

  let function: String
  let id: String
  /// Called as `first.function(rest)`.
  let isMember: Bool
  let parameters: [CELType]
  let result: CELType
  let cost: CELCallCost
  let body: Body
  private let guards: [Guard]

  private enum Guard: Sendable {
    case any
    case kind(Int)
    case opaque(String)
  }

  init(
    _ function: String, _ id: String, isMember: Bool, _ parameters: [CELType], _ result: CELType, cost: CELCallCost,
    body: @escaping Body
  ) {
    self.function = function
    self.id = id
    self.isMember = isMember
    self.parameters = parameters
    self.result = result
    self.cost = cost
    self.body = body
    guards = parameters.map { parameter in
      switch parameter {
      case .dyn, .parameter, .error, .wrapper: .any
      case .opaque("optional_type", _): .kind(CELType.optional(.dyn).kind)
      case .opaque(let name, _): .opaque(name)
      default: .kind(parameter.kind)
      }
    }
  }

  /// Whether values of these types fit the parameters.
  func accepts(_ arguments: [CELValue]) -> Bool {
    guard arguments.count == guards.count else { return false }
    for (guardian, argument) in zip(guards, arguments) {
      switch guardian {
      case .any: continue
      case .kind(let kind):
        if argument.kind != kind { return false }
      case .opaque(let name):
        guard case .opaque(let value) = argument, value.typeName == name else { return false }
      }
    }
    return true
  }
}

extension CELType {
  /// A number for each case, for quick comparison at run time.
  fileprivate var kind: Int {
    switch self {
    case .null: 0
    case .bool: 1
    case .int: 2
    case .uint: 3
    case .double: 4
    case .string: 5
    case .bytes: 6
    case .timestamp: 7
    case .duration: 8
    case .list: 9
    case .map: 10
    case .object: 11
    case .type: 12
    case .opaque("optional_type", _): 13
    case .opaque: 14
    case .dyn, .error, .wrapper, .parameter: -1
    }
  }
}

extension CELValue {
  fileprivate var kind: Int {
    switch self {
    case .null: 0
    case .bool: 1
    case .int: 2
    case .uint: 3
    case .double: 4
    case .string: 5
    case .bytes: 6
    case .timestamp: 7
    case .duration: 8
    case .list: 9
    case .map: 10
    case .object: 11
    case .type: 12
    case .optional: 13
    case .opaque: 14
    }
  }
}

/// A set of functions and type names that an environment may have.
package struct CELLibrary: Sendable {
  package let name: String
  private(set) var overloads: [CELOverload] = []
  var types: [String: CELType] = [:]

  package init(_ name: String) { self.name = name }

  /// Declares `name(arguments)`.
  package mutating func function(
    _ name: String, _ id: String, _ parameters: [CELType], _ result: CELType, cost: CELCallCost = .fixed(1),
    _ body: @escaping CELOverload.Body
  ) {
    overloads.append(CELOverload(name, id, isMember: false, parameters, result, cost: cost, body: body))
  }

  /// Declares `first.name(rest)`; the first parameter is what stands before the dot.
  package mutating func member(
    _ name: String, _ id: String, _ parameters: [CELType], _ result: CELType, cost: CELCallCost = .fixed(1),
    _ body: @escaping CELOverload.Body
  ) {
    overloads.append(CELOverload(name, id, isMember: true, parameters, result, cost: cost, body: body))
  }
}

/// What a call costs, at run time from its arguments and before from the bounds of their sizes.
package enum CELCallCost: Sendable {
  case fixed(UInt64)
  /// A tenth of an argument's size, rounded up, so many times.
  case traversal(of: Int, times: UInt64)
  /// An argument's size.
  case size(of: Int)
  /// A tenth of the smaller one of two arguments: comparison.
  case smaller
  /// A tenth of both arguments together: joining.
  case sum
  /// String size against pattern size.
  case regex
  /// String size against size of the part that is looked for.
  case substring
  /// Every item of a list, each by its size.
  case items(of: Int)
  /// Every item of one list against every item of another.
  case product
  /// A tenth of the result's size, so many times.
  case result(times: UInt64)

  static let traversalFactor = 0.1
  static let regexFactor = 0.25

  /// Sizes as cel-go measures them: code points, bytes, items; 1 for scalars.
  static func size(_ value: CELValue) -> UInt64 {
    switch value {
    case .string(let text): UInt64(text.unicodeScalars.count)
    case .bytes(let bytes): UInt64(bytes.count)
    case .list(let list): UInt64(list.count)
    case .map(let map): UInt64(map.count)
    case .object(let object): UInt64(object.count)
    case .optional(let value?): size(value)
    default: 1
    }
  }

  static func tenth(_ size: UInt64) -> UInt64 { size / 10 + (size % 10 == 0 ? 0 : 1) }

  func actual(_ arguments: [CELValue], _ result: CELValue) -> UInt64 {
    func size(_ i: Int) -> UInt64 { i < arguments.count ? Self.size(arguments[i]) : 1 }
    switch self {
    case .fixed(let cost): return cost
    case .traversal(let i, let times): return Self.tenth(size(i)) * times
    case .size(let i): return size(i)
    case .smaller: return Self.tenth(min(size(0), size(1)))
    case .sum: return Self.tenth(size(0) + size(1))
    case .regex:
      let pattern = size(1) / 4 + (size(1) % 4 == 0 ? 0 : 1)
      return Self.tenth(size(0) + 1) * pattern
    case .substring: return Self.tenth(size(0)) * Self.tenth(size(1))
    case .items(let i):
      guard i < arguments.count, case .list(let list) = arguments[i], list.count > 0 else { return 1 }
      switch list[0] {
      case .string, .bytes: return UInt64(list.count) * max(1, Self.tenth(Self.size(list[0])))
      default: return UInt64(list.count)
      }
    case .product: return size(0).multipliedReportingOverflow(by: size(1)).partialValue
    case .result(let times): return Self.tenth(Self.size(result)) * times
    }
  }
}

/// Arguments as the types that an overload has declared; a mismatch is an error, never a crash.
extension [CELValue] {
  func string(_ i: Int) throws(CELError) -> String {
    if case .string(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func bytes(_ i: Int) throws(CELError) -> [UInt8] {
    if case .bytes(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func int(_ i: Int) throws(CELError) -> Int64 {
    if case .int(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func uint(_ i: Int) throws(CELError) -> UInt64 {
    if case .uint(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func double(_ i: Int) throws(CELError) -> Double {
    if case .double(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func bool(_ i: Int) throws(CELError) -> Bool {
    if case .bool(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func timestamp(_ i: Int) throws(CELError) -> CELTimestamp {
    if case .timestamp(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func duration(_ i: Int) throws(CELError) -> CELDuration {
    if case .duration(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func list(_ i: Int) throws(CELError) -> CELList {
    if case .list(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func map(_ i: Int) throws(CELError) -> CELMap {
    if case .map(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func optional(_ i: Int) throws(CELError) -> CELValue? {
    if case .optional(let value) = self[i] { return value }
    throw .noSuchOverload
  }
  func opaque<T: CELOpaque>(_ i: Int, _ type: T.Type) throws(CELError) -> T {
    if case .opaque(let value) = self[i], let typed = value as? T { return typed }
    throw .noSuchOverload
  }
}
