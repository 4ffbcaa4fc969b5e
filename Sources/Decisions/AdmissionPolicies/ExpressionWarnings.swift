import APIMachinery
import CEL
import JSONCodec

/// What is doubtful about the expressions of a ValidatingAdmissionPolicy, given the schemas of the kinds that its rules name: the
/// items of `status.typeChecking.expressionWarnings`. Kinds behind wildcards are not looked at.
package func expressionWarnings(_ policy: JSON, registry: SchemaRegistry) -> [JSON] {
  let check = ExpressionCheck(policy, registry)
  guard !check.kinds.isEmpty else { return [] }
  var warnings: [JSON] = []
  for (i, validation) in (policy["spec"]["validations"].array ?? []).enumerated() {
    for field in ["expression", "messageExpression"] {
      guard let text = validation[field].string, !text.isEmpty else { continue }
      let warning = check.warning(text)
      if !warning.isEmpty { warnings.append(["fieldRef": .string("spec.validations[\(i)].\(field)"), "warning": .string(warning)]) }
    }
  }
  return warnings
}

private struct ExpressionCheck {
  /// Kinds beyond this number are not looked at.
  static let kindsMax = 10

  let kinds: [ResourceInfo]
  private let parameters: ResourceInfo?
  private let hasParameters: Bool
  private let variables: [JSON]

  init(_ policy: JSON, _ registry: SchemaRegistry) {
    kinds = Self.kinds(policy, registry)
    variables = policy["spec"]["variables"].array ?? []
    let kind = policy["spec"]["paramKind"]
    hasParameters = !kind.isNull
    let parts = (kind["apiVersion"].string ?? "").split(separator: "/").map(String.init)
    parameters = registry.resource(
      group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: kind["kind"].string ?? "")
  }

  private static func kinds(_ policy: JSON, _ registry: SchemaRegistry) -> [ResourceInfo] {
    var found: [String: ResourceInfo] = [:]
    for rule in policy["spec"]["matchConstraints"]["resourceRules"].array ?? [] {
      func names(_ field: String) -> [String] { (rule[field].array ?? []).compactMap(\.string).sorted() }
      let (groups, versions) = (names("apiGroups"), names("apiVersions"))
      guard !(groups + versions).contains(where: { $0.contains("*") }) else { continue }
      for group in groups {
        for version in versions {
          for plural in names("resources") where !plural.contains("*") && !plural.contains("/") && found.count < kindsMax {
            guard let resource = registry.resource(group: group, version: version, plural: plural) else { continue }
            found["\(group)/\(version)/\(resource.kind)"] = resource
          }
        }
      }
    }
    return found.sorted { $0.key < $1.key }.map(\.value)
  }

  /// The mistakes for each kind, in upstream's form.
  func warning(_ text: String) -> String {
    kinds.compactMap { resource in
      problem(text, resource).map {
        "\(resource.group.isEmpty ? "" : resource.group)/\(resource.version), Kind=\(resource.kind): \($0)\n"
      }
    }.joined(separator: "\n")
  }

  private func problem(_ text: String, _ resource: ResourceInfo) -> String? {
    var types = SchemaTypes()
    let object = Self.type(resource, "objectType", &types)
    let parameterType = hasParameters ? parameters.map { Self.type($0, "paramsType", &types) } ?? .dyn : nil
    var environment = PolicyEnvironment(object: object, parameters: parameterType, schema: types.table)
    for variable in variables {
      let expression = environment.compile(variable["expression"].string ?? "")
      environment.declare(variable: variable["name"].string ?? "", expression.resultType)
    }
    do {
      _ = try environment.environment.compile(text)
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// `name`: of the type; not that of a variable, which it would hide.
  private static func type(_ resource: ResourceInfo, _ name: String, _ types: inout SchemaTypes) -> CELType {
    guard let custom = resource.custom else { return types.type(of: resource.type) }
    let schema = custom.schema
    // What keeps unknown fields can hold anything.
    if schema.preservesUnknownFields { return .dyn }
    return types.type(of: schema, isResource: true, name: name) ?? .dyn
  }
}
