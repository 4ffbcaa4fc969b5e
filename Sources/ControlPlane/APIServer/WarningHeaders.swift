/// Warnings as the values of `Warning` headers (RFC 9111, code 299). What they say comes from clients, so that a text with control
/// characters is left out: a line break would begin a header, or a body, of the client's own making.
enum WarningHeaders {
  /// Characters of all warnings together; more, and each is cut to `cutMax`, and what still does not fit is left out.
  static let totalMax = 4 * 1024
  static let cutMax = 256

  static func values(_ texts: [String]) -> [String] {
    let fit = texts.reduce(0) { $0 + $1.utf8.count } <= totalMax
    var left = totalMax
    var values: [String] = []
    for text in texts {
      guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { continue }
      let cut = fit ? text : String(text.prefix(cutMax))
      left -= cut.utf8.count
      guard fit || left >= 0 else { break }
      let quoted = cut.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
      values.append("299 - \"\(quoted)\"")
    }
    return values
  }
}
