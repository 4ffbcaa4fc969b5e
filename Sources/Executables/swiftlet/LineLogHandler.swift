import KubernetesAPI
import Logging

#if canImport(Glibc)
  import Glibc
#endif

/// Writes log lines to standard error: `10:00:00.123 info  text key=value`, or one JSON object a line.
struct LineLogHandler: LogHandler {
  let format: LogOptionsGroup.Format
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  init(format: LogOptionsGroup.Format, level: Logger.Level) {
    self.format = format
    logLevel = level
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
    let time = Timestamp.now.rfc3339Micro
    var line: String
    switch format {
    case .text:
      let level = event.level.rawValue
      line = "\(time.dropFirst(11).prefix(12)) \(level)\(String(repeating: " ", count: max(1, 8 - level.count)))\(event.message)"
      for (key, value) in all { line += " \(key)=\(value)" }
    case .json:
      line = "{\"time\":\(Self.quoted(time)),\"level\":\"\(event.level.rawValue)\",\"message\":\(Self.quoted("\(event.message)"))"
      for (key, value) in all { line += ",\(Self.quoted(key)):\(Self.quoted("\(value)"))" }
      line += "}"
    }
    line += "\n"
    // One write for each line, so that lines of several threads do not mix.
    line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20: result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
