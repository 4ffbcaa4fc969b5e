import JSONCodec

extension JSON {
  /// Changes each item of this list in place; does nothing to anything but a list.
  mutating func forEachItem(_ body: (inout JSON) -> Void) {
    guard case .array(var items) = self else { return }
    self = .null  // gives up the other reference, so that the items change in place
    for i in items.indices { body(&items[i]) }
    self = .array(items)
  }

  /// Sets a field that is missing.
  mutating func fill(_ key: String, _ value: @autoclosure () -> JSON) {
    if self[key].isNull { self[key] = value() }
  }

  /// The items of a list; none where this is no list.
  var items: [JSON] { array ?? [] }
}
