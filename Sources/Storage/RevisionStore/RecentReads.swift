/// What was asked for lately and has not changed since: states of keys, and whole small collections. Every request asks for
/// its namespace, its service account and its quotas, which hardly ever change; a read of them costs a dictionary's lookup.
///
/// It lives under the lock of `WatchHub`, which tells it of every commit before the commit is answered: what is found here
/// is never older than an acknowledged write.
struct RecentReads {
  /// Bytes of values kept; above it, all is forgotten.
  static let bytesMax = 2 << 20
  /// Keys and collections kept; above it, all is forgotten.
  static let countMax = 2_048
  /// A larger value, or a longer collection, is not kept.
  static let valueBytesMax = 16 << 10
  static let collectionCountMax = 32

  /// Nil inside: there is no such key.
  private var values: [String: StoredValue?] = [:]
  private var collections: [String: [StoredValue]] = [:]
  private(set) var bytes = 0

  var count: Int { values.count + collections.count }

  /// Nil: not known. Nil inside: there is no such key.
  func value(_ key: String) -> StoredValue?? { values[key] }

  func collection(_ prefix: String) -> [StoredValue]? { collections[prefix] }

  mutating func remember(_ key: String, _ value: StoredValue?) {
    let size = value?.value.count ?? 0
    guard size <= Self.valueBytesMax else { return }
    makeRoom(size)
    if let before = values.updateValue(value, forKey: key) { bytes -= before?.value.count ?? 0 }
    bytes += size
  }

  mutating func remember(_ prefix: String, _ items: [StoredValue]) {
    let size = items.reduce(0) { $0 + $1.value.count }
    guard prefix.hasSuffix("/"), items.count <= Self.collectionCountMax, size <= Self.valueBytesMax else { return }
    makeRoom(size)
    forget(prefix)
    collections[prefix] = items
    bytes += size
  }

  /// A key changed.
  mutating func note(_ event: ChangeEvent) {
    if let before = values[event.key] {
      bytes -= before?.value.count ?? 0
      values[event.key] = nil
      remember(
        event.key, event.kind == .put ? StoredValue(key: event.key, revision: event.revision, value: event.value) : nil)
    }
    guard !collections.isEmpty else { return }
    let text = event.key.utf8
    for slash in text.indices where text[slash] == UInt8(ascii: "/") {
      forget(String(event.key[...slash]))
    }
  }

  private mutating func forget(_ prefix: String) {
    guard let items = collections.removeValue(forKey: prefix) else { return }
    bytes -= items.reduce(0) { $0 + $1.value.count }
  }

  private mutating func makeRoom(_ size: Int) {
    guard bytes + size > Self.bytesMax || count >= Self.countMax else { return }
    values = [:]
    collections = [:]
    bytes = 0
  }
}
