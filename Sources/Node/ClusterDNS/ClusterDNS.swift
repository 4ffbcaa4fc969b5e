import JSONCodec
import KubernetesClient
import LinuxKernel
import Logging
import NFTables
import NIOCore

/// How one node answers for the cluster's names.
package struct ClusterDNSConfiguration: Sendable {
  /// The cluster's DNS address, such as 10.96.0.10; put on this machine's loopback device.
  package var address: String
  package var port = 53
  package var domain: String
  package var podCIDRs: [String]
  package var serviceCIDRs: [String]
  /// The node's own addresses, from which its processes and pods of the host's network ask.
  package var nodeAddresses: [String]
  /// Where names outside the cluster are asked: host and port. Nil: the servers in `/etc/resolv.conf` but ourselves.
  package var upstream: [(host: String, port: Int)]?
  package var stubDomains: [(domain: String, servers: [(host: String, port: Int)])] = []
  /// False where the address is on the machine already.
  package var addsAddress = true
  /// The network namespace that plays the host; nil: that of the process. Upstream servers are asked from the process's.
  package var hostNamespace: SharedDescriptor?

  package init(address: String, domain: String, podCIDRs: [String], serviceCIDRs: [String], nodeAddresses: [String]) {
    self.address = address
    self.domain = domain
    self.podCIDRs = podCIDRs
    self.serviceCIDRs = serviceCIDRs
    self.nodeAddresses = nodeAddresses
  }
}

package struct ClusterDNSError: Error, CustomStringConvertible, Sendable {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// The DNS server of the cluster, on every node.
package final class ClusterDNS: Sendable {
  private let configuration: ClusterDNSConfiguration
  private let address: IPAddress
  package let resolver: Resolver
  private let group: any EventLoopGroup
  private let log: Logger

  package init(_ configuration: ClusterDNSConfiguration, group: any EventLoopGroup, log: Logger) throws {
    self.configuration = configuration
    self.group = group
    self.log = log
    guard let address = IPAddress(configuration.address) else {
      throw ClusterDNSError("the cluster's DNS address \"\(configuration.address)\" is no IP address")
    }
    guard let domain = DNSName(configuration.domain), !domain.labels.isEmpty else {
      throw ClusterDNSError("the cluster's domain \"\(configuration.domain)\" is no domain name")
    }
    self.address = address
    let pods = configuration.podCIDRs.compactMap { IPPrefix($0) }
    var settings = ResolverSettings()
    settings.upstream = configuration.upstream ?? ResolverFile.servers(except: configuration.address)
    settings.stubDomains = try configuration.stubDomains.map { stub in
      guard let name = DNSName(stub.domain) else { throw ClusterDNSError("the stub domain \"\(stub.domain)\" is no domain name") }
      return (name, stub.servers)
    }
    let own = (configuration.nodeAddresses + [configuration.address]).compactMap { IPAddress($0) }
    settings.clients = pods + own.map { IPPrefix($0, length: $0.bytes.count * 8) } + ["127.0.0.0/8", "::1/128"].compactMap { IPPrefix($0) }
    let zone = ClusterZone(
      domain: domain, serverAddress: address, podRanges: pods, serviceRanges: configuration.serviceCIDRs.compactMap { IPPrefix($0) })
    resolver = Resolver(zone: zone, settings: settings, upstream: Upstream(group: group))
  }

  /// Answers until the task is cancelled; `onReady` is told the port when the cluster's names are known.
  package func run(client: KubernetesClient, onReady: @escaping @Sendable (Int) -> Void = { _ in }) async throws {
    if configuration.addsAddress { try await LocalAddress.add(address, in: configuration.hostNamespace) }
    let listener = try await DNSListener(
      address, port: configuration.port, resolver: resolver, group: group, loops: 2, namespace: configuration.hostNamespace)
    log.info("the cluster's DNS answers on \(configuration.address):\(listener.port) for \(configuration.domain)")
    await withTaskGroup(of: Void.self) { group in
      let (lists, continuation) = AsyncStream.makeStream(of: Void.self)
      group.addTask { [resolver, log] in
        var isFirst = true
        for await event in client.reflect(.services(), log: log) {
          resolver.change { $0.take(service: event) }
          if isFirst { continuation.yield() }
          isFirst = false
        }
      }
      group.addTask { [resolver, log] in
        var isFirst = true
        for await event in client.reflect(ResourcePath(group: "discovery.k8s.io", "endpointslices"), log: log) {
          resolver.change { $0.take(slice: event) }
          if isFirst { continuation.yield() }
          isFirst = false
        }
      }
      group.addTask {
        var count = 0
        for await _ in lists {
          count += 1
          if count == 2 {
            onReady(listener.port)
            break
          }
        }
      }
    }
    await Task { await listener.close() }.value
  }

  /// Takes the address off this machine.
  package static func remove(_ configuration: ClusterDNSConfiguration) async throws {
    guard let address = IPAddress(configuration.address) else { return }
    try await LocalAddress.remove(address, in: configuration.hostNamespace)
  }
}

extension ClusterZone {
  mutating func take(service event: ReflectorEvent) {
    switch event {
    case .synced(let list): replace(services: list)
    case .changed(let object): put(service: object)
    case .deleted(let object): remove(service: object)
    }
  }

  mutating func take(slice event: ReflectorEvent) {
    switch event {
    case .synced(let list): replace(slices: list)
    case .changed(let object): put(slice: object)
    case .deleted(let object): remove(slice: object)
    }
  }
}
