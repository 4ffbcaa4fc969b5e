import JSONCodec

extension StructuralSchema {
  /// What the schema does not allow about a value, with upstream's paths and words.
  ///
  /// `old`: the stored value on an update. What did not change is not looked at again, so that a schema may become stricter.
  package func errors(of value: JSON, old: JSON? = nil, path: String = "") -> [FieldError] {
    var validator = SchemaValidator(root: path)
    validator.check(value, self, old: old)
    return validator.errors
  }
}

/// Walks a value and its schema side by side. The texts are those of upstream's OpenAPI validation.
struct SchemaValidator {
  /// An object with more errors than this is refused with the first of them.
  static let errorsMax = 1_000

  private(set) var errors: [FieldError] = []
  /// Checks that went well: what tells the nearest of several schemas that all fail.
  private var passed = 0
  private let root: String
  private var path: [SchemaStep] = []

  init(root: String) { self.root = root }

  // MARK: errors

  private var pathText: String {
    let text = SchemaStep.text(path)
    return root.isEmpty ? text : text.isEmpty ? root : text.hasPrefix("[") ? root + text : "\(root).\(text)"
  }

  private mutating func fail(_ reason: FieldError.Reason, at path: String? = nil, _ message: String) {
    guard errors.count < Self.errorsMax else { return }
    let path = path ?? pathText
    errors.append(FieldError(path: path.isEmpty ? "<nil>" : path, reason: reason, message: message))
  }

  private mutating func invalid(_ value: JSON, _ detail: String) {
    fail(.invalid, "Invalid value: \(value.canonicalText): \(SchemaStep.text(path)) in body \(detail)")
  }

  private mutating func wrongType(_ expected: String, _ found: String) {
    let quoted = JSON.string(found).text()
    fail(.typeInvalid, "Invalid value: \(quoted): \(SchemaStep.text(path)) in body must be of type \(expected): \(quoted)")
  }

  private mutating func tooMany(_ count: Int, _ max: Int) {
    fail(.tooMany, "Too many: \(count): must have at most \(max) items")
  }

  /// Runs a check and tells whether it found nothing.
  @discardableResult
  private mutating func note(_ body: (inout SchemaValidator) -> Void) -> Bool {
    let before = errors.count
    body(&self)
    let isGood = errors.count == before
    if isGood { passed += 1 }
    return isGood
  }

  // MARK: values

  mutating func check(_ value: JSON, _ schema: StructuralSchema, old: JSON? = nil) {
    if let old, old == value { return }
    if value.isNull {
      type(value, schema)
      choices(value, schema)
      return
    }
    note { $0.type(value, schema) }
    composition(value, schema, old: old)
    switch value {
    case .string(let text): note { $0.text(text, schema) }
    case .int, .double: note { $0.number(value, schema) }
    case .array(let items): note { $0.list(items, schema, old: old) }
    case .object(let fields): object(fields, schema, old: old)
    case .bool, .null: break
    }
    note { $0.choices(value, schema) }
  }

  private mutating func type(_ value: JSON, _ schema: StructuralSchema) {
    let allowed = schema.isIntOrString ? ["integer", "string"] : schema.type.isEmpty ? [] : [schema.type]
    guard !allowed.isEmpty, !(value.isNull && schema.isNullable) else { return }
    let found = value.schemaType
    let isNumeric = allowed.contains("integer") || allowed.contains("number")
    let fits =
      allowed.contains(found) || (found == "integer" && allowed.contains("number"))
      || (found == "number" && allowed.contains("integer") && value.int != nil)
    if fits { return }
    if !schema.format.isEmpty, !value.isNull {
      if value.string != nil || value.array != nil {
        if !isNumeric { return }
      } else {
        let format = value.double == nil ? "" : found == "integer" ? "int64" : "double"
        if format != schema.format { return wrongType(schema.format, format) }
      }
    }
    wrongType(allowed.joined(separator: ","), found)
  }

  private mutating func choices(_ value: JSON, _ schema: StructuralSchema) {
    guard let allowed = schema.enumValues, !allowed.contains(value) else { return }
    let list = allowed.map { JSON.string($0.string ?? $0.canonicalText).text() }.joined(separator: ", ")
    fail(.notSupported, "Unsupported value: \(value.canonicalText): supported values: \(list)")
  }

