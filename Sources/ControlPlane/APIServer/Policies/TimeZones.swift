import APIMachinery
import AdmissionPolicies
import SystemPackage

/// The time zone database of the machine, for expressions.
enum TimeZones {
  private static let directory = "/usr/share/zoneinfo/"
  /// Bytes of a zone's file; the largest has less than 4,000.
  private static let bytesMax = 64 << 10
  private static let known = CompiledOnce<[UInt8]?>()

  /// The file of a zone such as `Europe/Berlin`; nil where there is none.
  @Sendable static func file(_ name: String) -> [UInt8]? {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    let isName =
      !parts.isEmpty
      && parts.allSatisfy { part in
        !part.isEmpty && part.first != "." && part.utf8.allSatisfy { isLetter($0) }
      }
    guard isName, name.utf8.count <= 64 else { return nil }
    return known.value(name) { read(FilePath(directory + name)) }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: "_-+".utf8.contains(byte)
    }
  }

  private static func read(_ path: FilePath) -> [UInt8]? {
    guard let file = try? FileDescriptor.open(path, .readOnly) else { return nil }
    return try? file.closeAfter {
      var bytes = [UInt8](repeating: 0, count: bytesMax)
      let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0) }
      return Array(bytes[..<count])
    }
  }
}

extension APIServer {
  /// The rules of custom resources.
  static let ruleHooks = CustomResourceHooks.expressions(timeZoneFile: TimeZones.file)
}
