import APIMachinery
import CEL
import JSONCodec

/// What is wrong with the rules of a schema when its definition is written: mistakes, and costs that nothing bounds.
struct RuleProblems {
  /// The most expensive rules that are named where all together cost too much.
  private static let expensiveMax = 4
  private static let field = "x-kubernetes-validations"

  private var errors: [FieldError] = []
  private var total: UInt64 = 0
  private var costs: [(path: String, cost: UInt64)] = []
  private let checksCosts: Bool

  private init(checksCosts: Bool) { self.checksCosts = checksCosts }

  /// `old`: the schema that is stored; costs that it has already are no reason to refuse a change.
  static func find(_ schema: StructuralSchema, old: StructuralSchema?, path: String, _ environment: CELEnvironment) -> [FieldError] {
    guard let rules = SchemaRules(schema, environment) else { return [] }
    var wasExpensive = false
    if let old, let oldRules = SchemaRules(old, environment) {
      var former = RuleProblems(checksCosts: true)
      former.visit(oldRules.root, path, copies: 1, uncorrelatable: nil)
      wasExpensive = former.isOverTotal || former.errors.contains { $0.reason == .forbidden }
    }
    var problems = RuleProblems(checksCosts: !wasExpensive)
    problems.visit(rules.root, path, copies: 1, uncorrelatable: nil)
    problems.checkTotal(path)
    return problems.errors.isEmpty ? defaultErrors(rules.root, path, rules.types) : problems.errors
  }

  /// Defaults must keep the rules of their own schemas.
  private static func defaultErrors(_ node: RuleNode, _ path: String, _ types: any CELTypeProvider) -> [FieldError] {
    var errors: [FieldError] = []
    if let value = node.schema.defaultValue {
      var walk = RuleWalk(types: types)
      walk.visit(node, value, old: nil, path: path + ".default", nearest: nil)
      errors += walk.errors
    }
    for name in node.schema.propertyNames {
      if let below = node.properties[name] { errors += defaultErrors(below, "\(path).properties[\(name)]", types) }
    }
    if let below = node.additional { errors += defaultErrors(below, path + ".additionalProperties", types) }
    if let below = node.items { errors += defaultErrors(below, path + ".items", types) }
    return errors
  }

  private var isOverTotal: Bool { total > CELLimits.estimatedPerDefinition }

  /// - `copies`: how many values of this schema an object can hold; nil where only the size of requests bounds them.
  /// - `uncorrelatable`: the schema within which old and new values cannot be told to be the same.
  private mutating func visit(_ node: RuleNode, _ path: String, copies: UInt64?, uncorrelatable: String?) {
    for (i, rule) in node.rules.enumerated() { check(rule, node, "\(path).\(Self.field)[\(i)]", copies, uncorrelatable) }
    for name in node.schema.propertyNames {
      guard let below = node.properties[name] else { continue }
      visit(below, "\(path).properties[\(name)]", copies: copies, uncorrelatable: node.schema.mapType == "atomic" ? path : uncorrelatable)
    }
    func product(_ limit: Int?) -> UInt64? {
      guard let copies, let limit else { return nil }
      let (product, isOver) = copies.multipliedReportingOverflow(by: UInt64(max(0, limit)))
      return isOver ? .max : product
    }
    if let below = node.additional {
      visit(below, path + ".additionalProperties", copies: product(node.schema.maxProperties), uncorrelatable: uncorrelatable)
    }
    if let below = node.items {
      visit(
        below, path + ".items", copies: product(node.schema.maxItems), uncorrelatable: node.schema.listType == "map" ? uncorrelatable : path
      )
    }
  }

  private mutating func check(_ rule: SchemaRule, _ node: RuleNode, _ path: String, _ copies: UInt64?, _ uncorrelatable: String?) {
    switch rule.program {
    case .none: return
    case .broken(let why): invalid(path + ".rule", rule.shownStruct, why)
    case .ready(let program):
      cost(program, "rule", node, path, copies ?? SchemaSizes.countMax(node.schema))
    }
    switch rule.message {
    case .none: break
    case .broken(let why): invalid(path + ".messageExpression", rule.shownStruct, why)
    case .ready(let program): cost(program, "messageExpression", node, path, 1)
    }
    if rule.usesOldSelf {
      if let uncorrelatable {
        invalid(
          path + ".rule", JSON.string(rule.text).text(),
          "oldSelf cannot be used on the uncorrelatable portion of the schema within \(uncorrelatable)")
      }
    } else if !rule.source["optionalOldSelf"].isNull, case .ready = rule.program {
      invalid(path + ".optionalOldSelf", rule.source["optionalOldSelf"].text(), "may not be set if oldSelf is not used in rule")
    }
  }

