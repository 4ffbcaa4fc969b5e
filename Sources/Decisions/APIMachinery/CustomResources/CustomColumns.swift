import JSONCodec
import KubernetesAPI

extension TableColumn {
  /// The columns of a custom resource: its name, then `additionalPrinterColumns`, or its age where there are none.
  static func custom(_ columns: [JSON]) -> [TableColumn] {
    guard !columns.isEmpty else { return [.name, customAge] }
    return [.name] + columns.map(custom)
  }

  private static let customAge = custom(["name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"])

  private static func custom(_ column: JSON) -> TableColumn {
    let kind = Kind(rawValue: column["type"].string ?? "") ?? .string
    let path = JSONPath(column["jsonPath"].string ?? "")
    return TableColumn(
      column["name"].string ?? "", kind, format: column["format"].string ?? "", priority: column["priority"].int ?? 0,
      summary: column["description"].string ?? "Custom resource definition column (in JSONPath format): \(column["jsonPath"].string ?? "")"
    ) { subject in
      guard let value = path?.values(in: subject.object).first else { return .null }
      return cell(value, kind, now: subject.now)
    }
  }

  /// A value as a cell of a type; null where it does not fit.
  private static func cell(_ value: JSON, _ kind: Kind, now: Timestamp) -> JSON {
    switch kind {
    case .string: return value.string == nil ? .string(value.isNull ? "" : value.canonicalText) : value
    case .integer: return value.double.flatMap { Int64(exactly: $0.rounded(.towardZero)) }.map { .int($0) } ?? .null
    case .number: return value.double.map { .double($0) } ?? .null
    case .boolean: return value.bool == nil ? .null : value
    case .date:
      guard let text = value.string else { return .null }
      return Timestamp(rfc3339: text) == nil ? "<invalid>" : .string(APIMachinery.age(value, now: now))
    }
  }
}
