import APIServer
import ArgumentParser
import KubernetesClient
import Logging
import NIOPosix

/// `swiftlet up`: control plane and node in one process.
struct Up: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Runs the all-in-one: control plane and node in one process.")

  @OptionGroup var paths: PathOptions
  @OptionGroup var logging: LogOptionsGroup
  @OptionGroup var options: ServerOptions
  @OptionGroup var node: NodeOptions

  func run() async throws {
    try logging.bootstrap()
    try await Role.exitingCleanly {
      try requireRoot("up")
      let locks = try NodeLocks(paths, node)
      defer { withExtendedLifetime(locks) {} }
      try Preflight.node(paths, node)
      var record = InstanceRecord(data: paths.data)
      try record.take(paths.record(node).merging(options.record(node)) { $1 }, data: paths.data)
      let log = Logger(label: "swiftlet")
      let address = node.nodeIP ?? Machine.address
      let group = MultiThreadedEventLoopGroup.singleton
      let plane = try await ControlPlaneRole(paths: paths, options: options, node: node, nodeAddress: address, group: group, log: log)
      try record.note("server", plane.url)
      let name = node.nodeName ?? Machine.hostname
      let client = KubernetesClient(transport: plane.server.transport(user: "system:node:\(name)", groups: ["system:nodes"]))
      let services = KubernetesClient(transport: plane.server.transport(user: "system:kube-proxy", groups: ["system:authenticated"]))
      let role = NodeRole(
        paths: paths, options: node, client: client, servicesClient: services, serving: try plane.identity.node(name, address: address),
        callerAuthority: plane.identity.authority.certificatePEM, group: group, log: log)
      let kubeconfig = options.kubeconfig
      try await Role.running([
        { try await plane.run() },
        {
          try await role.run {
            log.info("node \(name) is up")
            Role.say("export KUBECONFIG=\(kubeconfig)")
          }
        },
      ])
      log.info("stopped; pods go on running (swiftlet down stops them)")
    }
  }
}

/// `swiftlet agent`: a node of any Kubernetes cluster.
struct Agent: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Runs a node alone, of the cluster that a kubeconfig names.")

  @OptionGroup var paths: PathOptions
  @OptionGroup var logging: LogOptionsGroup
  @OptionGroup var node: NodeOptions

  @Option(help: "How to reach the cluster, and as whom (user system:node:<name>, group system:nodes).")
  var kubeconfig: String

  @Option(
    name: .customLong("client-ca-file"),
    help: "PEM of who vouches for callers of the node's endpoint; by default the kubeconfig's authority.")
  var clientCAFile: String?

  @Option(
    name: .customLong("services-kubeconfig"),
    help: "As whom to follow services and endpoint slices (user system:kube-proxy); by default as the node, which some clusters forbid.")
  var servicesKubeconfig: String?

  private func servicesTransport(_ config: Kubeconfig, _ group: MultiThreadedEventLoopGroup) throws -> HTTPTransport {
    let config = try servicesKubeconfig.map { try Kubeconfig(file: $0) } ?? config
    return try HTTPTransport(config, userAgent: "swiftlet-services/\(APIServer.version["gitVersion"].string ?? "")", group: group)
  }

  func run() async throws {
    try logging.bootstrap()
    try await Role.exitingCleanly {
      try requireRoot("agent")
      let config = try Kubeconfig(file: kubeconfig)
      let certificate = NodeCertificate(config)
      if let name = node.nodeName, let certificate, certificate.nodeName != name {
        throw StartFailure(
          "\(kubeconfig) is the node \(certificate.nodeName)'s, not \(name)'s. Leave --node-name out, or get a kubeconfig for it.")
      }
      let locks = try NodeLocks(paths, node)
      defer { withExtendedLifetime(locks) {} }
      try Preflight.node(paths, node)
      var record = InstanceRecord(data: paths.data)
      try record.take(paths.record(node), data: paths.data)
      let log = Logger(label: "swiftlet")
      let group = MultiThreadedEventLoopGroup.singleton
      let transport = try HTTPTransport(config, userAgent: "swiftlet/\(APIServer.version["gitVersion"].string ?? "")", group: group)
      var node = node
      node.nodeName = node.nodeName ?? certificate?.nodeName
      let name = node.nodeName ?? Machine.hostname
      let address = node.nodeIP ?? Machine.address
      let serving = try certificate?.serving ?? ownCertificate(name, address)
      let callers = try clientCAFile.map { try TextFile.read($0) } ?? String(decoding: config.certificateAuthority ?? [], as: UTF8.self)
      let role = NodeRole(
        paths: paths, options: node, client: KubernetesClient(transport: transport),
        servicesClient: KubernetesClient(transport: try servicesTransport(config, group)), serving: serving,
        callerAuthority: callers, group: group, log: log)
      try await Role.running([{ try await role.run { log.info("node \(name) is up, joined to \(config.server)") } }])
      await transport.shutdown()
      log.info("stopped; pods go on running (swiftlet down stops them)")
    }
  }

  /// The endpoint's certificate from an authority of this node, as a kubelet's self-signed one is. Swiftlet's own control plane does not
  /// trust it; `swiftlet kubeconfig --node` makes one that it trusts.
  private func ownCertificate(_ name: String, _ address: String) throws -> Credential {
    try Identity(data: paths.data, names: [name, "localhost"], addresses: [address, "127.0.0.1"]).node(name, address: address)
  }
}
