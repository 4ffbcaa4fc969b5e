import JSONCodec
import KubernetesAPI

/// The query of `pods/log`, judged before a kubelet is asked.
enum PodLogOptions {
  /// Throws 400 for what is no number or time, and 422 for what is out of range, in upstream's words.
  static func check(_ call: APICall, pod: String) throws {
    var causes: [JSON] = []
    func invalid(_ field: String, _ value: Int64, _ why: String) {
      causes.append(cause(field, "FieldValueInvalid", "Invalid value: \(value): \(why)"))
    }
    if let lines = try number(call, "tailLines"), lines < 0 { invalid("tailLines", lines, "must be greater than or equal to 0") }
    if let bytes = try number(call, "limitBytes"), bytes < 1 { invalid("limitBytes", bytes, "must be greater than 0") }
    let seconds = try number(call, "sinceSeconds")
    if try hasTime(call), seconds != nil {
      causes.append(cause("[]", "FieldValueForbidden", "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"))
    } else if let seconds, seconds < 1 {
      invalid("sinceSeconds", seconds, "must be greater than 0")
    }
    if let stream = call.parameter("stream"), !stream.isEmpty {
      if !["All", "Stderr", "Stdout"].contains(stream) {
        causes.append(
          cause(
            "stream", "FieldValueNotSupported",
            "Unsupported value: \(JSON.string(stream).text()): supported values: \"All\", \"Stderr\", \"Stdout\""))
      } else if stream != "All", call.parameter("tailLines") != nil {
        causes.append(
          cause("[]", "FieldValueForbidden", "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"))
      }
    }
    guard !causes.isEmpty else { return }
    let texts = causes.map { "\($0["field"].string ?? ""): \($0["message"].string ?? "")" }
    throw APIFailure(
      422, "Invalid",
      "PodLogOptions \"\(pod)\" is invalid: \(texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]")",
      details: ["name": .string(pod), "kind": "PodLogOptions", "causes": .array(causes)])
  }

  private static func cause(_ field: String, _ reason: String, _ message: String) -> JSON {
    ["reason": .string(reason), "message": .string(message), "field": .string(field)]
  }

  private static func number(_ call: APICall, _ name: String) throws -> Int64? {
    guard let text = call.parameter(name) else { return nil }
    guard let value = Int64(text) else {
      throw APIFailure.badRequest("strconv.ParseInt: parsing \(JSON.string(text).text()): invalid syntax")
    }
    return value
  }

  private static func hasTime(_ call: APICall) throws -> Bool {
    guard let text = call.parameter("sinceTime"), !text.isEmpty else { return false }
    guard Timestamp(rfc3339: text) != nil else {
      throw APIFailure.badRequest("invalid sinceTime \(JSON.string(text).text()): must be in RFC 3339 form")
    }
    return true
  }
}
