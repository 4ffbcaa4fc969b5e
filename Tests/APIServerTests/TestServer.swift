import APIMachinery
import JSONCodec
import KubernetesClient
import Logging
import NIOPosix
import RevisionStore
import SystemPackage

@testable import APIServer

#if canImport(Glibc)
  import Glibc
#endif

/// The real server over a database of its own in a folder that goes with it; requests are made in this process.
final class TestServer: Sendable {
  let server: APIServer
  private let store: SQLiteRevisionStore
  let directory: FilePath

  private init(directory: FilePath) throws {
    self.directory = directory
    try PrivateDirectory.make(directory.appending("pki"))
    store = try SQLiteRevisionStore(path: directory.appending("state.db").string, logger: Logger(label: "test"))
    let group = MultiThreadedEventLoopGroup.singleton
    let authority = try CertificateAuthority(directory: directory.appending("pki"))
    let credential = try authority.client(user: "kube-apiserver-kubelet-client", groups: ["system:masters"])
    let kubelets = try KubeletConnections(credential: credential, authority: authority.certificatePEM, group: group)
    server = try APIServer(
      configuration: APIServerConfiguration(
        dataDirectory: directory, serviceCIDR: "10.96.0.0/24", podCIDR: "10.244.0.0/16", authorityPEM: authority.certificatePEM),
      store: store, kubelets: kubelets, group: group, log: Logger(label: "test"))
  }

  /// Runs a body against a server that has its namespaces and nothing else.
  static func with(_ body: (TestServer) async throws -> Void) async throws {
    var template = Array("/tmp/swiftlet-api.XXXXXX".utf8CString)
    let directory = FilePath(String(cString: mkdtemp(&template)!))
    defer { PrivateDirectory.remove(directory) }
    let test = try TestServer(directory: directory)
    do {
      try await test.server.bootstrapObjects()
      try await body(test)
    } catch {
      await test.close()
      throw error
    }
    await test.close()
  }

  private func close() async {
    await server.shutdown()
    try? await store.close()
  }

  /// A request of an administrator, answered with the status and the body.
  func call(
    _ method: String, _ path: String, query: [(name: String, value: String)] = [], contentType: String = "application/json",
    _ body: JSON? = nil
  ) async throws -> (status: Int, body: JSON) {
    let transport = LocalTransport(server: server, user: UserInfo(name: "admin", groups: ["system:masters", "system:authenticated"]))
    let answer = try await transport.send(APIRequest(method, path, query: query, contentType: contentType, body: body))
    return (answer.status, answer.body)
  }
}
