import ArgumentParser

/// The one program: node, control plane, and the tools a person needs on the machine.
@main
struct Swiftlet: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swiftlet",
    abstract: "A Kubernetes node and a light control plane in one program.",
    version: "0.1.0 (Kubernetes v1.36)",
    subcommands: [
      Up.self, Server.self, Agent.self, Check.self, KubeconfigCommand.self, TokenCommand.self, NodeCommand.self, ProxyCommand.self,
      ImageCommand.self, PS.self, Logs.self, Exec.self, Inspect.self, Down.self,
    ])
}
