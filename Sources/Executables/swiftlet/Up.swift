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
