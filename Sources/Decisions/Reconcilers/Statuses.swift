import JSONCodec
import KubernetesAPI

/// Builds a status on top of the one that is there, so that nothing is lost and equal states are equal documents.
struct StatusDraft {
  private let old: JSON
  private(set) var json: JSON

  init(_ object: JSON) {
    old = object["status"]
    json = object["status"]
    if case .object = json {} else { json = .object(JSONObject()) }
  }

  subscript(_ field: String) -> JSON {
    get { json[field] }
    set { json[field] = newValue }
  }

  /// A count that is left out where it is zero.
  mutating func count(_ field: String, _ value: Int) { json[field] = value == 0 ? .null : JSON(value) }
  /// A count that is always there.
  mutating func number(_ field: String, _ value: Int) { json[field] = JSON(value) }

  func condition(_ type: String) -> JSON? { json["conditions"].array?.first { $0["type"].string == type } }

  mutating func remove(condition type: String) {
    guard condition(type) != nil else { return }
    let left = (json["conditions"].array ?? []).filter { $0["type"].string != type }
    json["conditions"] = left.isEmpty ? .null : .array(left)
  }

  /// Sets a condition; the moment of its transition stays while its status does. Nothing changes where status and
  /// reason are the same already, unless `refreshes` asks for the new message.
  mutating func set(
    condition type: String, _ status: Bool?, _ reason: String, _ message: String, now: Timestamp, updateTime: Bool = false,
    refreshes: Bool = false
  ) {
    let text = status.map { $0 ? "True" : "False" } ?? "Unknown"
    let current = condition(type)
    if let current, current["status"].string == text, current["reason"].string == reason,
      !refreshes || current["message"].string == message
    {
      return
    }
    var new: JSON = ["type": .string(type), "status": .string(text)]
    if updateTime { new["lastUpdateTime"] = .string(now.rfc3339) }
    new["lastTransitionTime"] =
      current?["status"].string == text ? current?["lastTransitionTime"] ?? .string(now.rfc3339) : .string(now.rfc3339)
    if !reason.isEmpty { new["reason"] = .string(reason) }
    if !message.isEmpty { new["message"] = .string(message) }
    remove(condition: type)
    json["conditions"] = .array((json["conditions"].array ?? []) + [new])
  }

  /// The write, where anything changed. What the server leaves out when it is zero counts as equal to zero.
  func write(_ kind: Kind, _ object: JSON, exact: Set<String> = []) -> [Write] {
    let fields = Set((old.object ?? JSONObject()).keys + (json.object ?? JSONObject()).keys)
    let differs = fields.contains { field in
      let (a, b) = (old[field], json[field])
      if a == b { return false }
      if exact.contains(field) { return true }
      return !(Self.isZero(a) && Self.isZero(b))
    }
    return differs ? [.status(kind, object, json)] : []
  }

  private static func isZero(_ value: JSON) -> Bool { value.isEmpty || value.int == 0 }
}

/// A number or a percentage of a total (intstr).
func scaled(_ value: JSON, of total: Int, roundingUp: Bool) -> Int? {
  if let number = value.int { return number }
  guard let text = value.string, text.hasSuffix("%"), let percent = Int(text.dropLast()) else { return nil }
  let product = percent * total
  return roundingUp ? (product + 99) / 100 : product / 100
}
