/// Protocol buffers' text form, as far as the specification's test files need it.
struct TextProto {
  /// Fields in their order; a name may stand several times.
  private(set) var fields: [(name: String, value: Value)] = []

  enum Value {
    case message(TextProto)
    case bytes([UInt8])
    /// A number or a word.
    case word(String)
  }

  struct Malformed: Error { let reason: String, offset: Int }

  init(_ text: String) throws(Malformed) {
    var reader = Reader(bytes: Array(text.utf8))
    self = try reader.message(until: nil)
  }

  fileprivate init() {}
  fileprivate mutating func append(_ name: String, _ value: Value) { fields.append((name, value)) }

  func messages(_ name: String) -> [TextProto] {
    fields.compactMap { if $0.name == name, case .message(let message) = $0.value { message } else { nil } }
  }
  func message(_ name: String) -> TextProto? { messages(name).first }
  func bytes(_ name: String) -> [UInt8]? {
    for field in fields where field.name == name { if case .bytes(let bytes) = field.value { return bytes } }
    return nil
  }
  func string(_ name: String) -> String? { bytes(name).map { String(decoding: $0, as: UTF8.self) } }
  func word(_ name: String) -> String? {
    for field in fields where field.name == name { if case .word(let word) = field.value { return word } }
    return nil
  }
  func has(_ name: String) -> Bool { fields.contains { $0.name == name } }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0

    mutating func skip() {
      while at < bytes.count {
        if bytes[at] == UInt8(ascii: "#") {
          while at < bytes.count, bytes[at] != 0x0A { at += 1 }
        } else if " \t\r\n,;".utf8.contains(bytes[at]) {
          at += 1
        } else {
          return
        }
      }
    }

    mutating func take(_ character: Character) -> Bool {
      skip()
      guard at < bytes.count, bytes[at] == character.asciiValue else { return false }
      at += 1
      return true
    }

    mutating func word() -> String {
      skip()
      let start = at
      while at < bytes.count, !" \t\r\n,;:{}[]<>#\"'".utf8.contains(bytes[at]) { at += 1 }
      return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    mutating func message(until end: Character?) throws(Malformed) -> TextProto {
      var result = TextProto()
      while true {
        if let end, take(end) { return result }
        skip()
        if at == bytes.count {
          if end == nil { return result }
          throw Malformed(reason: "message without an end", offset: at)
        }
        var name = ""
        if take("[") {
          while at < bytes.count, bytes[at] != UInt8(ascii: "]") {
            name.unicodeScalars.append(Unicode.Scalar(bytes[at]))
            at += 1
          }
          at += 1
        } else {
          name = word()
        }
        guard !name.isEmpty else { throw Malformed(reason: "no field name", offset: at) }
        _ = take(":")
        if take("[") {
          while !take("]") { result.append(name, try value()) }
        } else {
          result.append(name, try value())
        }
      }
    }

    mutating func value() throws(Malformed) -> Value {
      if take("{") { return .message(try message(until: "}")) }
      if take("<") { return .message(try message(until: ">")) }
      skip()
      guard at < bytes.count else { throw Malformed(reason: "no value", offset: at) }
      guard bytes[at] == UInt8(ascii: "\"") || bytes[at] == UInt8(ascii: "'") else { return .word(word()) }
      var content: [UInt8] = []
      while at < bytes.count, bytes[at] == UInt8(ascii: "\"") || bytes[at] == UInt8(ascii: "'") {
        content += try string()
        skip()
      }
      return .bytes(content)
    }

    mutating func string() throws(Malformed) -> [UInt8] {
      let quote = bytes[at]
      at += 1
      var content: [UInt8] = []
      while at < bytes.count, bytes[at] != quote {
        guard bytes[at] == UInt8(ascii: "\\") else {
          content.append(bytes[at])
          at += 1
          continue
        }
        at += 2
        guard at <= bytes.count else { break }
        switch bytes[at - 1] {
        case UInt8(ascii: "a"): content.append(7)
        case UInt8(ascii: "b"): content.append(8)
        case UInt8(ascii: "f"): content.append(12)
        case UInt8(ascii: "n"): content.append(10)
        case UInt8(ascii: "r"): content.append(13)
        case UInt8(ascii: "t"): content.append(9)
        case UInt8(ascii: "v"): content.append(11)
        case UInt8(ascii: "x"): content.append(UInt8(truncatingIfNeeded: number(radix: 16, max: 2)))
        case UInt8(ascii: "u"): append(number(radix: 16, max: 4), to: &content)
        case UInt8(ascii: "U"): append(number(radix: 16, max: 8), to: &content)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
          at -= 1
          content.append(UInt8(truncatingIfNeeded: number(radix: 8, max: 3)))
        default: content.append(bytes[at - 1])
        }
      }
      guard at < bytes.count else { throw Malformed(reason: "string without an end", offset: at) }
      at += 1
      return content
    }

    private mutating func number(radix: Int, max: Int) -> Int {
      var value = 0
      var count = 0
      while at < bytes.count, count < max, let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue, digit < radix {
        value = value * radix + digit
        at += 1
        count += 1
      }
      return value
    }

    private func append(_ code: Int, to content: inout [UInt8]) {
      content += Array(String(Character(Unicode.Scalar(UInt32(code)) ?? "\u{FFFD}")).utf8)
    }
  }
}
