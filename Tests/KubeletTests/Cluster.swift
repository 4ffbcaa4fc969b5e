import APIServer
import Foundation
import JSONCodec
import Kubelet
import KubernetesAPI
import KubernetesClient
import Logging
import NIOPosix
import RevisionStore
import SystemPackage
import Testing

/// The real API server in this process, and a kubelet on rooms that tests can look into.
final class Cluster: Sendable {
  let directory: String
  let store: SQLiteRevisionStore
  let server: APIServer
  let client: KubernetesClient
  let runtime = FakeRuntime()
  let network = FakeNetwork()
  let images = FakeImages()
  let volumes = FakeVolumes()
  let endpoints = FakeEndpoints()
  let configuration: KubeletConfiguration
  private let controllers: Task<Void, any Error>

  init(_ adjust: (inout KubeletConfiguration) -> Void = { _ in }) async throws {
    directory = NSTemporaryDirectory() + "swl-kubelet-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory + "/logs", withIntermediateDirectories: true)
    try FileManager.default.createDirectory(atPath: directory + "/pki", withIntermediateDirectories: true)
    let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    store = try SQLiteRevisionStore(path: directory + "/state.db", logger: log)
    let authority = try CertificateAuthority(directory: FilePath(directory))
    let connections = try KubeletConnections(
      credential: try authority.client(user: "kube-apiserver", groups: []), authority: authority.certificatePEM,
      group: .singletonMultiThreadedEventLoopGroup)
    server = try APIServer(
      configuration: APIServerConfiguration(
        dataDirectory: FilePath(directory), serviceCIDR: "10.96.0.0/16", podCIDR: "10.244.0.0/16", authorityPEM: authority.certificatePEM),
      store: store, kubelets: connections, group: .singletonMultiThreadedEventLoopGroup, log: log)
    client = KubernetesClient(transport: server.transport(user: "admin", groups: ["system:masters"]))
    let api = server
    controllers = Task { try await api.runControllers() }
    var configuration = KubeletConfiguration(
      nodeName: "node-1", addresses: ["192.168.7.1"], version: "v1.33.0+swiftlet.0.1", dataDirectory: FilePath(directory),
      logDirectory: FilePath(directory + "/logs"))
    adjust(&configuration)
    self.configuration = configuration
    // The default namespace and its service account come with the controllers.
    let admin = client
    do {
      try await eventually("default service account") {
        (try? await admin.get(.serviceAccounts("default"), name: "default")) != nil
      }
    } catch {
      await close()
      throw error
    }
  }

  func close() async {
    controllers.cancel()
    _ = try? await controllers.value
    await server.shutdown()
    try? await store.close()
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// An agent's life: everything of it ends with the task.
  func startKubelet(recovering: Bool = false, measures: NodeMeasures? = nil) -> (kubelet: Kubelet, task: Task<Void, any Error>) {
    // With a node's own credential: it can do what it must, and nothing in these tests depends on more.
    let client = KubernetesClient(transport: server.transport(user: "system:node:\(configuration.nodeName)", groups: ["system:nodes"]))
    let log = Logger(label: "kubelet") { _ in SwiftLogNoOpLogHandler() }
    let events = EventRecorder(client: client, nodeName: configuration.nodeName, log: log)
    let agent = NodeAgent(configuration: configuration, client: client, events: events, clock: .system, log: log, measures: measures) { [] }
    let kubelet = Kubelet(
      nodeAgent: agent, client: client, events: events, runtime: runtime, recovered: recovering ? runtime.recovered() : [],
      hooks: .init(
        events: runtime.events(), exec: { _, _, _, _ in throw FakeRuntime.Refusal(description: "no streams here") },
        attach: { _, _, _ in throw FakeRuntime.Refusal(description: "no streams here") }, statistics: { _ in .null }),
      images: images, network: network, volumes: volumes, environments: FakeEnvironments(),
      endpoints: endpoints, group: .singletonMultiThreadedEventLoopGroup, log: log)
    let task = Task {
      try await agent.register()
      try await kubelet.run()
    }
    return (kubelet, task)
  }

  // MARK: - Pods

  func pod(_ name: String, _ spec: JSON = [:], containers: [JSON]? = nil) -> JSON {
    var full: JSON = [
      "nodeName": .string(configuration.nodeName), "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 5,
      "containers": .array(containers ?? [["name": "app", "image": "busybox:1", "imagePullPolicy": "IfNotPresent"]]),
    ]
    for (key, value) in spec.object ?? JSONObject() { full[key] = value }
    return ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "default"], "spec": full]
  }

  @discardableResult
  func create(_ pod: JSON) async throws -> Pod { Pod(try await client.create(.pods("default"), pod)) }

  func get(_ name: String) async throws -> Pod { Pod(try await client.get(.pods("default"), name: name)) }

  /// The pod once it is as wanted; a failure that shows the last status otherwise.
  @discardableResult
  func wait(_ name: String, seconds: Double = 8, _ what: String, _ isSo: @escaping @Sendable (Pod) -> Bool) async throws -> Pod {
    let end = Date().addingTimeInterval(seconds)
    var last: Pod?
    while Date() < end {
      if let pod = try? await get(name) {
        if isSo(pod) { return pod }
        last = pod
      }
      try await Task.sleep(for: .milliseconds(3))
    }
    Issue.record("\(name): not \(what) in \(seconds) s; status: \(last?.status.text() ?? "no such pod")")
    throw Late()
  }

  @discardableResult
  func waitReady(_ name: String) async throws -> Pod {
    try await wait(name, "ready") { $0.phase == "Running" && $0.condition("Ready")?["status"].string == "True" }
  }

  func waitGone(_ name: String, seconds: Double = 8) async throws {
    try await eventually("\(name) gone", seconds: seconds) {
      do {
        _ = try await self.get(name)
        return false
      } catch let error as APIStatusError { return error.isNotFound }
    }
  }

  func eventReasons(of name: String) async throws -> [String] {
    try await client.list(.events("default")).items.filter { $0["involvedObject"]["name"].string == name }.compactMap {
      $0["reason"].string
    }
  }
}

struct Late: Error {}

func eventually(_ what: String, seconds: Double = 8, _ isSo: () async throws -> Bool) async throws {
  let end = Date().addingTimeInterval(seconds)
  while Date() < end {
    if try await isSo() { return }
    try await Task.sleep(for: .milliseconds(3))
  }
  Issue.record("not so in \(seconds) s: \(what)")
  throw Late()
}

/// Runs a test with a cluster and a kubelet and takes both away afterwards.
func withKubelet(
  _ adjust: (inout KubeletConfiguration) -> Void = { _ in }, _ body: (Cluster) async throws -> Void
) async throws {
  let cluster = try await Cluster(adjust)
  let (_, task) = cluster.startKubelet()
  do {
    try await body(cluster)
  } catch {
    task.cancel()
    _ = try? await task.value
    await cluster.close()
    throw error
  }
  task.cancel()
  _ = try? await task.value
  await cluster.close()
}

extension Pod {
  func containerStatus(_ name: String, list: String = "containerStatuses") -> JSON {
    (status[list].array ?? []).first { $0["name"].string == name } ?? .null
  }
}
