import SystemPackage

/// A system call that failed: which, on what, and why.
package struct KernelError: Error, CustomStringConvertible, Sendable, Equatable {
  /// The system call or the step, such as "move_mount".
  package let operation: String
  /// The path, name or number it was about; empty where there is none.
  package let target: String
  package let errno: Errno

  package init(_ operation: String, _ target: String = "", errno: Errno) {
    self.operation = operation
    self.target = target
    self.errno = errno
  }

  package var description: String {
    "\(operation)\(target.isEmpty ? "" : " \(target)"): \(errno.description) (errno \(errno.rawValue))"
  }

  /// Translates the C border's convention: a value >= 0, or -errno.
  @discardableResult
  package static func check<Value: BinaryInteger>(
    _ operation: String, _ target: @autoclosure () -> String = "", _ result: Value
  ) throws(KernelError) -> Value {
    guard result >= 0 else { throw KernelError(operation, target(), errno: Errno(rawValue: -Int32(result))) }
    return result
  }
}
