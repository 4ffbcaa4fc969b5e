import LinuxKernel
import NFTables
import ServiceRules

/// How one node serves the cluster's services.
package struct ServiceProxyConfiguration: Sendable {
  package var nodeName: String
  /// The node's own addresses; node ports answer there.
  package var nodeAddresses: [String]
  /// Where node ports answer instead: ranges of which the node's addresses are taken. Empty: at all of `nodeAddresses`.
  package var nodePortRanges: [String] = []
  /// The nf_tables tables (families ip and ip6).
  package var tableName: String
  /// The cluster's pods, by family.
  package var podCIDRs: [String]
  /// The cluster's services, by family; a family without one is not served.
  package var serviceCIDRs: [String]
  /// Cluster addresses that this machine answers itself.
  package var servedHere: [String] = []
  package var masqueradesAll = false
  /// Whether pods of other nodes may use services that lead here.
  package var hasOtherNodes: @Sendable () -> Bool = { true }
  /// The network namespace that plays the host; nil: that of the process.
  package var hostNamespace: SharedDescriptor?
  /// Where /healthz and /livez are served; nil: nowhere. Port 0 chooses one.
  package var health: (host: String, port: Int)? = ("0.0.0.0", 10256)
  /// Where /metrics, /proxyMode and /healthz are served; nil: nowhere.
  package var metrics: (host: String, port: Int)? = ("127.0.0.1", 10249)

  package init(
    nodeName: String, nodeAddresses: [String], tableName: String = "swiftlet-services", podCIDRs: [String], serviceCIDRs: [String]
  ) {
    self.nodeName = nodeName
    self.nodeAddresses = nodeAddresses
    self.tableName = tableName
    self.podCIDRs = podCIDRs
    self.serviceCIDRs = serviceCIDRs
  }

  func options() throws -> RuleOptions {
    let pods = try podCIDRs.map { try Self.range($0, "pod CIDR") }
    let services = try serviceCIDRs.map { try Self.range($0, "service CIDR") }
    let layouts = services.map { range in
      RuleLayout(range.family, tableName: tableName, podRange: pods.first { $0.family == range.family }, serviceRange: range)
    }
    guard !layouts.isEmpty, Set(layouts.map(\.family)).count == layouts.count else {
      throw ServiceProxyError("service CIDRs \(serviceCIDRs): wants one range, or one of IPv4 and one of IPv6")
    }
    let addresses = try nodeAddresses.map { text in
      guard let address = IPAddress(text) else { throw ServiceProxyError("node address \"\(text)\" is no IP address") }
      return address
    }
    let ranges = try nodePortRanges.map { try Self.range($0, "node port range") }
    let answering = ranges.isEmpty ? addresses : addresses.filter { address in ranges.contains { $0.contains(address) } }
    var options = RuleOptions(layouts: layouts, node: NodeFacts(name: nodeName, nodePortAddresses: answering))
    options.masqueradesAll = masqueradesAll
    options.servedHere = Set(servedHere.compactMap { IPAddress($0) })
    return options
  }

  private static func range(_ text: String, _ what: String) throws -> IPPrefix {
    guard let range = IPPrefix(text) else { throw ServiceProxyError("\(what) \"\(text)\": wants a network such as 10.96.0.0/16") }
    return range
  }
}

package struct ServiceProxyError: Error, CustomStringConvertible, Sendable {
  package let description: String
  init(_ description: String) { self.description = description }
}
