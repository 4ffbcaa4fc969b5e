import Synchronization

/// What was made from a text or an object is kept under a name for it, and made again when it has been forgotten.
final class CompiledOnce<Value: Sendable>: Sendable {
  /// Beyond this many, all are forgotten: more objects than that have come and gone.
  private static var valuesMax: Int { 1_024 }

  private let values = Mutex<[String: Value]>([:])

  func value(_ key: String, make: () -> Value) -> Value {
    if let known = values.withLock({ $0[key] }) { return known }
    let made = make()
    values.withLock { values in
      if values.count >= Self.valuesMax { values = [:] }
      values[key] = made
    }
    return made
  }
}
