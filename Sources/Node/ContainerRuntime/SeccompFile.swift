import CSeccomp
import JSONCodec
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Profiles from files, in the form of the OCI runtime specification's `linux.seccomp` (config-linux.md, Seccomp).
extension SeccompProfile {
  static let fileBytesMax = 1 << 20

  static func file(_ path: FilePath) throws -> OwnedDescriptor {
    func failure(_ why: String) -> ContainerRuntimeError { ContainerRuntimeError(.invalid, "seccomp profile \(path): \(why)") }
    let bytes: [UInt8]
    let profile: JSON
    do { bytes = try Files.read(path.string, limit: fileBytesMax) } catch { throw failure("\(error)") }
    do { profile = try JSON.parse(bytes) } catch { throw failure("\(error)") }
    let defaultAction = try action(profile["defaultAction"], error: profile["defaultErrnoRet"]) { failure($0) }
    guard let filter = cs_filter(defaultAction) else { throw KernelError("seccomp_init", errno: .noMemory) }
    defer { seccomp_release(filter) }
    for rule in profile["syscalls"].array ?? [] {
      let action = try action(rule["action"], error: rule["errnoRet"]) { failure($0) }
      let conditions = try (rule["args"].array ?? []).map { try condition($0) { failure($0) } }
      let names = (rule["names"].array ?? [rule["name"]]).compactMap(\.string)
      for name in names where action != defaultAction {
        let result = cs_rule_where(filter, action, name, conditions, conditions.count)
        if result < 0 { throw failure("\(name): \(Errno(rawValue: -result))") }
      }
    }
    return try export(filter)
  }

  private static func action(_ name: JSON, error: JSON, _ failure: (String) -> ContainerRuntimeError) throws -> UInt32 {
    var action: UInt32 = 0
    let number = UInt32(exactly: error.int ?? Int(EPERM)) ?? UInt32(EPERM)
    guard let text = name.string, cs_action(text, number, &action) == 0 else { throw failure("unknown action \(name.text())") }
    return action
  }

  private static func condition(_ json: JSON, _ failure: (String) -> ContainerRuntimeError) throws -> cs_condition {
    let comparison = cs_comparison(json["op"].string ?? "")
    guard comparison >= 0, let argument = json["index"].int, (0...5).contains(argument), let value = json["value"].int else {
      throw failure("unknown condition \(json.text())")
    }
    return cs_condition(
      argument: UInt32(argument), comparison: comparison, value: UInt64(bitPattern: Int64(value)),
      second: UInt64(bitPattern: Int64(json["valueTwo"].int ?? 0)))
  }
}
