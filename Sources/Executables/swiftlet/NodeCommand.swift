import ArgumentParser
import FoundationEssentials

/// `swiftlet node`: this machine as a node of a cluster.
struct NodeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "node", abstract: "Takes this machine out of its cluster.", subcommands: [Reset.self])

  struct Reset: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Stops the pods and removes all that the agent made here: links, rules, mounts, cgroups, data and its credential.",
      discussion: "Stop the agent first. The Node object stays: on the server, `kubectl drain NAME` before and `kubectl delete node NAME` after.")

    @OptionGroup var paths: PathOptions
    @OptionGroup var node: NodeOptions

    func run() async throws {
      try await Role.exitingCleanly {
        try requireRoot("node reset")
        guard !FileManager.default.fileExists(atPath: paths.data.appending("state.db").string) else {
          throw StartFailure(
            "\(paths.dataDirectory) holds a control plane's database: the whole cluster would be gone. "
              + "If that is meant: swiftlet down --purge --data-dir \(paths.dataDirectory)")
        }
        try await TakingDown(paths: paths, node: node, kubeconfig: nil).run(purge: true)
      }
    }
  }
}
