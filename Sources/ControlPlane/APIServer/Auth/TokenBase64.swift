import APIMachinery

/// Base64 both ways; decoding also takes the URL-safe alphabet and missing padding.
enum TokenBase64 {
  static func encode(_ bytes: some Collection<UInt8>, urlSafe: Bool = false) -> String { Base64.encode(bytes, urlSafe: urlSafe) }
  static func decode(_ text: String) -> [UInt8]? { Base64.decode(text, orURLSafe: true) }
}