  private mutating func text(_ text: String, _ schema: StructuralSchema) {
    if let max = schema.maxLength, text.unicodeScalars.count > max {
      fail(.tooLong, "Too long: may not be more than \(max) bytes")
    }
    if let min = schema.minLength, text.unicodeScalars.count < min { invalid(.string(text), "should be at least \(min) chars long") }
    if let pattern = schema.pattern, let matcher = pattern.matcher, !matcher.matches(text) {
      invalid(.string(text), "should match '\(pattern.text)'")
    }
    if !schema.format.isEmpty, !SchemaFormats.allows(text, schema.format) { wrongType(schema.format, text) }
  }

  private mutating func number(_ value: JSON, _ schema: StructuralSchema) {
    guard let number = value.double else { return }
    if let unit = schema.multipleOf, let step = unit.double, step > 0, !Self.isMultiple(value, of: unit) {
      invalid(value, "should be a multiple of \(unit.goText)")
    }
    if let limit = schema.maximum, let max = limit.double {
      let shown = Self.shown(limit, beside: value)
      if schema.isMaximumExclusive, number >= max { invalid(value, "should be less than \(shown)") }
      if !schema.isMaximumExclusive, number > max { invalid(value, "should be less than or equal to \(shown)") }
    }
    if let limit = schema.minimum, let min = limit.double {
      let shown = Self.shown(limit, beside: value)
      if schema.isMinimumExclusive, number <= min { invalid(value, "should be greater than \(shown)") }
      if !schema.isMinimumExclusive, number < min { invalid(value, "should be greater than or equal to \(shown)") }
    }
    if schema.type == "integer", schema.format == "int32", !(Double(Int32.min)...Double(Int32.max)).contains(number) {
      fail(
        .invalid, at: "<nil>",
        "Invalid value: \"\": Checked value must be of type integer with format int32 in \(SchemaStep.text(path))")
    }
  }

  /// A limit is shown as a whole number beside a whole number.
  private static func shown(_ limit: JSON, beside value: JSON) -> String {
    if case .int = value, let whole = limit.double.flatMap({ Int64(exactly: $0.rounded(.towardZero)) }) { return String(whole) }
    return limit.goText
  }

  private static func isMultiple(_ value: JSON, of unit: JSON) -> Bool {
    if case .int(let number) = value, case .int(let step) = unit { return number % step == 0 }
    let quotient = (value.double ?? 0) / (unit.double ?? 1)
    return quotient == quotient.rounded()
  }

  // MARK: lists and objects

  private mutating func list(_ items: [JSON], _ schema: StructuralSchema, old: JSON?) {
    if let min = schema.minItems, items.count < min { invalid(JSON(items.count), "should have at least \(min) items") }
    if let max = schema.maxItems, items.count > max { tooMany(items.count, max) }
    if schema.itemsAreUnique, Set(items.map(\.canonicalText)).count < items.count { invalid("", "shouldn't contain duplicates") }
    guard let inner = schema.items else { return }
    let before = Self.correlated(old, schema)
    for (i, item) in items.enumerated() {
      path.append(.index(i))
      check(item, inner, old: before.flatMap { $0[schema.identity(of: item) ?? ""] })
      path.removeLast()
    }
  }

  /// The old items by their identity, for lists whose items have one.
  private static func correlated(_ old: JSON?, _ schema: StructuralSchema) -> [String: JSON]? {
    guard schema.listType == "map", let items = old?.array else { return nil }
    return Dictionary(items.compactMap { item in schema.identity(of: item).map { ($0, item) } }, uniquingKeysWith: { first, _ in first })
  }

  private mutating func object(_ fields: JSONObject, _ schema: StructuralSchema, old: JSON?) {
    if let min = schema.minProperties, fields.count < min {
      return invalid(JSON(fields.count), "should have at least \(min) properties")
    }
    if let max = schema.maxProperties, fields.count > max { return tooMany(fields.count, max) }
    if !schema.properties.isEmpty || schema.hasAdditional {
      for (name, value) in fields {
        guard let inner = schema.child(name) else { continue }
        path.append(.field(name))
        note { $0.check(value, inner, old: old?.object?[name]) }
        path.removeLast()
      }
    }
    for name in schema.required where !fields.contains(name) {
      path.append(.field(name))
      fail(.required, "Required value")
      path.removeLast()
    }
  }

