import LinuxKernel
import NFTables
import SystemPackage

/// Where a node's pods get their addresses and how this instance's things are told from others on the machine.
package struct PodNetworkConfiguration: Sendable {
  /// Holds the leases and the settings to restore.
  package var stateDirectory: FilePath
  /// Host ends of pods are named so; at most 7 letters, digits, `-` or `_`.
  package var interfacePrefix: String
  /// The nf_tables table (family ip).
  package var tableName: String
  /// This node's range, such as 10.244.0.0/24. The first two addresses and the last are never given to a pod.
  package var podCIDR: String
  /// All pods of the cluster; what goes there is not masqueraded.
  package var clusterCIDR: String
  /// Nil: that of the default route's interface.
  package var mtu: Int?
  /// The network namespace that plays the host; nil: that of the process.
  package var hostNamespace: SharedDescriptor?
  /// How long after `detach` the host end may outlive the pod's namespace before it is deleted by hand.
  package var drainPatience: Duration = .seconds(2)

  package init(
    stateDirectory: FilePath, interfacePrefix: String = "swl", tableName: String = "swiftlet", podCIDR: String,
    clusterCIDR: String, mtu: Int? = nil, hostNamespace: SharedDescriptor? = nil
  ) {
    self.stateDirectory = stateDirectory
    self.interfacePrefix = interfacePrefix
    self.tableName = tableName
    self.podCIDR = podCIDR
    self.clusterCIDR = clusterCIDR
    self.mtu = mtu
    self.hostNamespace = hostNamespace
  }
}

/// What a pod sees of its network.
package struct PodAddress: Hashable, Sendable {
  package let ip: String
  /// A link-local address that stands for the host on every pod's link.
  package let gateway: String
  /// Inside the pod.
  package let interface: String
  /// The other end, on the host.
  package let hostInterface: String
}

/// A port of the node that leads into a pod.
package struct HostPort: Hashable, Sendable {
  package enum Transport: UInt8, Sendable { case tcp = 6, udp = 17, sctp = 132 }

  package let transport: Transport
  /// Nil (or "" or 0.0.0.0): every address of the node, its loopback included.
  package let hostIP: String?
  package let hostPort: UInt16
  package let containerPort: UInt16

  package init(transport: Transport = .tcp, hostIP: String? = nil, hostPort: UInt16, containerPort: UInt16) {
    self.transport = transport
    self.hostIP = hostIP == "" || hostIP == "0.0.0.0" ? nil : hostIP
    self.hostPort = hostPort
    self.containerPort = containerPort
  }
}

package struct PodNetworkError: Error, CustomStringConvertible, Sendable {
  package enum Code: Sendable {
    case badConfiguration, notStarted
    /// No address of the range is free.
    case exhausted
    case hostPortTaken, badHostPort, badSandbox
    /// Another process uses the state directory.
    case inUse
    case state
    case kernel
  }

  package let code: Code
  package let message: String
  /// What the kernel or the file system said.
  package let cause: (any Error)?

  package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  package var description: String { cause.map { "\(message): \($0)" } ?? message }
}

/// The configuration, checked.
struct NetworkPlan: Sendable, Hashable {
  let prefix: String
  let table: Table
  let pods: IPv4Prefix
  let cluster: IPv4Prefix
  /// IFLA_GROUP of our host ends.
  let group: UInt32

  init(_ configuration: PodNetworkConfiguration) throws(PodNetworkError) {
    let prefix = configuration.interfacePrefix
    let isName = prefix.utf8.allSatisfy {
      (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 45 || $0 == 95
    }
    guard (1...7).contains(prefix.utf8.count), isName else {
      throw PodNetworkError(.badConfiguration, "interface prefix \"\(prefix)\": wants 1 to 7 letters, digits, - or _")
    }
    guard !configuration.tableName.isEmpty, configuration.tableName.utf8.count < 128 else {
      throw PodNetworkError(.badConfiguration, "table name \"\(configuration.tableName)\": wants 1 to 127 bytes")
    }
    guard let pods = IPv4Prefix(configuration.podCIDR), (8...29).contains(pods.length) else {
      throw PodNetworkError(
        .badConfiguration, "pod CIDR \"\(configuration.podCIDR)\": wants an IPv4 network of 8 to 29 bits, such as 10.244.0.0/24")
    }
    guard let cluster = IPv4Prefix(configuration.clusterCIDR) else {
      throw PodNetworkError(.badConfiguration, "cluster CIDR \"\(configuration.clusterCIDR)\": wants an IPv4 network")
    }
    guard cluster.length <= pods.length, cluster.contains(pods.address) else {
      throw PodNetworkError(.badConfiguration, "cluster CIDR \(cluster) does not contain this node's pod CIDR \(pods)")
    }
    if let mtu = configuration.mtu, !(576...65_535).contains(mtu) {
      throw PodNetworkError(.badConfiguration, "MTU \(mtu): wants 576 to 65535")
    }
    self.prefix = prefix
    self.table = Table(.ipv4, configuration.tableName)
    self.pods = pods
    self.cluster = cluster
    let hash = UInt32(truncatingIfNeeded: stableHash("\(prefix)/\(configuration.tableName)"))
    group = hash & 0x3fff_ffff | 1
  }

  /// The group that links enter to be deleted together.
  var doomedGroup: UInt32 { group | 0x4000_0000 }

  /// Of devices that lead to other nodes: never deleted along with pods' links.
  var deviceGroup: UInt32 { group ^ 0x2000_0000 }

  /// The host end's name. The address is part of it, so that a new lease of the same sandbox never meets its own dying link.
  func interfaceName(sandbox: String, address: IPv4Address) -> String {
    let digits = Array("abcdefghijklmnopqrstuvwxyz234567")
    var hash = stableHash("\(sandbox)/\(address)")
    var name = prefix
    for _ in 0..<min(12, 15 - prefix.utf8.count) {
      name.append(digits[Int(hash & 31)])
      hash >>= 5
    }
    return name
  }
}

/// FNV-1a, 64 bits: the same in every process, unlike Hasher.
func stableHash(_ text: String) -> UInt64 {
  text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
