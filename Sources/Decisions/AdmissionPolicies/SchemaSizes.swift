import APIMachinery
import CEL

/// How large values of a schema can be in a request: what the estimated costs of rules stand on.
enum SchemaSizes {
  /// Bytes of a request.
  static let requestBytesMax: UInt64 = 3 << 20
  /// Bytes of a character in UTF-8.
  private static let bytesPerCharacter: UInt64 = 4

  /// The fewest bytes that a value takes in JSON.
  static func bytesMin(_ schema: StructuralSchema) -> UInt64 {
    if schema.isIntOrString { return 1 }
    switch schema.type {
    case "boolean": return 4
    case "number", "integer": return 1
    case "string":
      switch schema.format {
      case "duration", "byte": return 2
      case "date": return 12
      case "date-time": return 22
      default: return 2
      }
    case "object":
      var size: UInt64 = 2
      // What must be there and has no default: `"name":value,`.
      for name in schema.required {
        guard let property = schema.properties[name], property.defaultValue == nil else { continue }
        size += UInt64(name.utf8.count) + 4 + bytesMin(property)
      }
      return size
    default: return 2
    }
  }

  /// How often a value of the schema fits into a request.
  static func countMax(_ schema: StructuralSchema) -> UInt64 { requestBytesMax / (bytesMin(schema) + 1) }

  /// The most characters, items or entries of a value.
  static func elementsMax(_ schema: StructuralSchema) -> UInt64 {
    if schema.isIntOrString { return requestBytesMax - 2 }
    func limit(_ value: Int?) -> UInt64? { value.map { UInt64(max(0, $0)) } }
    switch schema.type {
    case "array":
      if let max = limit(schema.maxItems) { return max }
      return schema.items.map { (requestBytesMax - 2) / (bytesMin($0) + 1) } ?? requestBytesMax
    case "object":
      if let max = limit(schema.maxProperties) { return max }
      // `"":value,` is the least that an entry takes.
      if case .schema(let inner) = schema.additional { return (requestBytesMax - 2) / (bytesMin(inner) + 5) }
      return requestBytesMax
    case "string":
      switch schema.format {
      case "duration": return 32
      case "date": return 12
      case "date-time": return 29
      case "byte": return limit(schema.maxLength) ?? requestBytesMax - 2
      default: break
      }
      if let values = schema.enumValues { return values.map { UInt64($0.string?.utf8.count ?? 0) }.max() ?? 0 }
      return limit(schema.maxLength)?.multipliedReportingOverflow(by: bytesPerCharacter).partialValue ?? requestBytesMax - 2
    default: return requestBytesMax
    }
  }

  /// The bounds of what lies at a path of the estimator, such as `["self", "items", "@items"]`.
  static func bounds(_ path: [String], in root: StructuralSchema, isResource: Bool) -> ClosedRange<UInt64>? {
    var schema = root
    var isAtResource = isResource
    for (i, step) in path.dropFirst().enumerated() {
      switch step {
      case "@items":
        guard let items = schema.items else { return nil }
        schema = items
      case "@values":
        guard case .schema(let inner) = schema.additional else { return nil }
        schema = inner
      case "@keys": return 0...(requestBytesMax - 2)
      default:
        let name = CELFieldName.unescape(step)
        if isAtResource, ["apiVersion", "kind", "metadata"].contains(name) {
          return i == path.count - 2 || name == "metadata" ? 0...(requestBytesMax - 2) : nil
        }
        guard let property = schema.properties[name] else { return nil }
        schema = property
      }
      isAtResource = schema.isEmbeddedResource
    }
    return 0...elementsMax(schema)
  }
}
