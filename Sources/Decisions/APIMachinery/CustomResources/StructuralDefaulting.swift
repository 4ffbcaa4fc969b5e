import JSONCodec

extension StructuralSchema {
  /// Fills in the defaults of the schema: for fields that are missing, and for nulls where null is not allowed.
  ///
  /// A default can have fields with defaults of their own. An object that is missing and has no default is not made.
  package func fillDefaults(_ value: inout JSON) {
    guard hasDefaults else { return }
    switch value {
    case .object(var fields):
      value = .null  // gives up the other reference, so that the fields change in place
      for name in propertyNames {
        let property = properties[name]!
        guard property.hasDefaults else { continue }
        if let fallback = property.defaultValue, fields[name].map({ $0.isNull && !property.isNullable }) ?? true {
          fields[name] = fallback
        }
        Self.fill(&fields, name, property)
      }
      if case .schema(let inner) = additional, inner.hasDefaults {
        for name in fields.keys where properties[name] == nil {
          if let fallback = inner.defaultValue, fields[name]?.isNull == true, !inner.isNullable { fields[name] = fallback }
          Self.fill(&fields, name, inner)
        }
      }
      value = .object(fields)
    case .array(var elements):
      guard let items, items.hasDefaults else { return }
      value = .null
      for i in elements.indices {
        if let fallback = items.defaultValue, elements[i].isNull, !items.isNullable { elements[i] = fallback }
        items.fillDefaults(&elements[i])
      }
      value = .array(elements)
    default: break
    }
  }

  private static func fill(_ fields: inout JSONObject, _ name: String, _ schema: StructuralSchema) {
    guard var child = fields[name] else { return }
    schema.fillDefaults(&child)
    fields[name] = child
  }
}
