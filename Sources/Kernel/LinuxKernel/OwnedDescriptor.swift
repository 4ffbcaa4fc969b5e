import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// A file descriptor with one owner. It closes when its owner lets go; `close` is never retried, because Linux has
/// released the number even when it answers EINTR.
package struct OwnedDescriptor: ~Copyable, Sendable {
  package let rawValue: Int32

  /// Takes over a descriptor that nobody else will close.
  package init(owning rawValue: Int32) { self.rawValue = rawValue }

  deinit { _ = Glibc.close(rawValue) }

  /// Gives the number away; the caller closes it.
  package consuming func release() -> Int32 {
    let value = rawValue
    discard self
    return value
  }

  /// A second descriptor for the same open file, close-on-exec.
  package borrowing func duplicate() throws(KernelError) -> OwnedDescriptor {
    let copy = fcntl(rawValue, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw KernelError("fcntl(F_DUPFD_CLOEXEC)", errno: Errno(rawValue: errno)) }
    return OwnedDescriptor(owning: copy)
  }
}

/// A descriptor that a collection holds or several readers share; it closes with its last reference.
package final class SharedDescriptor: Sendable {
  private let owned: OwnedDescriptor
  package init(_ owned: consuming OwnedDescriptor) { self.owned = owned }
  package var rawValue: Int32 { owned.rawValue }
}