  // MARK: several schemas at once

  private mutating func composition(_ value: JSON, _ schema: StructuralSchema, old: JSON?) {
    if !schema.allOf.isEmpty {
      var good = 0
      for inner in schema.allOf where note({ $0.check(value, inner, old: old) }) { good += 1 }
      if good < schema.allOf.count { failComposition("must validate all the schemas (allOf)\(good == 0 ? ". None validated" : "")") }
    }
    if !schema.anyOf.isEmpty {
      let (good, nearest) = attempt(value, schema.anyOf, untilGood: true)
      if good == 0 {
        failComposition("must validate at least one schema (anyOf)")
        errors += nearest
      }
    }
    if !schema.oneOf.isEmpty {
      let (good, nearest) = attempt(value, schema.oneOf, untilGood: false)
      if good != 1 {
        failComposition(
          "must validate one and only one schema (oneOf). \(good == 0 ? "Found none valid" : "Found \(good) valid alternatives")")
        errors += nearest
      }
    }
    if let not = schema.not, attempt(value, [not], untilGood: true).good == 1 { failComposition("must not validate the schema (not)") }
  }

  private mutating func failComposition(_ detail: String) {
    fail(.invalid, at: root.isEmpty ? "<nil>" : root, "Invalid value: \"\": \(JSON.string(SchemaStep.text(path)).text()) \(detail)")
  }

  /// How many of the schemas the value fits, and where it fits none the errors of the one that it comes nearest to.
  private func attempt(_ value: JSON, _ schemas: [StructuralSchema], untilGood: Bool) -> (good: Int, nearest: [FieldError]) {
    var good = 0
    var nearest: (passed: Int, errors: [FieldError])?
    for schema in schemas {
      var trial = self
      trial.errors = []
      trial.passed = 0
      trial.check(value, schema)
      if trial.errors.isEmpty {
        good += 1
        if untilGood { break }
      } else if trial.passed > nearest?.passed ?? -1 {
        nearest = (trial.passed, trial.errors)
      }
    }
    return (good, good == 0 ? nearest?.errors ?? [] : [])
  }
}

extension StructuralSchema {
  /// What identifies an item of a list with map keys: a key that is missing counts with its default.
  func identity(of item: JSON) -> String? {
    guard case .object(let fields) = item else { return nil }
    var keys = JSONObject()
    for key in listMapKeys.sorted() { keys[key] = fields[key] ?? items?.properties[key]?.defaultValue ?? .null }
    return JSON.object(keys).text()
  }
}

extension JSON {
  /// As a schema names the value's type.
  var schemaType: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .int: "integer"
    case .double: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }

  /// With the fields of objects in order, as Go writes maps.
  var canonicalText: String {
    switch self {
    case .object(let object):
      let fields = object.sorted { $0.0 < $1.0 }.map { JSON.string($0.0).text() + ":" + $0.1.canonicalText }
      return "{" + fields.joined(separator: ",") + "}"
    case .array(let items): return "[" + items.map(\.canonicalText).joined(separator: ",") + "]"
    default: return text()
    }
  }

  /// A number as Go prints a float64: `10`, `0.5`, `1e+06`.
  var goText: String {
    guard let value = double else { return text() }
    guard let whole = Int64(exactly: value) else { return text() }
    let digits = String(whole.magnitude)
    if value.magnitude < 1_000_000 { return String(whole) }
    var mantissa = digits
    while mantissa.count > 1, mantissa.hasSuffix("0") { mantissa.removeLast() }
    let exponent = digits.count - 1
    let fraction = mantissa.dropFirst()
    let power = exponent < 10 ? "0\(exponent)" : "\(exponent)"
    return (whole < 0 ? "-" : "") + mantissa.prefix(1) + (fraction.isEmpty ? "" : "." + fraction) + "e+" + power
  }
}
