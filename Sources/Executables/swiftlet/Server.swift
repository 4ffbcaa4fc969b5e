import ArgumentParser
import Logging
import NIOPosix

/// `swiftlet server`: the control plane alone.
struct Server: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Runs the control plane alone: API server, scheduler, controllers.")

  @OptionGroup var paths: PathOptions
  @OptionGroup var logging: LogOptionsGroup
  @OptionGroup var options: ServerOptions
  @OptionGroup var node: NodeOptions

  func run() async throws {
    try logging.bootstrap()
    try await Role.exitingCleanly {
      try makeDirectory(paths.dataDirectory, mode: 0o700)
      let lock = try InstanceLock(directory: paths.dataDirectory)
      defer { withExtendedLifetime(lock) {} }
      var record = InstanceRecord(data: paths.data)
      try record.take(options.record(node), data: paths.data)
      let log = Logger(label: "swiftlet")
      let plane = try await ControlPlaneRole(
        paths: paths, options: options, node: node, nodeAddress: node.nodeIP ?? Machine.address,
        // The same after a restart, so that this process goes on at once.
        leader: "\(Machine.hostname)_\(paths.dataDirectory)", group: .singleton, log: log)
      try record.note("server", plane.url)
      Role.say("export KUBECONFIG=\(options.kubeconfig)")
      try await Role.running([{ try await plane.run() }])
      log.info("stopped")
    }
  }
}
