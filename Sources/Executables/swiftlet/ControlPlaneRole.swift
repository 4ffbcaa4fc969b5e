import APIServer
import ControllerManager
import HTTPServing
import JSONCodec
import KubernetesClient
import Logging
import NIOPosix
import RevisionStore
import Scheduler
import Scheduling
import SystemPackage

/// The control plane of one process: store, API server, scheduler and the controllers that a cluster cannot do without.
struct ControlPlaneRole {
  let server: APIServer
  let identity: Identity
  private let http: HTTPServer
  private let store: SQLiteRevisionStore
  private let log: Logger
  private let scheduling: SchedulerConfiguration
  /// By which name this process leads scheduling and controllers; nil: nobody else could.
  private let leader: String?
  /// A cloud-controller-manager outside makes load balancers.
  private let hasExternalCloud: Bool
  let port: Int
  private let clusterServices: @Sendable (KubernetesClient) -> ClusterServices
  /// How the API server is reached, such as `https://10.0.0.1:6443`.
  let url: String

  init(
    paths: PathOptions, options: ServerOptions, node: NodeOptions, nodeAddress: String, leader: String? = nil,
    group: MultiThreadedEventLoopGroup, log: Logger
  ) async throws {
    self.log = log
    self.leader = leader
    hasExternalCloud = node.cloudProvider == .external
    scheduling = try options.schedulerConfiguration()
    let advertised = options.advertiseAddress ?? nodeAddress
    let serviceAddress = IPv4Range(node.serviceCIDR)?.address(at: 1) ?? ""
    let names = [
      "localhost", Machine.hostname, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
    ]
    let addresses = Array(Set(["127.0.0.1", "::1", nodeAddress, advertised, serviceAddress])).sorted()
    identity = try Identity(data: paths.data, names: names, addresses: addresses)
    store = try Self.openStore(paths.data.appending("state.db"), log: log)
    let visible = try await Self.encrypted(store, options, log)
    var configuration = APIServerConfiguration(
      dataDirectory: paths.data, serviceCIDR: node.serviceCIDR, podCIDR: node.podCIDR, authorityPEM: identity.authority.certificatePEM)
    configuration.frontProxyAuthorityPEM = identity.frontProxyAuthority.certificatePEM
    let frontProxy = try identity.frontProxyAuthority.client(user: "front-proxy-client", groups: [])
    configuration.setFrontProxyIdentity(certificatePEM: frontProxy.certificatePEM, keyPEM: frontProxy.keyPEM)
    configuration.signingAuthority = identity.authority
    configuration.certificateSeconds = options.nodeCertificateTTL.seconds
    configuration.ownNames = Set(names)
    configuration.ownAddresses = Set(addresses.compactMap { Machine.addressBytes($0) })
    configuration.auditLog = try options.auditLogPath.map {
      try AuditLog(path: FilePath($0), policyFile: options.auditPolicyFile.map { FilePath($0) }, log: log)
    }
    let kubelets = try KubeletConnections(
      credential: identity.kubeletClient, authority: identity.authority.certificatePEM, group: group)
    server = try APIServer(
      configuration: configuration, store: visible, kubelets: kubelets, group: group, log: log)
    let tls = try ServerTLS(
      certificateChainPEM: Array(identity.server.certificatePEM.utf8), privateKeyPEM: Array(identity.server.keyPEM.utf8),
      clientAuthoritiesPEM: Array((identity.authority.certificatePEM + identity.frontProxyAuthority.certificatePEM).utf8))
    let api = server
    var serving = HTTPServerConfiguration(address: .tcp(host: options.listen.host, port: options.listen.port), tls: tls)
    serving.refusal = APIServer.refusal
    http = HTTPServer(configuration: serving, group: group) { await api.serve($0) }
    do {
      try await server.recover()
    } catch {
      throw StartFailure("the database cannot be read: \(error)")
    }
    do {
      port = try await http.start()
    } catch {
      try? await store.close()
      throw Preflight.cannotListen("the API server", options.listen.host, options.listen.port, error, "--listen")
    }
    let dnsAddress = NodeServices.dnsAddress(serviceCIDR: node.serviceCIDR)
    clusterServices = { [port] in
      ClusterServices(client: $0, server: (advertised, port), dnsAddress: dnsAddress, log: log)
    }
    let host = advertised.contains(":") ? "[\(advertised)]" : advertised
    url = "https://\(host):\(port)"
    try identity.writeKubeconfig(options.kubeconfig, server: url)
    log.info("API server listens on \(options.listen.host):\(port)")
  }

  /// The store as the API server sees it: where a file says so, objects are encrypted below.
  private static func encrypted(_ store: SQLiteRevisionStore, _ options: ServerOptions, _ log: Logger) async throws -> any RevisionStore {
    let keys = try options.encryptionKeyFile.map { try SecretKeys(file: FilePath($0)) }
    let rules: EncryptionRules
    if let path = options.encryptionProviderConfig {
      let configured = try EncryptionConfiguration.rules(file: FilePath(path))
      rules = keys.map { configured.reading($0) } ?? configured
    } else if let keys, let path = options.encryptionKeyFile {
      rules = EncryptionRules(keys: keys, path: path)
    } else {
      return store
    }
    let encrypted = EncryptedStore(store, rules: rules)
    do {
      let count = try await encrypted.encryptAll()
      if count > 0 { log.info("wrote \(count) objects anew, with the key that is first in \(rules.path)") }
    } catch let error as RevisionStoreError {
      throw StartFailure("the database cannot be read: \(error.message)")
    }
    return encrypted
  }

  private static func openStore(_ path: FilePath, log: Logger) throws -> SQLiteRevisionStore {
    do {
      return try SQLiteRevisionStore(path: path.string, logger: log)
    } catch let error as RevisionStoreError {
      throw StartFailure("the database cannot be opened: \(error.message)")
    }
  }

  /// Runs the loops until the task is cancelled, then closes everything in order. Throws where the controllers cannot go on: without
  /// them a cluster only seems to live.
  func run() async throws {
    let client = KubernetesClient(transport: server.transport(user: "system:kube-scheduler", groups: ["system:masters"]))
    let failure = await withTaskGroup(of: (any Error)?.self) { group -> (any Error)? in
      group.addTask {
        do {
          try await server.runControllers()
        } catch is CancellationError {
        } catch {
          return Task.isCancelled ? nil : error
        }
        return nil
      }
      group.addTask {
        await clusterServices(client).ensure()
        return nil
      }
      group.addTask {
        let signer = KubernetesClient(transport: server.transport(user: "system:bootstrap-signer", groups: ["system:masters"]))
        await BootstrapSigner(client: signer, server: url, authorityPEM: identity.authority.certificatePEM, log: log).run()
        return nil
      }
      group.addTask {
        await PodScheduler(client: client, identity: leader, configuration: scheduling, log: log).run()
        return nil
      }
      let manager = server.transport(user: "system:kube-controller-manager", groups: ["system:masters"])
      group.addTask {
        await ControllerManager(
          client: KubernetesClient(transport: manager), identity: leader,
          reconcilers: hasExternalCloud ? ControllerManager.withExternalCloud : ControllerManager.standard, log: log
        ).run()
        return nil
      }
      for await failure in group {
        guard let failure else { continue }
        group.cancelAll()
        return failure
      }
      return nil
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
    if let failure { throw StartFailure("the controllers cannot go on: \(failure)") }
  }
}
