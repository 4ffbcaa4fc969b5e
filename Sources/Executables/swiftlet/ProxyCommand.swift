import ArgumentParser
import JSONCodec
import KubernetesClient
import Logging
import NFTables
import NIOPosix
import NetworkPolicies
import ServiceProxy
import ServiceRules

/// `swiftlet proxy`: the rules of services, on machines that another kubelet runs, and for people to read.
struct ProxyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "proxy", abstract: "Keeps the rules of services alone, in place of kube-proxy; shows and removes them.",
    subcommands: [Run.self, Rules.self, Remove.self], defaultSubcommand: Run.self)

  struct TableOptions: ParsableArguments {
    @Option(help: "The nf_tables table (families ip and ip6) that the rules are in.")
    var table = "swiftlet-services"

    func validate() throws {
      guard (1...63).contains(table.utf8.count), table.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "\"") }) else {
        throw ValidationError("--table \(table): wants 1 to 63 printable characters")
      }
    }

    var configuration: ServiceProxyConfiguration {
      ServiceProxyConfiguration(nodeName: "", nodeAddresses: [], tableName: table, podCIDRs: [], serviceCIDRs: [])
    }
  }

  struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Follows Services and EndpointSlices until it is ended; the rules stay.",
      discussion: "Nodes of Swiftlet do this themselves. Any API server will do; system:node-proxier is the right that it needs.")

    @OptionGroup var tables: TableOptions
    @OptionGroup var logging: LogOptionsGroup

    @Option(help: "How to reach the API server, and as whom.") var kubeconfig: String
    @Option(help: "The node's name; by default the host's.") var nodeName: String?
    @Option(name: .customLong("node-ip"), help: "The node's addresses, by commas; by default the one of the default route.")
    var nodeIP: String?
    @Option(help: "The cluster's pod ranges, one or one of each family, by commas.") var clusterCIDR: String
    @Option(help: "The cluster's service ranges, one or one of each family, by commas.") var serviceCIDR: String
    @Option(help: "Where node ports answer: ranges, by commas; by default at all the node's addresses.") var nodeportAddresses: String?
    @Option(help: "Where /healthz answers; port 0 chooses one, nothing serves none.") var healthzBindAddress = "0.0.0.0:10256"
    @Option(help: "Where /metrics answers; port 0 chooses one, nothing serves none.") var metricsBindAddress = "127.0.0.1:10249"
    @Flag(help: "Replaces the source of all packets to services.") var masqueradeAll = false
    @Flag(help: "Enforces NetworkPolicies too; needs list and watch of networkpolicies, namespaces and pods.") var networkPolicies = false

    func run() async throws {
      try logging.bootstrap()
      try await Role.exitingCleanly {
        try requireRoot("proxy")
        let log = Logger(label: "swiftlet")
        let name = nodeName ?? Machine.hostname
        var configuration = ServiceProxyConfiguration(
          nodeName: name, nodeAddresses: parts(nodeIP ?? Machine.address), tableName: tables.table, podCIDRs: parts(clusterCIDR),
          serviceCIDRs: parts(serviceCIDR))
        configuration.nodePortRanges = parts(nodeportAddresses ?? "")
        configuration.masqueradesAll = masqueradeAll
        configuration.health = try endpoint(healthzBindAddress, "--healthz-bind-address")
        configuration.metrics = try endpoint(metricsBindAddress, "--metrics-bind-address")
        let transport = try HTTPTransport(
          try Kubeconfig(file: kubeconfig), userAgent: Membership.userAgent, group: MultiThreadedEventLoopGroup.singleton)
        let client = KubernetesClient(transport: transport)
        let proxy: ServiceProxy
        do {
          proxy = try ServiceProxy(configuration, client: client, log: log)
        } catch {
          await transport.shutdown()
          throw StartFailure("\(error)")
        }
        var running: [@Sendable () async throws -> Void] = [{ try await proxy.run() }]
        if networkPolicies {
          let policies = PolicyEnforcer(policyConfiguration(name), client: client, log: log)
          running.append { await policies.run() }
        }
        log.info("the rules of services follow \(kubeconfig), as node \(name)")
        try await Role.running(running)
        await transport.shutdown()
        log.info("stopped; the rules stay (swiftlet proxy remove takes them away)")
      }
    }

    private func policyConfiguration(_ name: String) -> PolicyConfiguration {
      var configuration = PolicyConfiguration(nodeName: name, tableName: "\(tables.table)-policies")
      configuration.families = [.ipv4, .ipv6]
      return configuration
    }

    private func parts(_ list: String) -> [String] { list.split(separator: ",").map(String.init) }

    private func endpoint(_ text: String, _ option: String) throws -> (host: String, port: Int)? {
      if text.isEmpty { return nil }
      guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
        throw StartFailure("\(option) \(text): wants an address and a port, such as 127.0.0.1:10249")
      }
      let host = text[..<colon]
      let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
      return (isBracketed ? String(host.dropFirst().dropLast()) : String(host), Int(port))
    }
  }

  struct Rules: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints what the kernel does with connections to services, as it holds it now.")

    @OptionGroup var tables: TableOptions
    @Option(help: "Puts the services' names beside their addresses, as this API server knows them.") var kubeconfig: String?

    func run() async throws {
      try await Role.exitingCleanly {
        try requireRoot("proxy rules")
        let names = try await serviceNames()
        let found = try await ServiceProxy.read(tables.configuration)
        if found.isEmpty { throw StartFailure("there is no table \(tables.table) here: no proxy has run, or its rules were removed") }
        for (family, table) in found {
          for entrance in RuleListing(table, family: family).entrances {
            let name = names["\(entrance.address.map { "\($0)" } ?? ""):\(entrance.port)"].map { "  # \($0)" } ?? ""
            Role.say(entrance.description + name)
          }
        }
      }
    }

    /// By `address:port`, and by `:port` of the node.
    private func serviceNames() async throws -> [String: String] {
      guard let kubeconfig else { return [:] }
      let transport = try HTTPTransport(
        try Kubeconfig(file: kubeconfig), userAgent: Membership.userAgent, group: MultiThreadedEventLoopGroup.singleton)
      let services: [JSON]
      do {
        services = try await KubernetesClient(transport: transport).list(.services()).items
      } catch {
        await transport.shutdown()
        throw StartFailure("the services cannot be listed: \(error)")
      }
      await transport.shutdown()
      var names: [String: String] = [:]
      for service in services {
        let name = "\(service["metadata"]["namespace"].string ?? "")/\(service["metadata"]["name"].string ?? "")"
        let addresses = (service["spec"]["clusterIPs"].array ?? []) + (service["spec"]["externalIPs"].array ?? [])
        for port in service["spec"]["ports"].array ?? [] {
          for address in addresses { names["\(address.string ?? ""):\(port["port"].int ?? 0)"] = name }
          if let nodePort = port["nodePort"].int { names[":\(nodePort)"] = name }
        }
      }
      return names
    }
  }

  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Takes the rules away; services no longer work on this machine.")

    @OptionGroup var tables: TableOptions

    func run() async throws {
      try await Role.exitingCleanly {
        try requireRoot("proxy remove")
        try await ServiceProxy.remove(tables.configuration)
        try await PolicyEnforcer.remove(PolicyConfiguration(nodeName: "", tableName: "\(tables.table)-policies"))
      }
    }
  }
}
