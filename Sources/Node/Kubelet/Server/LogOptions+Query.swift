import HTTPServing
import KubernetesAPI

extension LogOptions {
  /// From the query of /containerLogs. Throws 400 for a value of the wrong form, with upstream's bounds.
  init(query request: ServedRequest) throws(BackendError) {
    self.init()
    follow = try Self.flag(request, "follow")
    previous = try Self.flag(request, "previous")
    timestamps = try Self.flag(request, "timestamps")
    sinceSeconds = try Self.number(request, "sinceSeconds", min: 1)
    limitBytes = try Self.number(request, "limitBytes", min: 1)
    // "tail" is the older name; "all" lifts the limit.
    let tail = request.queryValue("tailLines") == nil ? "tail" : "tailLines"
    if request.queryValue(tail) != "all" { tailLines = try Self.number(request, tail, min: 0) }
    if let text = request.queryValue("sinceTime"), !text.isEmpty {
      guard let time = Timestamp(rfc3339: text) else { throw .badRequest("invalid sinceTime \"\(text)\": must be in RFC 3339 form") }
      guard sinceSeconds == nil else { throw .badRequest("at most one of sinceTime or sinceSeconds may be specified") }
      sinceTime = time
    }
    if let text = request.queryValue("stream"), !text.isEmpty {
      guard ["all", "stdout", "stderr"].contains(text.lowercased()) else {
        throw .badRequest("invalid stream \"\(text)\": must be All, Stdout or Stderr")
      }
      stream = text
    }
  }

  private static func flag(_ request: ServedRequest, _ name: String) throws(BackendError) -> Bool {
    guard let text = request.queryValue(name) else { return false }
    switch text {
    case "", "true", "1", "True", "TRUE", "t", "T": return true
    case "false", "0", "False", "FALSE", "f", "F": return false
    default: throw .badRequest("invalid \(name) \"\(text)\": must be true or false")
    }
  }

  private static func number(_ request: ServedRequest, _ name: String, min: Int) throws(BackendError) -> Int? {
    guard let text = request.queryValue(name), !text.isEmpty else { return nil }
    guard let value = Int(text), value >= min else {
      throw .badRequest("invalid \(name) \"\(text)\": must be a whole number of at least \(min)")
    }
    return value
  }
}
