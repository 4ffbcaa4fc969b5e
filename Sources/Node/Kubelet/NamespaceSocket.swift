import CLinux
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Makes TCP connections that begin inside a pod's network namespace.
enum NamespaceSocket {
  /// CLONE_NEWNET (clone(2)), which Swift's view of glibc lacks.
  private static let networkNamespace: Int32 = 0x4000_0000
  static let connectMillisecondsMax: Int32 = 10_000

  /// A socket connected to `port` on the namespace's loopback, by IPv4 or else by IPv6. Runs on a thread of its own, which
  /// enters the namespace and ends there; a socket stays in the namespace where it was made.
  static func connect(namespace: SharedDescriptor, port: UInt16) async throws -> SharedDescriptor {
    try await onOwnThread {
      try KernelError.check("setns", "network namespace", cl_setns(namespace.rawValue, networkNamespace))
      do { return try connect(AF_INET, port) } catch let error as KernelError where error.errno == .connectionRefused {
        do { return try connect(AF_INET6, port) } catch { throw error }
      }
    }
  }

  private static func connect(_ family: Int32, _ port: UInt16) throws(KernelError) -> SharedDescriptor {
    let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw KernelError("socket", errno: Errno(rawValue: errno)) }
    let owned = SharedDescriptor(OwnedDescriptor(owning: descriptor))
    let result: Int32
    if family == AF_INET {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
      result = withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    } else {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      address.sin6_addr = in6addr_loopback
      result = withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
      }
    }
    if result == 0 { return owned }
    guard errno == EINPROGRESS else { throw KernelError("connect", "port \(port)", errno: Errno(rawValue: errno)) }
    var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    guard poll(&wait, 1, connectMillisecondsMax) > 0 else { throw KernelError("connect", "port \(port)", errno: .timedOut) }
    var failure: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
    guard failure == 0 else { throw KernelError("connect", "port \(port)", errno: Errno(rawValue: failure)) }
    return owned
  }
}
