import JSONCodec
import RevisionStore

/// How an object lies in the store: two bytes (big endian) with the place where its resourceVersion goes, then its JSON
/// without one. A list or a watch sends these bytes as they are and only splices the number in: nothing is decoded or
/// encoded per reader.
enum StoredForm {
  /// The object without its resourceVersion; kind, apiVersion and metadata come first, so that the place is near the start.
  static func encode(_ object: JSON) -> [UInt8] {
    var ordered = JSONObject()
    for key in ["kind", "apiVersion"] { ordered[key] = object[key] }
    var metadata = object["metadata"]
    metadata["resourceVersion"] = .null
    ordered["metadata"] = metadata
    if case .object(let fields) = object {
      for (key, value) in fields where !ordered.contains(key) { ordered.append(key, value) }
    }
    var bytes: [UInt8] = [0, 0]
    bytes.reserveCapacity(1024)
    bytes.append(UInt8(ascii: "{"))
    for key in ["kind", "apiVersion"] {
      JSON.write(string: key, to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      ordered[key]?.write(to: &bytes)
      bytes.append(UInt8(ascii: ","))
      ordered[key] = nil
    }
    bytes.append(contentsOf: "\"metadata\":{".utf8)
    let place = bytes.count - 2
    bytes[0] = UInt8(place >> 8)
    bytes[1] = UInt8(place & 0xFF)
    var body: [UInt8] = []
    metadata.write(to: &body)
    bytes.append(contentsOf: body.dropFirst())
    ordered["metadata"] = nil
    for (key, value) in ordered {
      bytes.append(UInt8(ascii: ","))
      JSON.write(string: key, to: &bytes)
      bytes.append(UInt8(ascii: ":"))
      value.write(to: &bytes)
    }
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }

  private static func place(_ value: [UInt8]) -> Int { (Int(value[0]) << 8 | Int(value[1])) + 2 }

  /// Appends the object's JSON with its resourceVersion.
  static func splice(_ value: [UInt8], revision: Revision, into out: inout [UInt8]) {
    let at = place(value)
    out.append(contentsOf: value[2..<at])
    out.append(contentsOf: "\"resourceVersion\":\"".utf8)
    out.append(contentsOf: String(revision).utf8)
    out.append(contentsOf: value[at] == UInt8(ascii: "}") ? "\"".utf8 : "\",".utf8)
    out.append(contentsOf: value[at...])
  }

  static func decode(_ value: [UInt8], revision: Revision) throws -> JSON {
    var object = try JSON.parse(value[2...])
    object["metadata"]["resourceVersion"] = .string(String(revision))
    return object
  }
}
