import JSONCodec
import KubernetesAPI

/// Fills in what an object leaves open, as upstream does before admission and validation: first the `fill` values of the schema
/// text, then what depends on other fields (the rules of this folder, by type), from the outside to the inside. Fields that
/// upstream always writes (`resources: {}` of a container) stand there afterwards.
package func applyDefaults(_ object: inout JSON, resource: ResourceInfo) {
  if let custom = resource.custom { custom.schema.fillDefaults(&object) } else { Defaulting.apply(&object, resource.type) }
}

enum Defaulting {
  /// Changes an object of a type whose own fields have been filled in.
  typealias Rule = @Sendable (inout JSON) -> Void

  static let rules: [String: Rule] = podRules.merging(serviceRules) { a, _ in a }.merging(workloadRules) { a, _ in a }
    .merging(otherRules) { a, _ in a }

  static func apply(_ object: inout JSON, _ type: SchemaType) {
    guard case .object = object else { return }
    let fields = type.fields
    for field in fields {
      guard let value = field.fill, object[field.name].isNull || isUnset(object[field.name], field) else { continue }
      object[field.name] = value
    }
    if let rule = rules[type.name] { rule(&object) }
    for (field, unset) in type.shape.alwaysWritten where object[field.name].isNull { object[field.name] = unset }
    for field in fields { descend(&object, field) }
  }

  /// An empty text or a zero counts as not set unless upstream keeps a pointer.
  private static func isUnset(_ value: JSON, _ field: SchemaField) -> Bool {
    switch field.value {
    case .string, .int32, .int64, .list: field.isZero(value)
    default: false
    }
  }

  private static func descend(_ object: inout JSON, _ field: SchemaField) {
    switch field.value {
    case .object(let type):
      if !object[field.name].isNull { apply(&object[field.name], type) }
    case .list(.object(let type)):
      guard !object[field.name].isNull else { return }
      object[field.name].forEachItem { apply(&$0, type) }
    case .map(.quantity): roundUpToMilli(&object, field.name)
    default: break
    }
  }

  /// Resources are kept to a thousandth.
  private static func roundUpToMilli(_ object: inout JSON, _ key: String) {
    guard let resources = object[key].object else { return }
    for (name, value) in resources {
      guard let text = value.string, text.hasSuffix("n") || text.hasSuffix("u"), let quantity = Quantity(text) else { continue }
      object[key][name] = .string(Quantity(milli: quantity.milliValue).text)
    }
  }
}
