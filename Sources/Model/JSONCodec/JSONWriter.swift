extension JSON {
  /// The document as compact JSON, in the fields' order.
  package func serialized() -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(512)
    write(to: &out)
    return out
  }

  package func text() -> String { String(decoding: serialized(), as: UTF8.self) }

  package func write(to out: inout [UInt8]) {
    switch self {
    case .null: out.append(contentsOf: "null".utf8)
    case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
    case .int(let value): Self.write(integer: value, to: &out)
    case .double(let value): Self.write(double: value, to: &out)
    case .string(let value): Self.write(string: value, to: &out)
    case .array(let items):
      out.append(UInt8(ascii: "["))
      var first = true
      for item in items {
        if !first { out.append(UInt8(ascii: ",")) }
        first = false
        item.write(to: &out)
      }
      out.append(UInt8(ascii: "]"))
    case .object(let object):
      out.append(UInt8(ascii: "{"))
      var first = true
      for (key, value) in object {
        if !first { out.append(UInt8(ascii: ",")) }
        first = false
        Self.write(string: key, to: &out)
        out.append(UInt8(ascii: ":"))
        value.write(to: &out)
      }
      out.append(UInt8(ascii: "}"))
    }
  }

  /// The document on several lines, indented by two spaces, for people (`pretty=true`).
  package func prettyText(indent: Int = 0) -> String {
    let pad = String(repeating: "  ", count: indent + 1)
    let end = String(repeating: "  ", count: indent)
    switch self {
    case .array(let items) where !items.isEmpty:
      return "[\n" + items.map { pad + $0.prettyText(indent: indent + 1) }.joined(separator: ",\n") + "\n\(end)]"
    case .object(let object) where !object.isEmpty:
      return "{\n"
        + object.map { "\(pad)\(JSON.string($0).text()): \($1.prettyText(indent: indent + 1))" }.joined(separator: ",\n")
        + "\n\(end)}"
    default: return text()
    }
  }

  static func write(integer: Int64, to out: inout [UInt8]) {
    if integer >= 0, integer < 10 {
      out.append(0x30 + UInt8(integer))
    } else {
      out.append(contentsOf: String(integer).utf8)
    }
  }

  /// A whole double is written without a fraction (as Go does); JSON has no infinity, so null stands for it.
  static func write(double: Double, to out: inout [UInt8]) {
    guard double.isFinite else { return out.append(contentsOf: "null".utf8) }
    if let integer = Int64(exactly: double), abs(double) < 1e15 { return write(integer: integer, to: &out) }
    out.append(contentsOf: "\(double)".utf8)
  }

  package static func write(string: String, to out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    var string = string
    string.withUTF8 { bytes in
      var from = 0
      for i in bytes.indices {
        let byte = bytes[i]
        guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
        out.append(contentsOf: bytes[from..<i])
        from = i + 1
        switch byte {
        case UInt8(ascii: "\""): out.append(contentsOf: "\\\"".utf8)
        case UInt8(ascii: "\\"): out.append(contentsOf: "\\\\".utf8)
        case 10: out.append(contentsOf: "\\n".utf8)
        case 13: out.append(contentsOf: "\\r".utf8)
        case 9: out.append(contentsOf: "\\t".utf8)
        default:
          out.append(contentsOf: "\\u00".utf8)
          let hex = Array("0123456789abcdef".utf8)
          out.append(hex[Int(byte >> 4)])
          out.append(hex[Int(byte & 15)])
        }
      }
      out.append(contentsOf: bytes[from..<bytes.count])
    }
    out.append(UInt8(ascii: "\""))
  }
}
