import CEL
import JSONCodec

/// Compiles and evaluates in Kubernetes' environment; a failure is the text of the error.
func evaluate(
  _ expression: String, _ bindings: CELBindings = [:], types: any CELTypeProvider = CELNoTypes(),
  variables: [(name: String, type: CELType)]? = nil, costLimit: UInt64 = CELLimits.perCall
) -> String {
  let declared = variables ?? bindings.values.keys.map { ($0, .dyn) }
  let environment = CELEnvironment.kubernetes.with(variables: declared, types: types, timeZoneFile: readTimeZone)
  do {
    let value = try environment.compile(expression).evaluate(bindings, costLimit: costLimit)
    return show(value)
  } catch {
    return "\(error)"
  }
}

/// A value as the language would write it, roughly.
func show(_ value: CELValue) -> String {
  switch value {
  case .string(let text): "'\(text)'"
  case .null: "null"
  case .bool(let value): "\(value)"
  case .int(let value): "\(value)"
  case .uint(let value): "\(value)u"
  case .double(let value): "\(value)"
  case .bytes(let value): "b'\(String(decoding: value, as: UTF8.self))'"
  case .list(let list): "[\(list.values.map(show).joined(separator: ", "))]"
  case .map(let map): "{\(map.keys.map { "\(show($0)): \(show(map[$0] ?? .null))" }.joined(separator: ", "))}"
  case .optional(let inner): inner.map { "optional(\(show($0)))" } ?? "none"
  case .timestamp(let value): value.rfc3339
  case .duration(let value): value.text
  case .object(let object): "\(object.typeName)"
  case .type(let type): type.runtimeName
  case .opaque(let value): value.typeName
  }
}
