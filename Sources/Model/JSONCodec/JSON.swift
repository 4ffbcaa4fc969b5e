/// A JSON document as a value: what every layer passes around instead of a class per Kubernetes kind.
///
/// Integers keep all 64 bits; a number with a fraction or an exponent is a `double`. Objects keep their fields'
/// order, so that what is read and written again differs only where somebody changed it.
package enum JSON: Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case string(String)
  case array([JSON])
  case object(JSONObject)
}

extension JSON: Equatable {
  /// Objects are equal whatever the order of their fields; `1` and `1.0` are equal, as in Kubernetes' patches.
  package static func == (a: JSON, b: JSON) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let x), .bool(let y)): x == y
    case (.int(let x), .int(let y)): x == y
    case (.double(let x), .double(let y)): x == y
    case (.int(let x), .double(let y)), (.double(let y), .int(let x)): Double(x) == y
    case (.string(let x), .string(let y)): x == y
    case (.array(let x), .array(let y)): x == y
    case (.object(let x), .object(let y)): x == y
    default: false
    }
  }
}

extension JSON {
  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  package var isNull: Bool { if case .null = self { true } else { false } }

  /// The number as an integer; a double counts where it has no fraction.
  package var int: Int? {
    switch self {
    case .int(let value): Int(value)
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }

  package var double: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// True for null, "", [] and {}: what `omitempty` leaves out (numbers and booleans are never empty here).
  package var isEmpty: Bool {
    switch self {
    case .null: true
    case .string(let value): value.isEmpty
    case .array(let value): value.isEmpty
    case .object(let value): value.isEmpty
    default: false
    }
  }

  /// The field of an object; `.null` where there is none or where this is no object, so that chains read well.
  /// Setting `.null` removes the field; setting on anything but an object replaces it with one.
  package subscript(_ key: String) -> JSON {
    get { if case .object(let object) = self { object[key] ?? .null } else { .null } }
    set {
      var object: JSONObject
      if case .object(let existing) = self { object = existing } else { object = JSONObject() }
      self = .null  // gives up the other reference, so that the change happens in place
      object[key] = newValue.isNull ? nil : newValue
      self = .object(object)
    }
    _modify {
      var object: JSONObject
      if case .object(let existing) = self { object = existing } else { object = JSONObject() }
      self = .null
      var value = object.take(key) ?? .null
      defer {
        object.put(value, for: key)
        self = .object(object)
      }
      yield &value
    }
  }

  /// The item of a list; `.null` where there is none.
  package subscript(_ index: Int) -> JSON {
    if case .array(let array) = self, array.indices.contains(index) { array[index] } else { .null }
  }

  /// The value at a path of field names.
  package func at(_ path: String...) -> JSON { path.reduce(self) { $0[$1] } }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .int(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(floatLiteral value: Double) { self = .double(value) }
  package init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// Fields whose value is `.null` are left out.
  package init(dictionaryLiteral elements: (String, JSON)...) {
    var object = JSONObject()
    for (key, value) in elements where !value.isNull { object[key] = value }
    self = .object(object)
  }

  package init(_ value: String?) { self = value.map(JSON.string) ?? .null }
  package init(_ value: Int) { self = .int(Int64(value)) }
  package init(_ value: Bool) { self = .bool(value) }
  package init(_ values: [String]) { self = .array(values.map(JSON.string)) }
  package init(_ values: [String: String]) {
    self = .object(JSONObject(values.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
  }
}
