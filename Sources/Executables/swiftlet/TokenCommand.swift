import ArgumentParser
import ClusterJoining
import FoundationEssentials
import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOPosix
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// `swiftlet token`: what machines join with.
struct TokenCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token", abstract: "Makes, lists and deletes the tokens that machines join with; on the server.",
    subcommands: [Create.self, List.self, Delete.self])

  /// The administrator's way to the cluster.
  struct Access: ParsableArguments {
    @Option(name: .customLong("data-dir"), help: "The --data-dir of the control plane.") var dataDirectory = "/var/lib/swiftlet"
    @Option(help: "The administrator's kubeconfig; by default the one that the control plane wrote.") var kubeconfig: String?

    func config() throws -> Kubeconfig {
      let data = FilePath(CurrentDirectory.absolute(dataDirectory))
      let path = kubeconfig ?? InstanceRecord(data: data).values["kubeconfig"] ?? "/etc/swiftlet/admin.kubeconfig"
      guard access(path, R_OK) == 0 else {
        throw StartFailure(
          "the administrator's kubeconfig \(path) cannot be read: \(String(cString: strerror(errno))). "
            + "Run this on the machine of the control plane as root, with its --data-dir, or name a --kubeconfig.")
      }
      return try Kubeconfig(file: path)
    }

    func withClient<Result>(_ body: (KubernetesClient, Kubeconfig) async throws -> Result) async throws -> Result {
      let config = try config()
      let transport = try HTTPTransport(config, userAgent: "swiftlet-token", group: MultiThreadedEventLoopGroup.singleton)
      do {
        let result = try await body(KubernetesClient(transport: transport), config)
        await transport.shutdown()
        return result
      } catch {
        await transport.shutdown()
        guard error is APIStatusError || error is StartFailure else {
          throw StartFailure("the API server at \(config.server) does not answer: \(error). Is it running?")
        }
        throw error
      }
    }
  }

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a token and prints it. Whoever has it can add machines to the cluster until it ends.")

    @OptionGroup var access: Access
    @Option(help: "How long machines may join with it: such as 30m, 24h or 7d; 0: for ever.") var ttl = TimeSpan(seconds: 86_400)
    @Option(help: "What it is for, as `token list` shows it.") var description: String?
    @Flag(name: .customLong("print-join-command"), help: "Print the whole command for the other machine.") var printsCommand = false

    func run() async throws {
      try await Role.exitingCleanly {
        let (token, server) = try await access.withClient { client, config in
          let token = JoinToken.random(pins: try AuthorityPin.pins(ofPEM: config.certificateAuthority ?? []))
          try await client.create(
            BootstrapSecret.path, BootstrapSecret.object(token, seconds: ttl.seconds, description: description, now: .now))
          return (token, config.server)
        }
        print(printsCommand ? "swiftlet agent --server \(server) --token \(token.text)" : token.text)
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists tokens, without their secrets.")

    @OptionGroup var access: Access

    func run() async throws {
      try await Role.exitingCleanly {
        let secrets = try await access.withClient { client, _ in
          try await client.list(BootstrapSecret.path, fieldSelector: "type=\(BootstrapSecret.type)").items
        }
        TextTable.print([["ID", "ENDS", "LEFT", "DESCRIPTION"]] + secrets.map { BootstrapSecret.row($0, now: .now) })
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Deletes tokens: no machine joins with them any more. Nodes that did stay; `kubectl delete node` ends those.")

    @OptionGroup var access: Access
    @Argument(help: "Their IDs: the part before the dot.") var ids: [String]

    func run() async throws {
      try await Role.exitingCleanly {
        let ids = try ids.map { text in
          let id = String(text.prefix { $0 != "." })
          guard JoinToken.isID(id) else { throw StartFailure("\(id) is no token's ID: it has 6 lower-case letters and digits") }
          return id
        }
        try await access.withClient { client, _ in
          for id in ids {
            do {
              try await client.delete(BootstrapSecret.path, name: BootstrapSecret.name(id))
              print("token \(id) deleted")
            } catch let error as APIStatusError where error.isNotFound {
              throw StartFailure("there is no token \(id); `swiftlet token list` shows those that are there")
            }
          }
        }
      }
    }
  }
}

/// The Secret of a token (kubernetes: "Authenticating with Bootstrap Tokens").
enum BootstrapSecret {
  static let path = ResourcePath.secrets("kube-system")
  static let type = "bootstrap.kubernetes.io/token"
  /// Beside system:bootstrappers, which every token has.
  static let group = "system:bootstrappers:swiftlet:nodes"

  static func name(_ id: String) -> String { "bootstrap-token-\(id)" }

  /// - Parameter seconds: 0: it never ends.
  static func object(_ token: JoinToken, seconds: Int, description: String?, now: Timestamp) -> JSON {
    var data: JSON = [
      "token-id": .string(token.id), "token-secret": .string(token.secret), "usage-bootstrap-authentication": "true",
      "usage-bootstrap-signing": "true", "auth-extra-groups": .string(group),
    ]
    if seconds > 0 { data["expiration"] = .string(now.advanced(bySeconds: Double(seconds)).rfc3339) }
    if let description { data["description"] = .string(description) }
    return [
      "kind": "Secret", "apiVersion": "v1", "type": .string(type), "metadata": ["name": .string(name(token.id))], "stringData": data,
    ]
  }

  static func row(_ secret: JSON, now: Timestamp) -> [String] {
    func value(_ key: String) -> String {
      secret["data"][key].string.flatMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    let end = value("expiration")
    let left = Timestamp(rfc3339: end).map { Int($0.seconds(since: now)) }
    let shown = left.map { $0 > 0 ? TimeSpan(seconds: $0).text : "over" } ?? "for ever"
    return [value("token-id"), end.isEmpty ? "never" : end, shown, value("description").isEmpty ? "-" : value("description")]
  }
}
