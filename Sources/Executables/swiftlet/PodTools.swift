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

  static func absolute(_ file: String) -> String {
    file.hasPrefix("/") ? file : (path == "/" ? "" : path) + "/" + file
  }
}

/// Which pod and container a tool is about: `pod`, `namespace/pod`, and `-c` where there are several containers.
struct PodTarget: ParsableArguments {
  @OptionGroup var agent: AgentOptions

  @Option(name: .shortAndLong, help: "The pod's namespace.")
  var namespace = "default"

  @Option(name: .shortAndLong, help: "The container, where the pod has several.")
  var container: String?

  var client: AgentClient { agent.client }

  private func names(_ pod: String) -> (namespace: String, name: String) {
    let parts = pod.split(separator: "/").map(String.init)
    return parts.count == 2 ? (parts[0], parts[1]) : (namespace, pod)
  }

  func find(_ pod: String) async throws -> Pod {
    let (namespace, name) = names(pod)
    let pods = (try await client.json("GET", "/pods")["items"].array ?? []).map { Pod($0) }
    guard let found = pods.first(where: { $0.namespace == namespace && $0.name == name }) else {
      throw StartFailure("no pod \(namespace)/\(name) runs on this node; `swiftlet ps` lists those that do")
    }
    return found
  }

  /// The path's end: `/<namespace>/<pod>/<container>`.
  func path(_ pod: String) async throws -> String {
    let (namespace, name) = names(pod)
    if let container { return "/\(namespace)/\(name)/\(container)" }
    let found = try await find(pod)
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
  @OptionGroup var agent: AgentOptions
  @Option(name: .shortAndLong, help: "Only pods of this namespace.") var namespace: String?
  @Option(name: .shortAndLong, help: "text or json.") var output = "text"

  func validate() throws {
    guard ["text", "json"].contains(output) else { throw ValidationError("--output \(output): wants text or json") }
  }

  func run() async throws {
    try await Role.exitingCleanly {
      let all = (try await agent.client.json("GET", "/pods")["items"].array ?? []).map { Pod($0) }
      let pods = all.filter { namespace == nil || $0.namespace == namespace }.sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }
      if output == "json" { return print(JSON.array(pods.map(\.json)).prettyText()) }
      TextTable.print([["NAMESPACE", "POD", "CONTAINER", "STATE", "SINCE", "RESTARTS", "IP", "IMAGE"]] + pods.flatMap(Self.rows))
    }
  }

  /// One row for each container; one for the pod where none is known yet.
  private static func rows(_ pod: Pod) -> [[String]] {
    let statuses = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"].flatMap { pod.status[$0].array ?? [] }
    let address = pod.status["podIP"].string ?? "-"
    if statuses.isEmpty { return [[pod.namespace, pod.name, "-", pod.status["phase"].string ?? "Pending", "-", "-", address, "-"]] }
    return statuses.map { status in
      let state = status["state"].object?.keys.first ?? "waiting"
      let details = status["state"][state]
      let since = details["finishedAt"].timestamp ?? details["startedAt"].timestamp
      return [
        pod.namespace, pod.name, status["name"].string ?? "", details["reason"].string.map { "\(state) (\($0))" } ?? state,
        since.map { age($0) } ?? "-", String(status["restartCount"].int ?? 0), address, status["image"].string ?? "",
      ]
    }
  }

  /// `42s`, `17m`, `5h`, `3d`.
  private static func age(_ since: Timestamp) -> String {
    let seconds = max(0, Timestamp.now.secondsSinceEpoch - since.secondsSinceEpoch)
    switch seconds {
    case ..<120: return "\(seconds)s"
    case ..<7_200: return "\(seconds / 60)m"
    case ..<172_800: return "\(seconds / 3_600)h"
    default: return "\(seconds / 86_400)d"
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
  static let configuration = CommandConfiguration(
    abstract: "Shows what the runtime holds of all pods, or all that is known of one, as JSON.")
  @OptionGroup var target: PodTarget
  @Argument(help: "Only this pod, as name or namespace/name.") var pod: String?

  func run() async throws {
    try await Role.exitingCleanly {
      let runtime = try await target.client.json("GET", "/runtime")
      guard let pod else { return print(runtime.prettyText()) }
      let found = try await target.find(pod)
      let sandbox = (runtime["sandboxes"].array ?? []).first { $0["id"].string == found.uid }
      print((["runtime": sandbox ?? .null, "pod": found.json] as JSON).prettyText())
    }
  }
}
