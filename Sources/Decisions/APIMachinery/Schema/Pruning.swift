import JSONCodec
import KubernetesAPI

/// Brings a document into the form that its type has: unknown fields are taken out (their paths are returned), quantities and
/// times are written canonically, nulls are dropped, and, unless `keepsEmpty`, so is what upstream's `omitempty` drops.
///
/// `keepsEmpty` is for configurations of server-side apply, where an empty list or a false is a statement.
/// Throws `SchemaError`, with the text of upstream's 400 answer, where a value has the wrong JSON type.
@discardableResult
package func prune(_ object: inout JSON, type: SchemaType, keepsEmpty: Bool = false) throws(SchemaError) -> [UnknownField] {
  do throws(SchemaError) {
    if case .object(let custom) = type.custom {
      // A custom object keeps what is empty: nothing says that it means nothing.
      if custom.keepsEverything { return try pruneCustom(&object, .untyped, kind: custom.kind) }
      return try pruneCustom(&object, custom.schema, kind: custom.kind)
    }
    return try pruneObject(&object, type: type, keepsEmpty: keepsEmpty)
  } catch {
    let kind = object["kind"].string ?? type.kind
    let version = type.packageName.split(separator: "/").last.map(String.init) ?? ""
    throw SchemaError(message: "\(kind) in version \"\(version)\" cannot be handled as a \(kind): \(error.message)")
  }
}

/// The same for an object that is part of another; the error is without the words around it.
func pruneObject(_ object: inout JSON, type: SchemaType, keepsEmpty: Bool = false) throws(SchemaError) -> [UnknownField] {
  var pruner = Pruner(keepsEmpty: keepsEmpty)
  object = try pruner.object(object, type)
  return pruner.unknown
}

private struct Pruner {
  let keepsEmpty: Bool
  var unknown: [UnknownField] = []
  /// Names and `[0]`, for unknown fields.
  private var path: [String] = []
  /// The struct and field that are being read, as Go's decoder names them.
  private var owner = ""

  init(keepsEmpty: Bool) { self.keepsEmpty = keepsEmpty }

  private var pathText: String { path.reduce("") { $1.hasPrefix("[") || $0.isEmpty ? $0 + $1 : "\($0).\($1)" } }
  /// Go's paths have no list indices.
  private var goPath: String { path.filter { !$0.hasPrefix("[") }.joined(separator: ".") }

  private func wrongType(_ json: JSON, _ expected: String) -> SchemaError {
    let what =
      switch json {
      case .null: "null"
      case .bool: "bool"
      case .int: "number"
      case .double: "number \(json.text())"
      case .string: "string"
      case .array: "array"
      case .object: "object"
      }
    let target = path.isEmpty ? "Go value" : "Go struct field \(owner).\(goPath)"
    return SchemaError(message: "json: cannot unmarshal \(what) into \(target) of type \(expected)")
  }

  mutating func object(_ json: JSON, _ type: SchemaType) throws(SchemaError) -> JSON {
    guard case .object(let given) = json else { throw wrongType(json, type.goName) }
    let shape = type.shape
    var result = JSONObject()
    result.reserveCapacity(given.count)
    let outer = owner
    defer { owner = outer }
    for (key, value) in given {
      path.append(key)
      defer { path.removeLast() }
      guard let position = shape.position(key) else {
        unknown.append(UnknownField(path: pathText))
        continue
      }
      if value.isNull { continue }
      let field = shape.fields[position]
      owner = type.kind
      let pruned = try self.value(value, field.value)
      if pruned.isNull || (!keepsEmpty && field.omitsEmpty && field.isZero(pruned)) { continue }
      result.append(key, pruned)
    }
    return .object(result)
  }

