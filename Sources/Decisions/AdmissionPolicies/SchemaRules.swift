import APIMachinery
import CEL
import JSONCodec

/// The rules of a schema and of all schemas inside it, as far as there are any.
final class RuleNode: Sendable {
  let schema: StructuralSchema
  /// Of values here.
  let type: CELType
  let isResource: Bool
  let rules: [SchemaRule]
  let items: RuleNode?
  let properties: [String: RuleNode]
  let additional: RuleNode?

  /// Nil where there is no rule, or none that could look at anything.
  init?(_ schema: StructuralSchema, isResource: Bool, name: String, type: CELType?, _ environment: CELEnvironment) {
    guard schema.hasRules, let type else { return nil }
    self.schema = schema
    self.type = type
    self.isResource = isResource
    rules = schema.rules.map { SchemaRule($0, schema: schema, environment: environment, type: type) }
    if let inner = schema.items, case .list(let item) = type {
      items = RuleNode(inner, isResource: inner.isEmbeddedResource, name: name + ".@items", type: item, environment)
    } else {
      items = nil
    }
    if case .schema(let inner) = schema.additional, case .map(_, let value) = type {
      additional = RuleNode(inner, isResource: inner.isEmbeddedResource, name: name + ".@values", type: value, environment)
    } else {
      additional = nil
    }
    var properties: [String: RuleNode] = [:]
    for (key, property) in schema.properties where property.hasRules {
      var types = SchemaTypes()
      let path = "\(name).\(key)"
      let field = types.type(of: property, isResource: property.isEmbeddedResource, name: path)
      properties[key] = RuleNode(property, isResource: property.isEmbeddedResource, name: path, type: field, environment)
    }
    self.properties = properties
  }
}

extension CELEnvironment {
  func withTypes(_ types: any CELTypeProvider) -> CELEnvironment { with(variables: [], types: types, timeZoneFile: timeZoneFile) }
}

/// The compiled rules of a custom resource's version.
struct SchemaRules: ValidationRules {
  let root: RuleNode
  let types: any CELTypeProvider

  init?(_ schema: StructuralSchema, _ environment: CELEnvironment) {
    var types = SchemaTypes()
    let name = "selfType"
    guard let type = types.type(of: schema, isResource: true, name: name),
      let root = RuleNode(schema, isResource: true, name: name, type: type, environment.withTypes(types.table))
    else { return nil }
    self.root = root
    self.types = types.table
  }

  func errors(object: JSON, old: JSON?) -> [FieldError] {
    var walk = RuleWalk(types: types)
    walk.visit(root, object, old: old, path: "", nearest: old.map { ($0, object) })
    return walk.errors
  }
}

/// One walk of an object beside its rules.
struct RuleWalk {
  /// Characters of a computed message.
  static let messageBytesMax = 5 * 1024

  let types: any CELTypeProvider
  private(set) var errors: [FieldError] = []
  private var budget = CELLimits.perRequest
  private var isOver = false

  init(types: any CELTypeProvider) { self.types = types }

  /// - `old`: the value before, where the two can be told to be the same field.
  /// - `nearest`: the nearest value from here upwards of which that is so.
  mutating func visit(_ node: RuleNode, _ value: JSON, old: JSON?, path: String, nearest: (old: JSON, new: JSON)?) {
    guard !isOver, !value.isNull else { return }
    if !node.rules.isEmpty { run(node, value, old: old, path: path, nearest: nearest) }
    guard !isOver else { return }
    let isCorrelatable = node.schema.mapType != "atomic"
    switch value {
    case .array(let items):
      guard let below = node.items else { return }
      let before = Self.correlated(old, node.schema)
      for (i, item) in items.enumerated() {
        let former = Self.key(item, node.schema).flatMap { before[$0] }
        visit(below, item, old: former, path: "\(path)[\(i)]", nearest: former.map { ($0, item) } ?? nearest)
      }
    case .object(let fields):
      for (name, child) in fields {
        let former = isCorrelatable ? old?.object?[name] : nil
        if let below = node.properties[name] {
          visit(
            below, child, old: former, path: path.isEmpty ? name : "\(path).\(name)", nearest: former.map { ($0, child) } ?? nearest)
        } else if let below = node.additional, node.schema.properties[name] == nil {
          visit(below, child, old: former, path: "\(path)[\(name)]", nearest: former.map { ($0, child) } ?? nearest)
        }
      }
    default: break
    }
  }

  /// Items of a list with map keys by their keys; other lists have no items that stay the same.
  private static func correlated(_ old: JSON?, _ schema: StructuralSchema) -> [String: JSON] {
    guard schema.listType == "map", let items = old?.array else { return [:] }
    return Dictionary(items.compactMap { item in key(item, schema).map { ($0, item) } }, uniquingKeysWith: { first, _ in first })
  }

