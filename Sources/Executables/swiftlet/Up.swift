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
      try makeDirectory(paths.dataDirectory, mode: 0o711)
      let lock = try InstanceLock(directory: paths.dataDirectory)
      defer { withExtendedLifetime(lock) {} }
      _ = try NodeRole.missingControllers(node)
      let log = Logger(label: "swiftlet")
      let address = node.nodeIP ?? Machine.address
      let group = MultiThreadedEventLoopGroup.singleton
      let plane = try await ControlPlaneRole(paths: paths, options: options, node: node, nodeAddress: address, group: group, log: log)
      let name = node.nodeName ?? Machine.hostname
      let client = KubernetesClient(transport: plane.server.transport(user: "system:node:\(name)", groups: ["system:nodes"]))
      let role = NodeRole(
        paths: paths, options: node, client: client, serving: try plane.identity.node(name, address: address),
        callerAuthority: plane.identity.authority.certificatePEM, group: group, log: log)
      print("export KUBECONFIG=\(options.kubeconfig)")
      try await Role.running([{ await plane.run() }, { try await role.run { log.info("node \(name) is up") } }])
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

  func run() async throws {
    try logging.bootstrap()
    try await Role.exitingCleanly {
      try requireRoot("agent")
      try makeDirectory(paths.dataDirectory, mode: 0o711)
      let lock = try InstanceLock(directory: paths.dataDirectory)
      defer { withExtendedLifetime(lock) {} }
      let log = Logger(label: "swiftlet")
      let config = try Kubeconfig(file: kubeconfig)
      let group = MultiThreadedEventLoopGroup.singleton
      let transport = try HTTPTransport(config, userAgent: "swiftlet/\(APIServer.version["gitVersion"].string ?? "")", group: group)
      let name = node.nodeName ?? Machine.hostname
      let address = node.nodeIP ?? Machine.address
      // The endpoint's own certificate comes from an authority of this node, as a kubelet's self-signed one does.
      let own = try Identity(data: paths.data, names: [name, "localhost"], addresses: [address, "127.0.0.1"])
      let callers = try clientCAFile.map { try TextFile.read($0) } ?? String(decoding: config.certificateAuthority ?? [], as: UTF8.self)
      let role = NodeRole(
        paths: paths, options: node, client: KubernetesClient(transport: transport), serving: try own.node(name, address: address),
        callerAuthority: callers, group: group, log: log)
      try await Role.running([{ try await role.run { log.info("node \(name) is up, joined to \(config.server)") } }])
      await transport.shutdown()
      log.info("stopped; pods go on running (swiftlet down stops them)")
    }
  }
}
