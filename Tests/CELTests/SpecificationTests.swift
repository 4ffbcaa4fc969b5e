import CEL
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The public specification's cases, where they lie beside the checkout (../shared/vectors/cel).
@Suite struct SpecificationTests {
  private static let directory: String = {
    // Tests/CELTests/SpecificationTests.swift -> the folder above the checkout
    var path = #filePath.split(separator: "/").dropLast(4)
    path.append(contentsOf: ["shared", "vectors", "cel"])
    return "/" + path.joined(separator: "/")
  }()

  private static var files: [String] {
    let found = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    return found.filter { $0.hasSuffix(".textproto") }.sorted()
  }

  @Test func everyCaseOfTheSpecification() throws {
    var passed = 0
    var excepted: Set<String> = []
    var failures: [String] = []
    for file in Self.files {
      guard let data = FileManager.default.contents(atPath: "\(Self.directory)/\(file)") else { continue }
      let suite = try TextProto(String(decoding: data, as: UTF8.self))
      let fileName = String(file.dropLast(".textproto".count))
      for section in suite.messages("section") {
        for test in section.messages("test") {
          let name = "\(fileName)/\(section.string("name") ?? "")/\(test.string("name") ?? "")"
          let problem = SpecificationCase(test).problem()
          let isExcepted = SpecificationExceptions.reason(name) != nil
          switch (problem, isExcepted) {
          case (nil, false): passed += 1
          case (nil, true): failures.append("\(name): passes, but is listed as an exception")
          case (_?, true): excepted.insert(name)
          case (let problem?, false): failures.append("\(name): \(test.string("expr") ?? ""): \(problem)")
          }
        }
      }
    }
    #expect(failures.isEmpty, "\(failures.count) of \(passed + failures.count):\n\(failures.joined(separator: "\n"))")
    if !Self.files.isEmpty {
      #expect(passed > 1000)
      print("CEL specification: \(passed) cases pass, \(excepted.count) need protocol buffers")
    }
  }

  @Test func readsTextForm() throws {
    let message = try TextProto("a: 'x\\n\\101' 'y' # note\nb { c: 1 c: -2.5 } [t.x/Y] <d: \"\\303\\277\"> e: [1, 2]")
    #expect(message.string("a") == "x\nAy")
    #expect(message.message("b")?.fields.count == 2)
    #expect(message.message("t.x/Y")?.string("d") == "ÿ")
    #expect(message.fields.filter { $0.name == "e" }.count == 2)
  }
}

/// One case: what to evaluate and what must come out.
struct SpecificationCase {
  let test: TextProto
  init(_ test: TextProto) { self.test = test }

  private struct Unsupported: Error { let what: String }

  /// What went wrong; nil where the case passes.
  func problem() -> String? {
    do {
      return try run()
    } catch let error as Unsupported {
      return "unsupported: \(error.what)"
    } catch {
      return "\(error)"
    }
  }

  private func run() throws -> String? {
    var library = CELLibrary("declared by the case")
    var variables: [(name: String, type: CELType)] = []
    for declaration in test.messages("type_env") {
      let name = declaration.string("name") ?? ""
      if let ident = declaration.message("ident"), let type = ident.message("type") {
        variables.append((name, try Self.type(type)))
      }
      for overload in declaration.message("function")?.messages("overloads") ?? [] {
        try Self.declare(name, overload, in: &library)
      }
    }
    var bindings = CELBindings()
    for binding in test.messages("bindings") {
      let name = binding.string("key") ?? ""
      bindings.values[name] = try Self.value(binding.message("value")?.message("value") ?? TextProto(""))
      if !variables.contains(where: { $0.name == name }) { variables.append((name, .dyn)) }
    }
    let environment = CELEnvironment(
      variables: variables, libraries: CELLibrary.kubernetes + [library], container: test.string("container") ?? "",
      needsHomogeneousLiterals: false, allowsBlocks: true, timeZoneFile: readTimeZone)
    let expression = test.string("expr") ?? ""
    let wantsError = test.has("eval_error")
    let program: CELProgram
    do {
      let isUnchecked = test.word("disable_check") == "true"
      program = try isUnchecked ? environment.compileUnchecked(expression) : environment.compile(expression)
    } catch {
      return wantsError ? nil : "\(error)"
    }
    if let wanted = test.message("typed_result")?.message("deduced_type") {
      let type = try Self.type(wanted)
      if type != program.resultType { return "type is \(program.resultType), not \(type)" }
    }
    if test.word("check_only") == "true" { return nil }
    let value: CELValue
    do {
      value = try program.evaluate(bindings)
    } catch {
      return wantsError ? nil : "fails: \(error)"
    }
    if wantsError { return "is \(value), not an error" }
    var wanted = CELValue.bool(true)
    if let message = test.message("value") ?? test.message("typed_result")?.message("result") {
      wanted = try Self.value(message)
    }
    return Self.isSame(value, wanted) ? nil : "is \(value), not \(wanted)"
  }

  private static func declare(_ name: String, _ overload: TextProto, in library: inout CELLibrary) throws {
    let parameters = try overload.messages("params").map(type)
    let result = try overload.message("result_type").map(type) ?? .dyn
    let id = overload.string("overload_id") ?? name
    let body: CELOverload.Body = { _, _ throws(CELError) in throw CELError("declared only") }
    if overload.word("is_instance_function") == "true" {
      library.member(name, id, parameters, result, body)
    } else {
      library.function(name, id, parameters, result, body)
    }
  }

