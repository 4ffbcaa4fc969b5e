import APIServer
import ControllerManager
import HTTPServing
import JSONCodec
import KubernetesClient
import Logging
import NIOPosix
import RevisionStore
import Scheduler
import SystemPackage

/// The control plane of one process: store, API server, scheduler and the controllers that a cluster cannot do without.
struct ControlPlaneRole {
  let server: APIServer
  let identity: Identity
  private let http: HTTPServer
  private let store: SQLiteRevisionStore
  private let log: Logger
  let port: Int

  init(
    paths: PathOptions, options: ServerOptions, node: NodeOptions, nodeAddress: String, group: MultiThreadedEventLoopGroup, log: Logger
  ) async throws {
    self.log = log
    let advertised = options.advertiseAddress ?? nodeAddress
    let serviceAddress = IPv4RangeText.firstAddress(node.serviceCIDR)
    guard let serviceAddress else { throw StartFailure("--service-cidr \(node.serviceCIDR) is no IPv4 range such as 10.96.0.0/16") }
    guard IPv4RangeText.firstAddress(node.podCIDR) != nil else {
      throw StartFailure("--pod-cidr \(node.podCIDR) is no IPv4 range such as 10.244.0.0/16")
    }
    identity = try Identity(
      data: paths.data,
      names: [
        "localhost", Machine.hostname, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
      ],
      addresses: Array(Set(["127.0.0.1", "::1", nodeAddress, advertised, serviceAddress])).sorted())
    store = try Self.openStore(paths.data.appending("state.db"), log: log)
    var configuration = APIServerConfiguration(
      dataDirectory: paths.data, serviceCIDR: node.serviceCIDR, podCIDR: node.podCIDR, authorityPEM: identity.authority.certificatePEM)
    configuration.frontProxyAuthorityPEM = identity.frontProxyAuthority.certificatePEM
    configuration.signingAuthority = identity.authority
    guard options.auditLogPath != nil || options.auditPolicyFile == nil else {
      throw StartFailure("--audit-policy-file needs --audit-log-path, where the events go")
    }
    configuration.auditLog = try options.auditLogPath.map {
      try AuditLog(path: FilePath($0), policyFile: options.auditPolicyFile.map { FilePath($0) }, log: log)
    }
    let kubelets = try KubeletConnections(
      credential: identity.kubeletClient, authority: identity.authority.certificatePEM, group: group)
    server = try APIServer(configuration: configuration, store: try await Self.encrypted(store, options, log), kubelets: kubelets, group: group, log: log)
    let tls = try ServerTLS(
      certificateChainPEM: Array(identity.server.certificatePEM.utf8), privateKeyPEM: Array(identity.server.keyPEM.utf8),
      clientAuthoritiesPEM: Array((identity.authority.certificatePEM + identity.frontProxyAuthority.certificatePEM).utf8))
    let api = server
    var serving = HTTPServerConfiguration(address: .tcp(host: options.listen.host, port: options.listen.port), tls: tls)
    serving.refusal = APIServer.refusal
    http = HTTPServer(configuration: serving, group: group) { await api.serve($0) }
    do {
      port = try await http.start()
    } catch {
      try? await store.close()
      throw StartFailure(
        "the API server cannot listen on \(options.listen.host):\(options.listen.port): \(error). See what listens there with `ss -ltnp 'sport = :\(options.listen.port)'`, or choose another with --listen."
      )
    }
    let host = advertised.contains(":") ? "[\(advertised)]" : advertised
    try identity.writeKubeconfig(options.kubeconfig, server: "https://\(host):\(port)")
    log.info("API server listens on \(options.listen.host):\(port)")
  }

  /// The store as the API server sees it: where there is a key file, Secrets are encrypted below.
  private static func encrypted(_ store: SQLiteRevisionStore, _ options: ServerOptions, _ log: Logger) async throws -> any RevisionStore {
    guard let path = options.encryptionKeyFile else { return store }
    let encrypted = EncryptedStore(store, keys: try SecretKeys(file: FilePath(path)))
    let count = try await encrypted.encryptAll()
    if count > 0 { log.info("encrypted \(count) Secrets anew with the first key of \(path)") }
    return encrypted
  }

  private static func openStore(_ path: FilePath, log: Logger) throws -> SQLiteRevisionStore {
    do {
      return try SQLiteRevisionStore(path: path.string, logger: log)
    } catch let error as RevisionStoreError {
      throw StartFailure("the database \(path) cannot be opened: \(error.message)")
    }
  }

  /// Runs the loops until the task is cancelled, then closes everything in order.
  func run() async {
    let client = KubernetesClient(transport: server.transport(user: "system:kube-scheduler", groups: ["system:masters"]))
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        do {
          try await server.runControllers()
        } catch is CancellationError {
        } catch {
          log.error("the controllers ended: \(error)")
        }
      }
      group.addTask { await PodScheduler(client: client, log: log).run() }
      // The database belongs to this process alone: nobody else could lead.
      let manager = server.transport(user: "system:kube-controller-manager", groups: ["system:masters"])
      group.addTask { await ControllerManager(client: KubernetesClient(transport: manager), log: log).run() }
    }
    // The role's task is cancelled by now; closing is not.
    await Task {
      await http.stop()
      await server.shutdown()
      do {
        try await store.close()
      } catch {
        log.error("the database was not closed cleanly: \(error)")
      }
    }.value
  }
}

/// The little of an address range that options need.
enum IPv4RangeText {
  /// The first usable address of `a.b.c.d/n`; nil where it is none.
  static func firstAddress(_ text: String) -> String? { IPv4Range(text)?.address(at: 1) }
}
