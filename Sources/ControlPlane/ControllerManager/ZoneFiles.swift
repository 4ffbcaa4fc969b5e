import FoundationEssentials

/// The machine's time zones.
enum ZoneFiles {
  static let directory = "/usr/share/zoneinfo/"
  /// The largest file that is read, in bytes.
  static let bytesMax = 1 << 20

  /// The content of a zone's file; the name has no step upwards.
  @Sendable static func read(_ name: String) -> [UInt8]? {
    guard let data = FileManager.default.contents(atPath: directory + name), data.count <= bytesMax else { return nil }
    return Array(data)
  }
}
