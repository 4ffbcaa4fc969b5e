import APIServer
import ClusterDNS
import KubernetesClient
import Logging
import NIOCore
import NetworkPolicies
import PodNetwork
import ServiceProxy

/// The services of a node: the rules that lead to them, and the DNS that names them.
struct NodeServices {
  /// Seconds before the DNS server tries again to listen, as when another server has its address now.
  static let retrySeconds = 10

  let nodeName: String
  let nodeAddress: String
  let options: NodeOptions
  /// Reads services, endpoint slices and nodes: system:kube-proxy where it can choose.
  let client: KubernetesClient
  let group: any EventLoopGroup
  let log: Logger
  let proxy: ServiceProxy

  init(role: NodeRole, peers: PeerNetwork?) throws {
    nodeName = role.nodeName
    nodeAddress = role.nodeAddress
    options = role.options
    client = role.servicesClient
    group = role.group
    log = role.log
    var configuration = Self.proxy(
      nodeName: nodeName, address: nodeAddress, interfacePrefix: options.interfacePrefix, podCIDR: options.podCIDR,
      serviceCIDR: options.serviceCIDR)
    configuration.hasOtherNodes = { peers?.hasOthers ?? true }
    proxy = try ServiceProxy(configuration, client: client, log: log)
  }

  /// The tenth address of the services' range, as in other clusters.
  static func dnsAddress(serviceCIDR: String) -> String? { IPv4Range(serviceCIDR)?.address(at: 10) }

  /// Nodes on one machine have tables of their own.
  static func tableName(_ name: String = "swiftlet-services", interfacePrefix: String) -> String {
    interfacePrefix == "swl" ? name : "\(name)-\(interfacePrefix)"
  }

  static func policies(nodeName: String, options: NodeOptions) -> PolicyConfiguration {
    var configuration = PolicyConfiguration(
      nodeName: nodeName, tableName: tableName("swiftlet-policies", interfacePrefix: options.interfacePrefix))
    configuration.dnsAddresses = [dnsAddress(serviceCIDR: options.serviceCIDR)].compactMap { $0 }
    return configuration
  }

  static func proxy(nodeName: String, address: String, interfacePrefix: String, podCIDR: String, serviceCIDR: String)
    -> ServiceProxyConfiguration
  {
    var configuration = ServiceProxyConfiguration(
      nodeName: nodeName, nodeAddresses: [address], tableName: tableName(interfacePrefix: interfacePrefix), podCIDRs: [podCIDR],
      serviceCIDRs: [serviceCIDR])
    configuration.servedHere = [dnsAddress(serviceCIDR: serviceCIDR)].compactMap { $0 }
    return configuration
  }

  static func dns(address: String, options: NodeOptions) -> ClusterDNSConfiguration? {
    dnsAddress(serviceCIDR: options.serviceCIDR).map {
      ClusterDNSConfiguration(
        address: $0, domain: options.clusterDomain, podCIDRs: [options.podCIDR], serviceCIDRs: [options.serviceCIDR],
        nodeAddresses: [address])
    }
  }

  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { [proxy] in try await proxy.run() }
      if let configuration = Self.dns(address: nodeAddress, options: options) {
        let dns = try ClusterDNS(configuration, group: group, log: log)
        tasks.addTask { [client, log] in
          while !Task.isCancelled {
            do {
              try await dns.run(client: client)
            } catch {
              log.error("the cluster's DNS does not run on \(configuration.address), tries again in \(Self.retrySeconds) s: \(error)")
              try await Task.sleep(for: .seconds(Self.retrySeconds))
            }
          }
        }
      }
      try await tasks.waitForAll()
    }
  }

  /// Takes rules and address away.
  static func remove(interfacePrefix: String, serviceCIDR: String, options: NodeOptions) async throws {
    try await ServiceProxy.remove(
      proxy(nodeName: "", address: "", interfacePrefix: interfacePrefix, podCIDR: options.podCIDR, serviceCIDR: serviceCIDR))
    var options = options
    options.serviceCIDR = serviceCIDR
    options.interfacePrefix = interfacePrefix
    try await PolicyEnforcer.remove(policies(nodeName: "", options: options))
    if let configuration = dns(address: "", options: options) { try await ClusterDNS.remove(configuration) }
  }
}
