/// The fields of a JSON object in their order. Small objects are searched in a line, which is faster than hashing;
/// past `linearSearchMax` fields an index is kept, so that a ConfigMap with thousands of keys is not quadratic.
package struct JSONObject: Sendable {
  /// Objects up to this many fields have no index.
  static let linearSearchMax = 24

  /// A removed field leaves its slot's key nil until the object is compacted by the next removal.
  private var keysStorage: [String] = []
  private var valuesStorage: [JSON] = []
  private var index: [String: Int]?

  package init() {}

  /// Builds an object; of two fields with the same name the last one wins.
  package init(_ fields: some Sequence<(String, JSON)>) {
    for (key, value) in fields { self[key] = value }
  }

  package var count: Int { keysStorage.count }
  package var isEmpty: Bool { keysStorage.isEmpty }
  package var keys: [String] { keysStorage }
  package var values: [JSON] { valuesStorage }

  package mutating func reserveCapacity(_ count: Int) {
    keysStorage.reserveCapacity(count)
    valuesStorage.reserveCapacity(count)
  }

  private func position(_ key: String) -> Int? {
    if let index { return index[key] }
    for i in keysStorage.indices where keysStorage[i] == key { return i }
    return nil
  }

  package func contains(_ key: String) -> Bool { position(key) != nil }

  package subscript(_ key: String) -> JSON? {
    get { position(key).map { valuesStorage[$0] } }
    set {
      guard let newValue else { return remove(key) }
      if let i = position(key) { valuesStorage[i] = newValue } else { append(key, newValue) }
    }
  }

  /// Adds a field that is known to be new.
  package mutating func append(_ key: String, _ value: JSON) {
    keysStorage.append(key)
    valuesStorage.append(value)
    if index != nil {
      index![key] = keysStorage.count - 1
    } else if keysStorage.count > Self.linearSearchMax {
      index = Dictionary(uniqueKeysWithValues: keysStorage.enumerated().map { ($1, $0) })
    }
  }

  private mutating func remove(_ key: String) {
    guard let i = position(key) else { return }
    keysStorage.remove(at: i)
    valuesStorage.remove(at: i)
    index =
      keysStorage.count > Self.linearSearchMax
      ? Dictionary(uniqueKeysWithValues: keysStorage.enumerated().map { ($1, $0) }) : nil
  }

  /// Takes a value out for a change in place, leaving null in its slot; `put` brings it back.
  mutating func take(_ key: String) -> JSON? {
    guard let i = position(key) else { return nil }
    var value = JSON.null
    swap(&value, &valuesStorage[i])
    return value
  }

  mutating func put(_ value: JSON, for key: String) { self[key] = value.isNull ? nil : value }
}

extension JSONObject: Sequence {
  package func makeIterator() -> Zip2Sequence<[String], [JSON]>.Iterator { zip(keysStorage, valuesStorage).makeIterator() }
}

extension JSONObject: Equatable {
  package static func == (a: JSONObject, b: JSONObject) -> Bool {
    guard a.count == b.count else { return false }
    for (key, value) in a where b[key] != value { return false }
    return true
  }
}
