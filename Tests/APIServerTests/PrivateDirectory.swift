import FoundationEssentials
import SystemPackage

/// A folder of a test's own.
enum PrivateDirectory {
  static func make(_ path: FilePath) throws {
    try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: true)
  }
  static func remove(_ path: FilePath) { try? FileManager.default.removeItem(atPath: path.string) }
}
