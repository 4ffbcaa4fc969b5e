import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import NIOPosix
import RevisionStore
import Scheduling
import SystemPackage

@testable import APIServer
@testable import Scheduler

#if canImport(Glibc)
  import Glibc
#endif

/// A real API server over a database of its own, with the scheduler beside it; kubelets and controllers are played by the test.
final class TestCluster: Sendable {
  /// Seconds until something that must happen has happened.
  static let patience = 20.0

  let client: KubernetesClient
  private let server: APIServer
  private let store: SQLiteRevisionStore
  private let directory: FilePath

  private init(directory: FilePath) throws {
    self.directory = directory
    mkdir(directory.appending("pki").string, 0o700)
    let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    store = try SQLiteRevisionStore(path: directory.appending("state.db").string, logger: log)
    let group = MultiThreadedEventLoopGroup.singleton
    let authority = try CertificateAuthority(directory: directory.appending("pki"))
    let kubelets = try KubeletConnections(
      credential: try authority.client(user: "test", groups: []), authority: authority.certificatePEM, group: group)
    server = try APIServer(
      configuration: APIServerConfiguration(
        dataDirectory: directory, serviceCIDR: "10.96.0.0/24", podCIDR: "10.244.0.0/16", authorityPEM: authority.certificatePEM),
      store: store, kubelets: kubelets, group: group, log: log)
    client = KubernetesClient(transport: server.transport(user: "system:kube-controller-manager", groups: ["system:masters"]))
  }

  /// Runs a body against a server with its own loops and a scheduler.
  static func with(
    _ configuration: SchedulerConfiguration = SchedulerConfiguration(), identity: String? = nil,
    _ body: @escaping @Sendable (TestCluster) async throws -> Void
  ) async throws {
    var template = Array("/tmp/swiftlet-sched.XXXXXX".utf8CString)
    let directory = FilePath(String(cString: mkdtemp(&template)!))
    let cluster = try TestCluster(directory: directory)
    let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await cluster.server.runControllers() }
        group.addTask { await PodScheduler(client: cluster.client, identity: identity, configuration: configuration, log: log).run() }
        try await cluster.eventually("default service account") {
          (try? await cluster.client.get(.serviceAccounts("default"), name: "default")) != nil
        }
        try await body(cluster)
        group.cancelAll()
      }
    } catch {
      await cluster.close()
      throw error
    }
    await cluster.close()
  }

  private func close() async {
    await server.shutdown()
    try? await store.close()
    for entry in ["state.db", "state.db-wal", "state.db-shm"] { unlink(directory.appending(entry).string) }
    // What is left are the keys of this test's authority.
    if let folder = opendir(directory.appending("pki").string) {
      while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        unlink(directory.appending("pki").appending(name).string)
      }
      closedir(folder)
    }
    rmdir(directory.appending("pki").string)
    if let folder = opendir(directory.string) {
      while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        unlink(directory.appending(name).string)
      }
      closedir(folder)
    }
    rmdir(directory.string)
  }

  struct Expired: Error { let what: String }

  func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(Self.patience)
    while ContinuousClock.now < end {
      if try await condition() { return }
      try await Task.sleep(for: .milliseconds(20))
    }
    throw Expired(what: what)
  }

  func pod(_ name: String) async throws -> JSON {
    do {
      return try await client.get(.pods("default"), name: name)
    } catch let error as APIStatusError where error.isNotFound {
      return .null
    }
  }

  func add(node name: String, cpu: Int = 1, labels: JSON = [:]) async throws {
    try await client.create(.nodes, ["metadata": ["name": .string(name), "labels": labels]])
    let amounts: JSON = ["cpu": JSON(cpu), "memory": "4Gi", "pods": 20]
    try await client.patch(
      .nodes, name: name, subresource: "status", type: .merge, ["status": ["capacity": amounts, "allocatable": amounts]])
    // What the node lifecycle controller does once the node is ready.
    try await client.patch(.nodes, name: name, type: .merge, .object(JSONObject([("spec", .object(JSONObject([("taints", JSON.null)])))])))
  }

  func add(pod name: String, cpu: String = "100m", spec: JSON = [:]) async throws {
    var spec = spec
    spec["containers"] = [["name": "c", "image": "i", "resources": ["requests": ["cpu": .string(cpu)]]]]
    try await client.create(.pods("default"), ["metadata": ["name": .string(name)], "spec": spec])
  }

  func node(of pod: String) async throws -> String? { try await self.pod(pod)["spec"]["nodeName"].string }

  func isPlaced(_ pod: String, on node: String) async throws {
    try await eventually("\(pod) on \(node)") { try await self.node(of: pod) == node }
  }

  /// Reasons and messages of a pod's events.
  func events(of pod: String) async throws -> [(reason: String, message: String, json: JSON)] {
    try await client.list(.events("default")).items.filter { $0["involvedObject"]["name"].string == pod }.map {
      ($0["reason"].string ?? "", $0["message"].string ?? "", $0)
    }
  }
}

extension JSON {
  func condition(_ type: String) -> JSON { (self["status"]["conditions"].array ?? []).first { $0["type"].string == type } ?? .null }
}
