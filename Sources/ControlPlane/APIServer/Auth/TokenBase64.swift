import FoundationEssentials

/// Base64 both ways; decoding also takes the URL-safe alphabet and missing padding.
enum TokenBase64 {
  static func encode(_ bytes: some Collection<UInt8>, urlSafe: Bool = false) -> String {
    let text = Data(bytes).base64EncodedString()
    guard urlSafe else { return text }
    return String(text.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }.filter { $0 != "=" })
  }

  static func decode(_ text: String) -> [UInt8]? {
    var standard = String(text.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 })
    while standard.utf8.count % 4 != 0 { standard.append("=") }
    return Data(base64Encoded: standard).map(Array.init)
  }
}
