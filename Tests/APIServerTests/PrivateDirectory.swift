import FoundationEssentials
import JSONCodec
import SystemPackage

/// A folder of a test's own.
enum PrivateDirectory {
  static func make(_ path: FilePath) throws {
    try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: true)
  }
  static func remove(_ path: FilePath) { try? FileManager.default.removeItem(atPath: path.string) }
}

extension JSON {
  /// This object's fields and then another's.
  func merging(_ other: JSON) -> JSON {
    var result = self
    for (key, value) in other.object ?? JSONObject() { result[key] = value }
    return result
  }
}
