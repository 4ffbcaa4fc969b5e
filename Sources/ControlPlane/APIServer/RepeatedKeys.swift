import Yams

/// Mappings in which a key stands twice. The parser refuses them whole; upstream takes the last value and complains of the line. So all but
/// the last are marked before the document is parsed again.
enum RepeatedKeys {
  /// Keys of one document; each costs another reading of it.
  static let countMax = 32
  /// A letter of nobody's alphabet, on both sides of a number.
  private static let mark: Character = "\u{E0FF}"

  static func compose(_ text: String) throws -> Node? {
    var text = text
    for count in 0... {
      do {
        return try Yams.compose(yaml: text)
      } catch let error as YamlError {
        guard count < countMax, case .duplicatedKeysInMapping(_, let context) = error, let marked = marking(text, context.mark, count)
        else { throw error }
        text = marked
      }
    }
    return nil
  }

  /// The text with the key at a place (from 1) made another one; nil where no plain or quoted key is there.
  private static func marking(_ text: String, _ place: Mark, _ count: Int) -> String? {
    var line = 1
    var at = text.unicodeScalars.startIndex
    while line < place.line {
      guard let end = text.unicodeScalars[at...].firstIndex(of: "\n") else { return nil }
      at = text.unicodeScalars.index(after: end)
      line += 1
    }
    guard var key = text.unicodeScalars.index(at, offsetBy: place.column - 1, limitedBy: text.unicodeScalars.endIndex),
      key < text.unicodeScalars.endIndex, !"&!*?".unicodeScalars.contains(text.unicodeScalars[key])
    else { return nil }
    if text.unicodeScalars[key] == "\"" || text.unicodeScalars[key] == "'" { key = text.unicodeScalars.index(after: key) }
    return text[..<key] + "\(mark)\(count)\(mark)" + text[key...]
  }

  /// The key as it was written, where it was marked.
  static func original(_ key: String) -> String? {
    guard key.first == mark, let end = key.dropFirst().firstIndex(of: mark) else { return nil }
    return String(key[end...].dropFirst())
  }

  /// In the order of the document, in go-yaml's words: the line is that of the later value.
  static func complaints(_ node: Node) -> [String] {
    var found: [(line: Int, text: String)] = []
    collect(node, &found)
    return found.sorted { $0.line < $1.line }.map(\.text)
  }

  private static func collect(_ node: Node, _ found: inout [(line: Int, text: String)]) {
    switch node {
    case .mapping(let mapping):
      var open: Set<String> = []
      for (key, value) in mapping {
        if let name = key.string {
          let original = original(name)
          let shown = original ?? name
          if open.contains(shown) {
            let line = value.mark?.line ?? 0
            found.append((line, "line \(line): key \(goQuoted(shown)) already set in map"))
          }
          if original != nil { open.insert(shown) }
        }
        collect(value, &found)
      }
    case .sequence(let items): for item in items { collect(item, &found) }
    case .scalar, .alias: break
    }
  }

  private static func goQuoted(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }
}
