/// A type of the Common Expression Language, as the checker knows it and as `type(x)` returns it.
package indirect enum CELType: Sendable, Hashable {
  case dyn
  /// The type of an expression that failed to check; agrees with everything, so that one mistake is told once.
  case error
  case null
  case bool
  case int
  case uint
  case double
  case string
  case bytes
  case timestamp
  case duration
  case list(CELType)
  case map(CELType, CELType)
  /// An object type that the environment's `CELTypeProvider` knows by this name.
  case object(String)
  /// A scalar that may be null (`google.protobuf.Int64Value` and its like).
  case wrapper(CELType)
  /// The type of types.
  case type(CELType?)
  /// A named type with no fields, such as `net.IP`, or with parameters, such as `optional_type(int)`.
  case opaque(String, [CELType])
  /// A type parameter of a function's declaration.
  case parameter(String)

  package static func optional(_ wrapped: CELType) -> CELType { .opaque("optional_type", [wrapped]) }
  package static func opaque(_ name: String) -> CELType { .opaque(name, []) }

  /// The type within an `optional_type`.
  var optionalWrapped: CELType? {
    if case .opaque("optional_type", let parameters) = self { parameters.first } else { nil }
  }

  var isDynOrError: Bool { self == .dyn || self == .error }

  /// The type without its parameters: what `type(x)` compares.
  package var runtimeName: String {
    switch self {
    case .dyn: "dyn"
    case .error: "error"
    case .null: "null_type"
    case .bool: "bool"
    case .int: "int"
    case .uint: "uint"
    case .double: "double"
    case .string: "string"
    case .bytes: "bytes"
    case .timestamp: "google.protobuf.Timestamp"
    case .duration: "google.protobuf.Duration"
    case .list: "list"
    case .map: "map"
    case .object(let name): name
    case .wrapper(let type): type.runtimeName
    case .type: "type"
    case .opaque(let name, _): name
    case .parameter(let name): name
    }
  }
}

extension CELType: CustomStringConvertible {
  /// cel-go's way to write a type in messages: `map(string, list(int))`.
  package var description: String {
    switch self {
    case .error: "!error!"
    case .null: "null"
    case .timestamp: "timestamp"
    case .duration: "duration"
    case .list(let element): "list(\(element))"
    case .map(let key, let value): "map(\(key), \(value))"
    case .wrapper(let type): "wrapper(\(type))"
    case .type(let type?): "type(\(type))"
    case .type(nil): "type"
    case .opaque(let name, let parameters):
      parameters.isEmpty ? name : "\(name)(\(parameters.map(\.description).joined(separator: ", ")))"
    default: runtimeName
    }
  }
}

/// One field of an object type.
package struct CELField: Sendable {
  package let type: CELType
  /// The field's name in the JSON object, where it differs from the name in expressions (`foo__dash__bar` for `foo-bar`).
  package let key: String
  package let listKind: CELListKind

  package init(type: CELType, key: String, listKind: CELListKind = .atomic) {
    self.type = type
    self.key = key
    self.listKind = listKind
  }
}

/// How lists compare and join (`x-kubernetes-list-type`).
package enum CELListKind: Sendable, Hashable {
  case atomic
  /// Equal whatever the order; `+` adds what is missing.
  case set
  /// Items are told apart by these fields; equal whatever the order; `+` replaces the item of the same key.
  case map(keys: [String])
}

/// What the caller knows about object types: an OpenAPI schema, a structural schema, or a fixed set.
package protocol CELTypeProvider: Sendable {
  func knowsType(_ name: String) -> Bool
  func field(_ name: String, of type: String) -> CELField?
}

/// No object types.
package struct CELNoTypes: CELTypeProvider {
  package init() {}
  package func knowsType(_ name: String) -> Bool { false }
  package func field(_ name: String, of type: String) -> CELField? { nil }
}

/// Object types as a table: name of the type, name of the field in expressions, field.
package struct CELTypeTable: CELTypeProvider {
  package var types: [String: [String: CELField]]
  package init(_ types: [String: [String: CELField]] = [:]) { self.types = types }
  package func knowsType(_ name: String) -> Bool { types[name] != nil }
  package func field(_ name: String, of type: String) -> CELField? { types[type]?[name] }
}

/// Kubernetes' way to reach fields whose names are no identifiers: `foo-bar` is `foo__dash__bar`.
package enum CELFieldName {
  /// Words of the language; a field of that name is written `__in__`.
  static let reserved: Set<String> = [
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
  ]

  /// The field's name for a name in expressions.
  package static func unescape(_ name: String) -> String {
    guard name.utf8.count > 4, name.contains("__") else { return name }
    if name.hasPrefix("__"), name.hasSuffix("__"), reserved.contains(String(name.dropFirst(2).dropLast(2))) {
      return String(name.dropFirst(2).dropLast(2))
    }
    var result = ""
    var rest = Substring(name)
    let words = [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")]
    while !rest.isEmpty {
      if let (word, meaning) = words.first(where: { rest.hasPrefix($0.0) }) {
        result += meaning
        rest = rest.dropFirst(word.count)
      } else {
        result.append(rest.removeFirst())
      }
    }
    return result
  }

  /// The name in expressions; nil where the field cannot be reached (it starts with a digit or has other characters).
  package static func escape(_ name: String) -> String? {
    if reserved.contains(name) { return "__\(name)__" }
    guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return nil }
    var result = ""
    var rest = Substring(name)
    while let character = rest.unicodeScalars.first {
      if rest.hasPrefix("__") {
        result += "__underscores__"
        rest = rest.dropFirst(2)
        continue
      }
      switch character {
      case ".": result += "__dot__"
      case "-": result += "__dash__"
      case "/": result += "__slash__"
      case "a"..."z", "A"..."Z", "0"..."9", "_": result.unicodeScalars.append(character)
      default: return nil
      }
      rest.unicodeScalars.removeFirst()
    }
    return result
  }
}
