import APIMachinery
import CEL
import JSONCodec

/// What is wrong with the expressions of webhook configurations and policies when they are written; expressions that were stored
/// before and did not change are let pass. Empty for every other kind.
package func expressionProblems(
  _ object: JSON, old: JSON?, resource: ResourceInfo, timeZoneFile: @escaping @Sendable (String) -> [UInt8]? = { _ in nil }
) -> [FieldError] {
  guard resource.group == "admissionregistration.k8s.io" else { return [] }
  var problems = ExpressionProblems(known: old.map { ExpressionProblems.texts($0) } ?? [])
  switch resource.kind {
  case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
    let environment = PolicyEnvironment(hasNamespace: false, timeZoneFile: timeZoneFile)
    for (i, hook) in (object["webhooks"].array ?? []).enumerated() {
      problems.conditions(hook["matchConditions"], "webhooks[\(i)].matchConditions", environment)
    }
  case "ValidatingAdmissionPolicy": problems.policy(object["spec"], isMutating: false, timeZoneFile)
  case "MutatingAdmissionPolicy": problems.policy(object["spec"], isMutating: true, timeZoneFile)
  default: break
  }
  return problems.errors
}

private struct ExpressionProblems {
  /// Texts of expressions that are stored already.
  let known: Set<String>
  var errors: [FieldError] = []

  init(known: Set<String>) { self.known = known }

  /// All strings under fields whose name ends in `xpression`.
  static func texts(_ value: JSON) -> Set<String> {
    var found: Set<String> = []
    func collect(_ value: JSON) {
      switch value {
      case .object(let fields):
        for (name, child) in fields {
          if name.hasSuffix("xpression"), let text = child.string { found.insert(text) } else { collect(child) }
        }
      case .array(let items): items.forEach(collect)
      default: break
      }
    }
    collect(value)
    return found
  }

  private mutating func add(_ path: String, _ text: String, _ problem: String?) {
    guard let problem, !known.contains(text) else { return }
    errors.append(FieldError(path: path, reason: .invalid, message: "Invalid value: \(JSON.string(text).text()): \(problem)"))
  }

  mutating func conditions(_ conditions: JSON, _ path: String, _ environment: PolicyEnvironment) {
    for (i, condition) in (conditions.array ?? []).enumerated() {
      let text = condition["expression"].string ?? ""
      add("\(path)[\(i)].expression", text, environment.compile(text, .bool).problem)
    }
  }

  mutating func policy(_ spec: JSON, isMutating: Bool, _ timeZoneFile: @escaping @Sendable (String) -> [UInt8]?) {
    var environment = PolicyEnvironment(
      parameters: spec["paramKind"].isNull ? nil : .dyn, hasPatches: isMutating, timeZoneFile: timeZoneFile)
    conditions(spec["matchConditions"], "spec.matchConditions", environment)
    var names: Set<String> = []
    let count = spec["variables"].array?.count ?? 0
    if count > PolicyVariables.countMax {
      errors.append(
        FieldError(
          path: "spec.variables", reason: .tooMany, message: "Too many: \(count): must have at most \(PolicyVariables.countMax) items"))
      return
    }
    for (i, variable) in (spec["variables"].array ?? []).enumerated() {
      let path = "spec.variables[\(i)]"
      let (name, text) = (variable["name"].string ?? "", variable["expression"].string ?? "")
      if !Self.isIdentifier(name) {
        errors.append(
          FieldError(
            path: path + ".name", reason: .invalid,
            message: "Invalid value: \(JSON.string(name).text()): name is not a valid CEL identifier"))
        continue
      }
      if !names.insert(name).inserted {
        errors.append(FieldError(path: path + ".name", reason: .duplicate, message: "Duplicate value: \(JSON.string(name).text())"))
        continue
      }
      let expression = environment.compile(text)
      add(path + ".expression", text, expression.problem)
      environment.declare(variable: name, expression.resultType)
    }
    for (i, validation) in (spec["validations"].array ?? []).enumerated() {
      let path = "spec.validations[\(i)]"
      let text = validation["expression"].string ?? ""
      add(path + ".expression", text, environment.compile(text.trimmed, .bool).problem)
      if let message = validation["messageExpression"].string, !message.trimmed.isEmpty {
        add(path + ".messageExpression", message, environment.compile(message.trimmed, .string).problem)
      }
    }
    for (i, annotation) in (spec["auditAnnotations"].array ?? []).enumerated() {
      let text = annotation["valueExpression"].string ?? ""
      add("spec.auditAnnotations[\(i)].valueExpression", text, environment.compile(text.trimmed, .string, .null).problem)
    }
    for (i, mutation) in (spec["mutations"].array ?? []).enumerated() {
      let path = "spec.mutations[\(i)]"
      if let text = mutation["jsonPatch"]["expression"].string {
        add(path + ".jsonPatch.expression", text, environment.compile(text.trimmed, .list(.object("JSONPatch"))).problem)
      }
      if let text = mutation["applyConfiguration"]["expression"].string {
        add(path + ".applyConfiguration.expression", text, environment.compile(text.trimmed, .object("Object")).problem)
      }
    }
  }

  private static func isIdentifier(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39).contains(first), CELFieldName.escape(name) == name else { return false }
    return name.utf8.allSatisfy { $0 == 0x5F || ($0 | 0x20) &- 0x61 < 26 || $0 &- 0x30 < 10 }
  }
}
