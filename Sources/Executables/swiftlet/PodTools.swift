import ArgumentParser
import JSONCodec
import KubernetesAPI

#if canImport(Glibc)
  import Glibc
#endif

enum CurrentDirectory {
  static var path: String {
    guard let buffer = getcwd(nil, 0) else { return "/" }
    defer { free(buffer) }
    return String(cString: buffer)
  }
}

/// Which pod and container a tool is about: `pod`, `namespace/pod`, and `-c` where there are several containers.
struct PodTarget: ParsableArguments {
  @OptionGroup var paths: PathOptions

  @Option(name: .shortAndLong, help: "The pod's namespace.")
  var namespace = "default"

  @Option(name: .shortAndLong, help: "The container, where the pod has several.")
  var container: String?

  var client: AgentClient { AgentClient(socket: paths.agentSocket.string) }

  /// The path's end: `/<namespace>/<pod>/<container>`.
  func path(_ pod: String) async throws -> String {
    let parts = pod.split(separator: "/").map(String.init)
    let (namespace, name) = parts.count == 2 ? (parts[0], parts[1]) : (self.namespace, pod)
    if let container { return "/\(namespace)/\(name)/\(container)" }
    let pods = try await client.json("GET", "/pods")
    guard let found = (pods["items"].array ?? []).map({ Pod($0) }).first(where: { $0.namespace == namespace && $0.name == name }) else {
      throw StartFailure("no pod \(namespace)/\(name) runs on this node; `swiftlet ps` lists those that do")
    }
    let names = found.spec.containers.map(\.name)
    let preferred = found.metadata.annotations["kubectl.kubernetes.io/default-container"].string
    guard let chosen = preferred ?? (names.count == 1 ? names[0] : nil) else {
      throw StartFailure("pod \(name) has several containers: name one of \(names.joined(separator: ", ")) with -c")
    }
    return "/\(namespace)/\(name)/\(chosen)"
  }
}

/// `swiftlet ps`: the containers of this node.
struct PS: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "ps", abstract: "Lists the pods and containers that run here.")
  @OptionGroup var target: PodTarget

  func run() async throws {
    try await Role.exitingCleanly {
      let pods = try await target.client.json("GET", "/pods")
      var rows = [["NAMESPACE", "POD", "CONTAINER", "STATE", "RESTARTS", "IP", "IMAGE"]]
      for pod in (pods["items"].array ?? []).map({ Pod($0) }) {
        let statuses = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"].flatMap { pod.status[$0].array ?? [] }
        for status in statuses {
          let state = status["state"].object?.keys.first ?? "waiting"
          let reason = status["state"][state]["reason"].string
          rows.append([
            pod.namespace, pod.name, status["name"].string ?? "", reason.map { "\(state) (\($0))" } ?? state,
            String(status["restartCount"].int ?? 0), pod.status["podIP"].string ?? "-", status["image"].string ?? "",
          ])
        }
      }
      TextTable.print(rows)
    }
  }
}

/// `swiftlet logs`: a container's output.
struct Logs: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Prints a container's log.")
  @OptionGroup var target: PodTarget
  @Argument(help: "The pod, as name or namespace/name.") var pod: String
  @Flag(name: .shortAndLong, help: "Go on as the log grows.") var follow = false
  @Flag(name: .shortAndLong, help: "The log of the container's earlier run.") var previous = false
  @Flag(help: "Begin each line with its time.") var timestamps = false
  @Option(help: "Only the last so many lines.") var tail: Int?

  func run() async throws {
    try await Role.exitingCleanly {
      var query: [(String, String)] = []
      if follow { query.append(("follow", "true")) }
      if previous { query.append(("previous", "true")) }
      if timestamps { query.append(("timestamps", "true")) }
      if let tail { query.append(("tailLines", String(tail))) }
      let path = try await target.path(pod)
      try await target.client.stream("GET", "/containerLogs" + path + AgentClient.query(query)) { bytes in
        _ = bytes.withUnsafeReadableBytes { write(1, $0.baseAddress, $0.count) }
      }
    }
  }
}

/// `swiftlet inspect`: what the runtime holds.
struct Inspect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Shows what the runtime holds: sandboxes, containers, processes.")
  @OptionGroup var target: PodTarget
  @Argument(help: "Only this pod, as name or namespace/name.") var pod: String?

  func run() async throws {
    try await Role.exitingCleanly {
      guard let pod else { return print(try await target.client.json("GET", "/runtime").prettyText()) }
      let parts = try await target.path(pod).split(separator: "/")
      let pods = try await target.client.json("GET", "/pods")
      for item in pods["items"].array ?? []
      where item["metadata"]["name"].string == String(parts[1]) && item["metadata"]["namespace"].string == String(parts[0]) {
        print(item.prettyText())
      }
    }
  }
}