  private mutating func value(_ json: JSON, _ value: FieldValue) throws(SchemaError) -> JSON {
    switch value {
    case .string:
      guard json.string != nil else { throw wrongType(json, "string") }
      return json
    case .int32: return .int(try integer(json, in: Int64(Int32.min)...Int64(Int32.max), "int32"))
    case .int64: return .int(try integer(json, in: Int64.min...Int64.max, "int64"))
    case .bool:
      guard json.bool != nil else { throw wrongType(json, "bool") }
      return json
    case .double:
      guard json.double != nil else { throw wrongType(json, "float64") }
      return json
    case .bytes:
      guard let text = json.string else { throw wrongType(json, "[]uint8") }
      guard Base64.decode(text) != nil else { throw SchemaError(message: Self.badBase64(text)) }
      return json
    case .any, .rawExtension, .fieldsV1: return json
    case .quantity: return try quantity(json)
    case .intOrString:
      if json.string != nil { return json }
      return .int(try integer(json, in: Int64(Int32.min)...Int64(Int32.max), "int32"))
    case .time: return .string(try time(json).rfc3339)
    case .microTime: return .string(try time(json).rfc3339Micro)
    case .object(let type): return try object(json, type)
    case .alternatives(let type):
      guard let field = type.alternative(for: json) else { throw wrongType(json, type.goName) }
      return try self.value(json, field.value)
    case .list(let item):
      guard let items = json.array else { throw wrongType(json, "[]\(item.goName)") }
      var result: [JSON] = []
      result.reserveCapacity(items.count)
      for (i, element) in items.enumerated() {
        path.append("[\(i)]")
        result.append(element.isNull ? item.zero : try self.value(element, item))
        path.removeLast()
      }
      return .array(result)
    case .map(let item):
      guard let entries = json.object else { throw wrongType(json, "map[string]\(item.goName)") }
      var result = JSONObject()
      result.reserveCapacity(entries.count)
      for (key, element) in entries {
        // Go's decoder names the map, not the key, in its errors.
        path.append("[\(key)]")
        result.append(key, element.isNull ? item.zero : try self.value(element, item))
        path.removeLast()
      }
      return .object(result)
    }
  }

  private func integer(_ json: JSON, in range: ClosedRange<Int64>, _ name: String) throws(SchemaError) -> Int64 {
    switch json {
    case .int(let value):
      guard range.contains(value) else { throw numberError(json, name) }
      return value
    case .double(let value):
      guard let whole = Int64(exactly: value), range.contains(whole) else { throw wrongType(json, name) }
      return whole
    default: throw wrongType(json, name)
    }
  }

  private func numberError(_ json: JSON, _ name: String) -> SchemaError {
    let target = path.isEmpty ? "Go value" : "Go struct field \(owner).\(goPath)"
    return SchemaError(message: "json: cannot unmarshal number \(json.text()) into \(target) of type \(name)")
  }

  private func quantity(_ json: JSON) throws(SchemaError) -> JSON {
    let text: String
    switch json {
    case .string(let value): text = value
    case .int, .double: text = json.text()
    default: throw SchemaError(message: SchemaError.badQuantity)
    }
    guard let quantity = Quantity(text) else {
      throw SchemaError(message: text.isEmpty ? "empty string is not a valid quantity" : SchemaError.badQuantity)
    }
    return .string(quantity.text)
  }

  private func time(_ json: JSON) throws(SchemaError) -> Timestamp {
    guard let text = json.string else { throw wrongType(json, "string") }
    guard let moment = Timestamp(rfc3339: text) else {
      throw SchemaError(
        message:
          "parsing time \(JSON.string(text).text()) as \"2006-01-02T15:04:05Z07:00\": cannot parse \(JSON.string(text).text()) as \"2006\"")
    }
    return moment
  }

  /// Go tells the first byte that cannot be.
  private static func badBase64(_ text: String) -> String {
    let bytes = Array(text.utf8)
    let isWord: (UInt8) -> Bool = {
      $0 &- 0x30 < 10 || $0 &- 0x41 < 26 || $0 &- 0x61 < 26 || $0 == 0x2B || $0 == 0x2F || $0 == 10 || $0 == 13
    }
    let at = bytes.firstIndex { !isWord($0) && $0 != UInt8(ascii: "=") } ?? bytes.count
    return "illegal base64 data at input byte \(at == bytes.count ? at / 4 * 4 : at)"
  }
}

extension SchemaType {
  /// The field of a type of alternatives that holds a value of this form; nil where none can.
  func alternative(for json: JSON) -> SchemaField? {
    fields.first { field in
      switch (field.value, json) {
      case (.object, .object), (.list, .array), (.bool, .bool): true
      default: false
      }
    }
  }

  /// As Go's decoder names it: `v1.PodSpec`.
  var goName: String { (packageName.split(separator: "/").last.map { $0 + "." } ?? "") + kind }
}

extension FieldValue {
  fileprivate var goName: String {
    switch self {
    case .string: "string"
    case .int32: "int32"
    case .int64: "int64"
    case .bool: "bool"
    case .double: "float64"
    case .bytes: "[]uint8"
    case .any: "interface {}"
    case .quantity: "resource.Quantity"
    case .intOrString: "intstr.IntOrString"
    case .time: "v1.Time"
    case .microTime: "v1.MicroTime"
    case .rawExtension: "runtime.RawExtension"
    case .fieldsV1: "v1.FieldsV1"
    case .object(let type), .alternatives(let type): type.goName
    case .list(let item): "[]\(item.goName)"
    case .map(let item): "map[string]\(item.goName)"
    }
  }
}
