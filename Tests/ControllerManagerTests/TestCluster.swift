import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import NIOPosix
import Reconcilers
import RevisionStore
import SystemPackage

@testable import APIServer
@testable import ControllerManager

#if canImport(Glibc)
  import Glibc
#endif

/// A real API server over a database of its own, with the controllers beside it; kubelets are played by the test.
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

  /// Runs a body against a server with its own loops and the given controllers.
  static func with(
    _ reconcilers: [any Reconciler] = ControllerManager.standard, _ body: @escaping @Sendable (TestCluster) async throws -> Void
  )
    async throws
  {
    var template = Array("/tmp/swiftlet-ctl.XXXXXX".utf8CString)
    let directory = FilePath(String(cString: mkdtemp(&template)!))
    let cluster = try TestCluster(directory: directory)
    let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await cluster.server.runControllers() }
        group.addTask { await ControllerManager(client: cluster.client, reconcilers: reconcilers, log: log).run() }
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

  func get(_ kind: Kind, _ name: String) async throws -> JSON {
    do {
      return try await client.get(kind.path(kind.isNamespaced ? "default" : ""), name: name)
    } catch let error as APIStatusError where error.isNotFound {
      return .null
    }
  }

  func all(_ kind: Kind) async throws -> [JSON] { try await client.list(kind.path(kind.isNamespaced ? "default" : "")).items }

  @discardableResult
  func create(_ kind: Kind, _ object: JSON) async throws -> JSON {
    try await client.create(kind.path(kind.isNamespaced ? "default" : ""), object)
  }

  func patch(_ kind: Kind, _ name: String, _ body: JSON) async throws {
    try await client.patch(kind.path(kind.isNamespaced ? "default" : ""), name: name, type: .merge, body)
  }

  /// What kubelets do: pods get a node, an address, and become ready; deleted ones go.
  func playKubelets() async {
    var address = 1
    while !Task.isCancelled {
      for pod in (try? await all(.pod)) ?? [] {
        let name = pod["metadata"]["name"].string ?? ""
        if !pod["metadata"]["deletionTimestamp"].isNull {
          _ = try? await client.delete(.pods("default"), name: name, gracePeriodSeconds: 0, uid: pod["metadata"]["uid"].string)
        } else if pod["spec"]["nodeName"].isNull {
          _ = try? await client.create(
            .pods("default"),
            ["kind": "Binding", "apiVersion": "v1", "metadata": ["name": .string(name)], "target": ["kind": "Node", "name": "n1"]],
            name: name, subresource: "binding")
        } else if pod["status"]["phase"].string == "Pending" {
          address += 1
          let ip = "10.244.0.\(address % 250)"
          let now = Timestamp.now.rfc3339
          _ = try? await client.patch(
            .pods("default"), name: name, subresource: "status",
            [
              "status": [
                "phase": "Running", "podIP": .string(ip), "podIPs": [["ip": .string(ip)]],
                "conditions": [
                  ["type": "Ready", "status": "True", "lastTransitionTime": .string(now)],
                  ["type": "ContainersReady", "status": "True", "lastTransitionTime": .string(now)],
                ],
              ]
            ])
        }
      }
      try? await Task.sleep(for: .milliseconds(20))
    }
  }
}

func withKubelets(_ cluster: TestCluster, _ body: @escaping @Sendable () async throws -> Void) async throws {
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { await cluster.playKubelets() }
    try await body()
    group.cancelAll()
  }
}

func container(_ image: String = "nginx:1", labels: JSON = ["app": "web"], restartPolicy: String? = nil) -> JSON {
  [
    "metadata": ["labels": labels],
    "spec": [
      "restartPolicy": JSON(restartPolicy),
      "containers": [["name": "c", "image": .string(image), "ports": [["name": "http", "containerPort": 80]]]],
    ],
  ]
}
