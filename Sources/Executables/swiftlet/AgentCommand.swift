import APIServer
import ArgumentParser
import FoundationEssentials
import KubernetesClient
import Logging
import NIOPosix

/// `swiftlet agent`: a node of any Kubernetes cluster.
struct Agent: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a node alone, of the cluster that a token or a kubeconfig leads to.",
    discussion:
      "With --server and --token the machine joins; started again, it needs neither. `swiftlet token create` on the server makes a token.")

  @OptionGroup var paths: PathOptions
  @OptionGroup var logging: LogOptionsGroup
  @OptionGroup var node: NodeOptions
  @OptionGroup var join: JoinOptions

  @Option(help: "How to reach the cluster, and as whom (user system:node:<name>, group system:nodes), instead of joining by token.")
  var kubeconfig: String?

  @Option(
    name: .customLong("client-ca-file"),
    help: "PEM of who vouches for callers of the node's endpoint; by default the kubeconfig's authority.")
  var clientCAFile: String?

  @Option(
    name: .customLong("services-kubeconfig"),
    help: "As whom to follow services and endpoint slices (user system:kube-proxy); by default as the node, which some clusters forbid.")
  var servicesKubeconfig: String?

  func validate() throws {
    guard kubeconfig == nil || (join.server == nil && join.token == nil && join.tokenFile == nil) else {
      throw ValidationError("--kubeconfig says how to reach the cluster; --server and --token are for machines without one")
    }
  }

  func run() async throws {
    try logging.bootstrap()
    try await Role.exitingCleanly {
      try requireRoot("agent")
      let config = try kubeconfig.map { try Kubeconfig(file: $0) }
      if let config, let name = node.nodeName, let certificate = NodeCertificate(config), certificate.nodeName != name {
        throw StartFailure(
          "\(kubeconfig ?? "") is the node \(certificate.nodeName)'s, not \(name)'s. Leave --node-name out, or get a kubeconfig for it.")
      }
      let locks = try NodeLocks(paths, node)
      defer { withExtendedLifetime(locks) {} }
      try Preflight.node(paths, node)
      var record = InstanceRecord(data: paths.data)
      try record.take(paths.record(node), data: paths.data)
      // `down` and `node reset` take the cluster's DNS address away by it.
      try record.note("service-cidr", node.serviceCIDR)
      let log = Logger(label: "swiftlet")
      if let config { try await run(config, log) } else { try await runJoined(log) }
      log.info("stopped; pods go on running (swiftlet down stops them)")
    }
  }

  private func run(_ config: Kubeconfig, _ log: Logger) async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let certificate = NodeCertificate(config)
    let transport = try HTTPTransport(config, userAgent: Membership.userAgent, group: group)
    var node = node
    node.nodeName = node.nodeName ?? certificate?.nodeName
    let name = node.nodeName ?? Machine.hostname
    let address = node.nodeIP ?? Machine.address
    let serving = try certificate?.serving ?? ownCertificate(name, address)
    let services = try servicesTransport(group) ?? HTTPTransport(config, userAgent: Membership.userAgent, group: group)
    let role = NodeRole(
      paths: paths, options: node, client: KubernetesClient(transport: transport),
      servicesClient: KubernetesClient(transport: services),
      serving: serving, callerAuthority: try callers(config), group: group, log: log)
    try await Self.closing([transport, services]) {
      try await Role.running([{ try await role.run { log.info("node \(name) is up, joined to \(config.server)") } }])
    }
  }

  private func runJoined(_ log: Logger) async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let membership = try await Membership.enter(data: paths.data, join: join, nodeName: node.nodeName, group: group, log: log)
    let config = membership.credential.kubeconfig
    var node = node
    let name = membership.credential.nodeName
    node.nodeName = name
    let address = node.nodeIP ?? Machine.address
    let serving = try await membership.serving(address) { try ownCertificate(name, address) }
    let (changes, continuation) = AsyncStream.makeStream(of: Credential.self)
    let client = KubernetesClient(transport: membership.transport)
    let services = try servicesTransport(group)
    var role = NodeRole(
      paths: paths, options: node, client: client,
      servicesClient: services.map { KubernetesClient(transport: $0) } ?? client,
      serving: serving, callerAuthority: try callers(config), group: group, log: log)
    role.servingChanges = changes
    let ready = role
    try await Self.closing([services].compactMap { $0 }, membership.transport.shutdown) {
      try await Role.running([
        { try await ready.run { log.info("node \(name) is up, joined to \(config.server)") } },
        { await membership.keepClient() },
        { await membership.keepServing(serving, address) { continuation.yield($0) } },
      ])
    }
  }

  /// Closes connections also where the node does not start.
  private static func closing(
    _ transports: [HTTPTransport], _ more: () async -> Void = {}, _ body: () async throws -> Void
  ) async throws {
    var failure: (any Error)?
    do { try await body() } catch { failure = error }
    for transport in transports { await transport.shutdown() }
    await more()
    if let failure { throw failure }
  }

  private func servicesTransport(_ group: MultiThreadedEventLoopGroup) throws -> HTTPTransport? {
    try servicesKubeconfig.map {
      try HTTPTransport(
        try Kubeconfig(file: $0), userAgent: "swiftlet-services/\(APIServer.version["gitVersion"].string ?? "")", group: group)
    }
  }

  private func callers(_ config: Kubeconfig) throws -> String {
    try clientCAFile.map { try TextFile.read($0) } ?? String(decoding: config.certificateAuthority ?? [], as: UTF8.self)
  }

  /// The endpoint's certificate from an authority of this node, as a kubelet's self-signed one is. Swiftlet's own control plane does not
  /// trust it; `swiftlet kubeconfig --node` makes one that it trusts, and so does joining by token.
  private func ownCertificate(_ name: String, _ address: String) throws -> Credential {
    try Identity(data: paths.data, names: [name, "localhost"], addresses: [address, "127.0.0.1"]).node(name, address: address)
  }
}
