import LinuxKernel
import NFTables
import SystemPackage

/// The range whose route this node put on the host, beside the leases: one line such as `10.244.0.0/24`.
package enum NodeRange {
  static let name = "range"
  /// The cluster's range, in the same form.
  static let clusterName = "cluster"

  /// Nil where the network was never started in this directory.
  static func read(_ directory: FilePath) throws(KernelError) -> IPv4Prefix? {
    IPv4Prefix(try contents(of: directory.appending(name)).prefix { $0 != "\n" })
  }

  static func write(_ range: IPv4Prefix, _ directory: FilePath, as name: String = name) throws(KernelError) {
    try replaceFile(directory.appending(name), with: "\(range)\n")
  }

  static func cluster(_ directory: FilePath) throws(KernelError) -> IPv4Prefix? {
    IPv4Prefix(try contents(of: directory.appending(clusterName)).prefix { $0 != "\n" })
  }

  /// The same as text, for who takes a network down without knowing its range.
  package static func recorded(in directory: FilePath) -> String? { (try? read(directory)).flatMap { $0 }?.description }
}

extension IPv4Prefix {
  var ofEitherFamily: IPPrefix { IPPrefix(.v4(address), length: length) }
}