  private mutating func invalid(_ path: String, _ value: String, _ detail: String) {
    errors.append(FieldError(path: path, reason: .invalid, message: "Invalid value: \(value): \(detail)"))
  }

  private mutating func forbidden(_ path: String, _ detail: String) {
    errors.append(FieldError(path: path, reason: .forbidden, message: "Forbidden: \(detail)"))
  }

  private mutating func cost(_ program: CELProgram, _ what: String, _ node: RuleNode, _ path: String, _ copies: UInt64) {
    let (schema, isResource) = (node.schema, node.isResource)
    let once = program.estimateCost { SchemaSizes.bounds($0, in: schema, isResource: isResource) }.max
    let (product, isOver) = once.multipliedReportingOverflow(by: copies)
    let cost = isOver ? UInt64.max : product
    if checksCosts, cost > CELLimits.estimatedPerRule {
      forbidden("\(path).\(what)", Self.tooExpensive("estimated \(what) cost", cost, CELLimits.estimatedPerRule))
    }
    let (sum, overflows) = total.addingReportingOverflow(cost)
    total = overflows ? .max : sum
    costs.append(("\(path).\(what)", cost))
  }

  private mutating func checkTotal(_ path: String) {
    guard checksCosts, isOverTotal else { return }
    for (path, _) in costs.sorted(by: { $0.cost > $1.cost }).prefix(Self.expensiveMax) {
      forbidden(path, "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema")
    }
    forbidden(
      path,
      Self.tooExpensive("\(Self.field) estimated rule cost total for entire OpenAPIv3 schema", total, CELLimits.estimatedPerDefinition))
  }

  private static func tooExpensive(_ what: String, _ cost: UInt64, _ limit: UInt64) -> String {
    let factor = Double(cost) / Double(limit)
    let shown = factor > 100 ? "more than 100x" : factor < 1.5 ? "\(decimal(factor, 6))x" : "\(decimal(factor, 1))x"
    return "\(what) exceeds budget by factor of \(shown) "
      + "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
  }

  /// With as many digits after the point.
  private static func decimal(_ value: Double, _ digits: Int) -> String {
    let unit = (0..<digits).reduce(1) { product, _ in product * 10 }
    let scaled = Int((value * Double(unit)).rounded())
    let fraction = String(scaled % unit)
    return "\(scaled / unit)." + String(repeating: "0", count: digits - fraction.count) + fraction
  }
}

extension SchemaRule {
  /// The rule as upstream shows it in errors.
  fileprivate var shownStruct: String {
    func text(_ name: String) -> String { JSON.string(source[name].string ?? "").text() }
    return "{\"Rule\":\(text("rule")),\"Message\":\(text("message")),\"MessageExpression\":\(text("messageExpression")),"
      + "\"Reason\":\(source["reason"].text()),\"FieldPath\":\(text("fieldPath")),\"OptionalOldSelf\":\(source["optionalOldSelf"].text())}"
  }
}

extension CustomResourceHooks {
  /// The rules of custom resources, in the Common Expression Language. `timeZoneFile`: reads a file of the time zone database.
  package static func expressions(timeZoneFile: @escaping @Sendable (String) -> [UInt8]? = { _ in nil }) -> CustomResourceHooks {
    let environment = CELEnvironment.kubernetes.with(variables: [], types: CELNoTypes(), timeZoneFile: timeZoneFile)
    var hooks = CustomResourceHooks()
    hooks.compileRules = { schema in SchemaRules(schema, environment) }
    hooks.ruleProblems = { schema, old, path in RuleProblems.find(schema, old: old, path: path, environment) }
    return hooks
  }
}
