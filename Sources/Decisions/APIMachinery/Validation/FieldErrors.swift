import JSONCodec

/// Where a field is, as in `spec.containers[0].name` and `data[tls.crt]`.
struct FieldPath: Sendable, CustomStringConvertible {
  let description: String
  init(_ text: String) { description = text }
  static let root = FieldPath("")

  static func / (path: FieldPath, name: String) -> FieldPath {
    FieldPath(path.description.isEmpty ? name : path.description + "." + name)
  }
  subscript(index: Int) -> FieldPath { FieldPath(description + "[" + String(index) + "]") }
  subscript(key key: String) -> FieldPath { FieldPath(description + "[" + key + "]") }
}

/// One thing that is wrong with an object: a cause of a 422 answer.
package struct FieldError: Sendable, Equatable, CustomStringConvertible {
  package enum Reason: String, Sendable {
    case required = "FieldValueRequired"
    case invalid = "FieldValueInvalid"
    case duplicate = "FieldValueDuplicate"
    case notSupported = "FieldValueNotSupported"
    case forbidden = "FieldValueForbidden"
    case notFound = "FieldValueNotFound"
    case tooLong = "FieldValueTooLong"
    case tooMany = "FieldValueTooMany"
    case typeInvalid = "FieldValueTypeInvalid"
  }

  package let path: String
  package let reason: Reason
  /// With its head and value: `Invalid value: "X": must be lower case`.
  package let message: String
  package var description: String { "\(path): \(message)" }

  package init(path: String, reason: Reason, message: String) {
    self.path = path
    self.reason = reason
    self.message = message
  }
}

/// The Status that tells what is wrong with an object: 422 Invalid, with a cause for each error.
package func invalidStatus(_ errors: [FieldError], resource: ResourceInfo, name: String) -> JSON {
  invalidStatus(errors, group: resource.group, kind: resource.kind, name: name)
}

package func invalidStatus(_ errors: [FieldError], group: String, kind: String, name: String) -> JSON {
  // The text names each error once; the causes keep all.
  var known: Set<String> = []
  let texts = errors.map(\.description).filter { known.insert($0).inserted }
  let detail = texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]"
  let qualified = group.isEmpty ? kind : "\(kind).\(group)"
  return [
    "kind": "Status", "apiVersion": "v1", "metadata": .object(JSONObject()), "status": "Failure",
    "message": .string("\(qualified) \"\(name)\" is invalid: \(detail)"), "reason": "Invalid",
    "details": [
      "name": name.isEmpty ? .null : .string(name), "group": group.isEmpty ? .null : .string(group), "kind": .string(kind),
      "causes": .array(
        errors.map { ["reason": .string($0.reason.rawValue), "message": .string($0.message), "field": .string($0.path)] }),
    ],
    "code": 422,
  ]
}

/// Collects what is wrong with an object.
struct Findings {
  private(set) var errors: [FieldError] = []

  mutating func add(_ path: FieldPath, _ reason: FieldError.Reason, _ message: String) {
    errors.append(FieldError(path: path.description, reason: reason, message: message))
  }
  mutating func required(_ path: FieldPath, _ detail: String = "") {
    add(path, .required, detail.isEmpty ? "Required value" : "Required value: \(detail)")
  }
  mutating func invalid(_ path: FieldPath, _ value: JSON, _ detail: String) {
    add(path, .invalid, "Invalid value: \(value.text()): \(detail)")
  }
  mutating func duplicate(_ path: FieldPath, _ value: JSON) { add(path, .duplicate, "Duplicate value: \(value.text())") }
  mutating func notFound(_ path: FieldPath, _ value: JSON) { add(path, .notFound, "Not found: \(value.text())") }
  mutating func forbidden(_ path: FieldPath, _ detail: String) { add(path, .forbidden, "Forbidden: \(detail)") }
  mutating func notSupported(_ path: FieldPath, _ value: JSON, _ supported: [String]) {
    let list = supported.sorted().map { "\"\($0)\"" }.joined(separator: ", ")
    add(path, .notSupported, "Unsupported value: \(value.text()): supported values: \(list)")
  }
  mutating func tooLong(_ path: FieldPath, bytesMax: Int) { add(path, .tooLong, "Too long: may not be more than \(bytesMax) bytes") }
  mutating func tooMany(_ path: FieldPath, _ count: Int, max: Int) {
    add(path, .tooMany, "Too many: \(count): must have at most \(max) items")
  }

  func hasError(at path: FieldPath) -> Bool { errors.contains { $0.path == path.description } }
}
