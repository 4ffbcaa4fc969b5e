import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Kernel settings below /proc/sys/net, in the network namespace of the calling thread.
package enum Sysctl {
  /// The value without its line end. `name` is a path such as "net/ipv4/ip_forward": interface names may contain dots.
  package static func read(_ name: String) throws(KernelError) -> String {
    let descriptor = try open(name, O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(descriptor.rawValue, &bytes, bytes.count)
    guard count >= 0 else { throw KernelError("read", "/proc/sys/\(name)", errno: Errno(rawValue: errno)) }
    return String(decoding: bytes[..<count].prefix { $0 != 10 }, as: UTF8.self)
  }

  package static func write(_ name: String, _ value: String) throws(KernelError) {
    let descriptor = try open(name, O_WRONLY)
    guard Glibc.write(descriptor.rawValue, value, value.utf8.count) >= 0 else {
      throw KernelError("write \(value) to", "/proc/sys/\(name)", errno: Errno(rawValue: errno))
    }
  }

  private static func open(_ name: String, _ flags: Int32) throws(KernelError) -> OwnedDescriptor {
    let path = "/proc/sys/\(name)"
    let raw = Glibc.open(path, flags | O_CLOEXEC)
    guard raw >= 0 else { throw KernelError("open", path, errno: Errno(rawValue: errno)) }
    return OwnedDescriptor(owning: raw)
  }
}
