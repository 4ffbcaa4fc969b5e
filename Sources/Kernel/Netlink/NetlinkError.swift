import SystemPackage

/// A request that the kernel refused, or a conversation with it that broke.
package struct NetlinkError: Error, CustomStringConvertible, Sendable, Equatable {
  /// What was wanted, such as "RTM_NEWLINK" or "socket(AF_NETLINK)".
  package let operation: String
  /// The link, address, route or chain that it was about; empty where there is none.
  package let target: String
  package let errno: Errno
  /// The kernel's own words (NLMSGERR_ATTR_MSG); empty where it gave none.
  package let explanation: String

  package init(_ operation: String, _ target: String = "", errno: Errno, explanation: String = "") {
    self.operation = operation
    self.target = target
    self.errno = errno
    self.explanation = explanation
  }

  package var description: String {
    "\(operation)\(target.isEmpty ? "" : " \(target)"): \(errno.description) (errno \(errno.rawValue))"
      + (explanation.isEmpty ? "" : ": \(explanation)")
  }

  /// The thing named is not there: no such device, route, address or table.
  package var isAbsence: Bool {
    errno == .noSuchAddressOrDevice || errno == .noSuchFileOrDirectory || errno == .operationNotSupportedByDevice
      || errno == .noSuchProcess || errno == .addressNotAvailable
  }
}