  /// Equal and of the same type, NaN included.
  private static func isSame(_ a: CELValue, _ b: CELValue) -> Bool {
    switch (a, b) {
    case (.double(let x), .double(let y)): return x.isNaN && y.isNaN || (x == y && x.sign == y.sign)
    case (.list(let x), .list(let y)): return x.count == y.count && (0..<x.count).allSatisfy { isSame(x[$0], y[$0]) }
    case (.map(let x), .map(let y)):
      return x.count == y.count && x.keys.allSatisfy { key in isSame(x[key] ?? .null, y[key] ?? .type(.dyn)) }
    case (.type, .type): return a == b
    default: return a.runtimeType == b.runtimeType && a == b
    }
  }

  // MARK: Values and types

  private static func value(_ message: TextProto) throws -> CELValue {
    guard let field = message.fields.first else { throw Unsupported(what: "empty value") }
    switch (field.name, field.value) {
    case ("null_value", _): return .null
    case ("bool_value", .word(let word)): return .bool(word == "true")
    case ("int64_value", .word(let word)): return .int(Int64(word) ?? (word.hasPrefix("0x") ? Int64(word.dropFirst(2), radix: 16)! : 0))
    case ("uint64_value", .word(let word)): return .uint(UInt64(word) ?? UInt64(word.dropFirst(2), radix: 16) ?? 0)
    case ("double_value", .word(let word)):
      let name = word.lowercased()
      if name.hasSuffix("infinity") || name.hasSuffix("inf") { return .double(name.hasPrefix("-") ? -.infinity : .infinity) }
      guard let number = Double(word) else { throw Unsupported(what: "number \(word)") }
      return .double(number)
    case ("string_value", .bytes(let bytes)): return .string(String(decoding: bytes, as: UTF8.self))
    case ("bytes_value", .bytes(let bytes)): return .bytes(bytes)
    case ("type_value", .bytes(let bytes)): return .type(try typeNamed(String(decoding: bytes, as: UTF8.self)))
    case ("list_value", .message(let list)): return .list(try list.messages("values").map(value))
    case ("map_value", .message(let map)):
      var result = CELMap()
      for entry in map.messages("entries") {
        guard let key = entry.message("key"), let item = entry.message("value") else { continue }
        _ = try result.insert(value(key), value(item))
      }
      return .map(result)
    case ("object_value", .message(let object)): return try wellKnown(object)
    default: throw Unsupported(what: field.name)
    }
  }

  private static func wellKnown(_ object: TextProto) throws -> CELValue {
    guard let field = object.fields.first, case .message(let content) = field.value else { throw Unsupported(what: "object") }
    let seconds = content.word("seconds").flatMap(Int64.init) ?? 0
    let nanoseconds = content.word("nanos").flatMap(Int32.init) ?? 0
    switch field.name {
    case "type.googleapis.com/google.protobuf.Duration":
      return .duration(CELDuration(nanoseconds: seconds * 1_000_000_000 + Int64(nanoseconds)))
    case "type.googleapis.com/google.protobuf.Timestamp":
      guard let moment = CELTimestamp(seconds: seconds, nanoseconds: nanoseconds) else { throw Unsupported(what: "timestamp") }
      return .timestamp(moment)
    default: throw Unsupported(what: "message \(field.name)")
    }
  }

  private static let simpleTypes: [String: CELType] = [
    "bool": .bool, "int": .int, "uint": .uint, "double": .double, "string": .string, "bytes": .bytes, "null_type": .null,
    "list": .list(.dyn), "map": .map(.dyn, .dyn), "type": .type(nil), "google.protobuf.Timestamp": .timestamp,
    "google.protobuf.Duration": .duration, "optional_type": .optional(.dyn), "net.IP": .opaque("net.IP"),
    "net.CIDR": .opaque("net.CIDR"),
  ]

  private static func typeNamed(_ name: String) throws -> CELType {
    guard let type = simpleTypes[name] else { throw Unsupported(what: "type \(name)") }
    return type
  }

  private static let primitives: [String: CELType] = [
    "BOOL": .bool, "INT64": .int, "UINT64": .uint, "DOUBLE": .double, "STRING": .string, "BYTES": .bytes,
  ]

  private static func type(_ message: TextProto) throws -> CELType {
    guard let field = message.fields.first else { throw Unsupported(what: "empty type") }
    switch (field.name, field.value) {
    case ("dyn", _): return .dyn
    case ("null", _): return .null
    case ("primitive", .word(let word)): return primitives[word] ?? .dyn
    case ("wrapper", .word(let word)): return .wrapper(primitives[word] ?? .dyn)
    case ("well_known", .word("TIMESTAMP")): return .timestamp
    case ("well_known", .word("DURATION")): return .duration
    case ("well_known", .word("ANY")): return .dyn
    case ("list_type", .message(let list)): return .list(try list.message("elem_type").map(type) ?? .dyn)
    case ("map_type", .message(let map)):
      return .map(try map.message("key_type").map(type) ?? .dyn, try map.message("value_type").map(type) ?? .dyn)
    case ("type", .message(let inner)): return .type(inner.fields.isEmpty ? nil : try type(inner))
    case ("type_param", .bytes(let name)): return .parameter(String(decoding: name, as: UTF8.self))
    case ("message_type", .bytes(let bytes)):
      let name = String(decoding: bytes, as: UTF8.self)
      return simpleTypes[name] ?? .object(name)
    case ("abstract_type", .message(let abstract)):
      return .opaque(abstract.string("name") ?? "", try abstract.messages("parameter_types").map(type))
    default: throw Unsupported(what: "type \(field.name)")
    }
  }
}

/// The machine's time zone database.
@Sendable func readTimeZone(_ name: String) -> [UInt8]? {
  FileManager.default.contents(atPath: "/usr/share/zoneinfo/\(name)").map(Array.init)
}
