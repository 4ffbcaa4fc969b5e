/// A document that does not fit its type: 400 BadRequest, with upstream's text.
package struct SchemaError: Error, CustomStringConvertible, Equatable {
  package let message: String
  package var description: String { message }

  static let badQuantity =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
}

/// A field that a type does not have.
package struct UnknownField: Sendable, Equatable {
  /// Such as `spec.containers[0].foo`.
  package let path: String
  /// As in the answer to fieldValidation=Strict and in warnings.
  package var message: String { "unknown field \"\(path)\"" }
}

/// The text of a 400 answer for what fieldValidation=Strict found.
package func strictDecodingMessage(kind: String, version: String, unknown: [UnknownField], duplicates: [String]) -> String {
  let findings = unknown.map(\.message) + duplicates.map { "duplicate field \"\($0)\"" }
  return "\(kind) in version \"\(version)\" cannot be handled as a \(kind): strict decoding error: " + findings.joined(separator: ", ")
}