  private static func key(_ item: JSON, _ schema: StructuralSchema) -> String? {
    guard schema.listType == "map" else { return nil }
    return JSON.array(schema.listMapKeys.map { item[$0].isNull ? schema.items?.properties[$0]?.defaultValue ?? .null : item[$0] }).text()
  }

  private mutating func fail(_ node: RuleNode, _ path: String, _ detail: String, ends: Bool = false) {
    add(path, .invalid, "Invalid value: \(JSON.string(node.schema.type).text()): \(detail)")
    if ends { isOver = true }
  }

  private mutating func add(_ path: String, _ reason: FieldError.Reason, _ message: String) {
    errors.append(FieldError(path: path.isEmpty ? "<nil>" : path, reason: reason, message: message))
  }

  private mutating func run(_ node: RuleNode, _ value: JSON, old: JSON?, path: String, nearest: (old: JSON, new: JSON)?) {
    let current = CELValue(value, type: node.type, types: types, listKind: node.schema.listKind)
    let former = old.flatMap { $0.isNull ? nil : CELValue($0, type: node.type, types: types, listKind: node.schema.listKind) }
    for rule in node.rules {
      switch rule.program {
      case .none: continue
      case .broken(let why): fail(node, path, "rule compile error: \(why)")
      case .ready(let program):
        // A rule about a change has something to say only where there was something.
        if rule.usesOldSelf, former == nil, !rule.isOldSelfOptional { continue }
        var bindings: CELBindings = ["self": current]
        if rule.isOldSelfOptional {
          bindings.values["oldSelf"] = .optional(former)
        } else if let former {
          bindings.values["oldSelf"] = former
        }
        check(rule, program, bindings, node, path, nearest)
        if isOver { return }
      }
    }
  }

  private mutating func spend(_ cost: UInt64) -> Bool {
    guard cost <= budget else { return false }
    budget -= cost
    return true
  }

  private mutating func check(
    _ rule: SchemaRule, _ program: CELProgram, _ bindings: CELBindings, _ node: RuleNode, _ path: String, _ nearest: (old: JSON, new: JSON)?
  ) {
    var cost: UInt64 = 0
    let outOfBudget = "validation failed due to running out of cost budget, no further validation rules will be run"
    guard budget > 0 else { return fail(node, path, outOfBudget, ends: true) }
    let result: Result<CELValue, CELError>
    do { result = .success(try program.evaluate(bindings, spent: &cost)) } catch { result = .failure(error) }
    guard spend(cost) else { return fail(node, path, outOfBudget, ends: true) }
    switch result {
    case .success(.bool(true)): return
    case .success: break
    case .failure(let error) where error.code == .costLimit:
      return fail(
        node, path, "'\(error)': no further validation rules will be run due to call cost exceeds limit for rule: \(rule.shown)", ends: true
      )
    case .failure(let error) where error.message.hasPrefix("no such overload"):
      return fail(
        node, path, "'\(error)': call arguments did not match a supported operator, function or macro signature for rule: \(rule.shown)")
    case .failure(let error): return fail(node, path, "\(error) evaluating rule: \(rule.shown)")
    }
    let message = self.message(rule, bindings, node, path)
    guard !isOver else { return }
    // What was wrong before and did not change is let pass.
    if !rule.usesOldSelf, let nearest, nearest.old == nearest.new { return }
    let at = rule.fieldPath.map { path.isEmpty ? $0 : $0.hasPrefix("[") ? path + $0 : "\(path).\($0)" } ?? path
    switch rule.source["reason"].string {
    case "FieldValueForbidden": add(at, .forbidden, "Forbidden: \(message)")
    case "FieldValueRequired": add(at, .required, "Required value: \(message)")
    case "FieldValueDuplicate": add(at, .duplicate, "Duplicate value: \(JSON.string(node.schema.type).text())")
    default: fail(node, at, message)
    }
  }

  /// The computed message where there is a usable one, else the written one, else the rule.
  private mutating func message(_ rule: SchemaRule, _ bindings: CELBindings, _ node: RuleNode, _ path: String) -> String {
    let written = (rule.source["message"].string ?? "").trimmed
    let plain = written.isEmpty ? "failed rule: \(rule.text.trimmed)" : written
    guard case .ready(let program) = rule.message else { return plain }
    var cost: UInt64 = 0
    let result: Result<CELValue, CELError>
    do { result = .success(try program.evaluate(bindings, spent: &cost)) } catch { result = .failure(error) }
    guard spend(cost) else {
      fail(
        node, path, "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run",
        ends: true)
      return plain
    }
    switch result {
    case .failure(let error) where error.code == .costLimit:
      let source = JSON.string(rule.source["messageExpression"].string ?? "").text()
      fail(
        node, path, "no further validation rules will be run due to call cost exceeds limit for messageExpression: \(source)", ends: true)
      return plain
    case .success(.string(let text)):
      let trimmed = text.trimmed
      return trimmed.isEmpty || trimmed.hasLineBreaks || trimmed.utf8.count > Self.messageBytesMax ? plain : trimmed
    default: return plain
    }
  }
}
