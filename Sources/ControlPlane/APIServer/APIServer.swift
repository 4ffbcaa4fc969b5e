import APIMachinery
import Admission
import HTTPServing
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import NIOCore
import RevisionStore
import SystemPackage

/// What an API server is started with.
package struct APIServerConfiguration: Sendable {
  /// Keys live in `<data-dir>/pki`.
  package var dataDirectory: FilePath
  /// Where cluster addresses of Services come from, such as 10.96.0.0/16.
  package var serviceCIDR: String
  /// Where nodes' pod ranges come from, such as 10.244.0.0/16.
  package var podCIDR: String
  /// The CA's certificate in PEM, for pods.
  package var authorityPEM: String
  /// The certificate of the authority whose clients say in headers whom they act for; nil: nobody's word is taken.
  package var frontProxyAuthorityPEM: String?
  /// How this server shows to the servers behind it that it may speak for users.
  var frontProxyIdentity: BackendClients.ClientIdentity?
  /// Seconds that certificates live at most that the authority signs for requests.
  package var certificateSeconds = CertificateAuthority.requestSecondsMax
  /// Names and addresses of this server: no node gets a certificate in which they stand.
  package var ownNames: Set<String> = []
  package var ownAddresses: Set<[UInt8]> = []
  /// Signs certificates that CertificateSigningRequests ask for; nil: nobody does here.
  package var signingAuthority: CertificateAuthority?
  /// Where requests over HTTP are written down; nil: nowhere. Calls within the process are not.
  package var auditLog: AuditLog?
  /// Requests that are handled at a time, beside exempt ones and streams: as upstream's two limits together.
  package var requestsMax = 600
  /// A node's `/stats/summary`; nil: its kubelet is asked.
  var nodeSummary: (@Sendable (_ node: String) async throws -> JSON)?

  package mutating func setFrontProxyIdentity(certificatePEM: String, keyPEM: String) {
    frontProxyIdentity = BackendClients.ClientIdentity(certificate: Array(certificatePEM.utf8), key: Array(keyPEM.utf8))
  }

  package init(dataDirectory: FilePath, serviceCIDR: String, podCIDR: String, authorityPEM: String) {
    self.dataDirectory = dataDirectory
    self.serviceCIDR = serviceCIDR
    self.podCIDR = podCIDR
    self.authorityPEM = authorityPEM
  }
}

/// The Kubernetes API over one store. It answers HTTP requests and, with the same code, calls in this process.
package final class APIServer: Sendable {
  let resources: Resources
  var access: AccessControl { resources.access }
  let authentication: Authentication
  let frontProxy: FrontProxy?
  let tokens: ServiceAccountTokens
  let kubelets: KubeletConnections
  let backends: BackendClients
  let group: any EventLoopGroup
  let configuration: APIServerConfiguration
  let metrics = ServerMetrics()
  /// Where requests wait for their turn.
  let flow: FlowGate
  let listSizes = ListSizes()
  /// What nodes and pods use.
  let usage: UsageReader
  let log: Logger

  package init(
    configuration: APIServerConfiguration, store: any RevisionStore, kubelets: KubeletConnections, group: any EventLoopGroup,
    log: Logger
  ) throws {
    self.configuration = configuration
    self.kubelets = kubelets
    self.group = group
    self.log = log
    backends = BackendClients(group: group)
    flow = FlowGate(seats: configuration.requestsMax)
    resources = Resources(
      store: store, catalog: ResourceCatalog(SchemaRegistry.shared.adding([], hooks: Self.ruleHooks)), plugins: Self.plugins,
      serviceRange: IPv4Range(configuration.serviceCIDR),
      backends: backends, log: log)
    let resources = resources
    let ask = configuration.nodeSummary ?? { try await MetricsAPI.summary(of: $0, resources, kubelets) }
    usage = UsageReader(fetch: ask)
    tokens = try ServiceAccountTokens(directory: configuration.dataDirectory.appending("pki"))
    frontProxy = try configuration.frontProxyAuthorityPEM.map { try FrontProxy(authorityPEM: $0) }
    authentication = Authentication(tokens: tokens, resources: resources, frontProxy: frontProxy)
  }

  var registry: SchemaRegistry { resources.registry }
  var discovery: Discovery { resources.catalog.discovery }

  /// Mends what a process that ended at any moment may have left half done. To be called before the first request: later, a claim
  /// without its Service belongs to a creation under way.
  package func recover() async throws {
    try await ServiceAddresses.repair(resources)
    let prefix = ResourceRequest.prefix(resources.resource("nodes"), namespace: nil)
    try await resources.revocations.load { name in
      guard let stored = try await self.resources.store.get(prefix + name, at: nil) else { return nil }
      let metadata = try self.resources.decoded.object(stored)["metadata"]
      return metadata["deletionTimestamp"].isNull ? metadata["uid"].string : nil
    }
  }

  /// The loops that a cluster cannot do without: they run until the task is cancelled.
  package func runControllers() async throws {
    try await bootstrapObjects()
    try await reconcileDefaultRoles()
    try await publishAuthentication()
    let definitions = DefinitionController(resources: resources, hooks: Self.ruleHooks)
    try await definitions.load()
    await withTaskGroup(of: Void.self) { group in
      let client = KubernetesClient(transport: LocalTransport(server: self, user: .controlPlane))
      group.addTask { await NamespaceController(client: client, server: self).run() }
      group.addTask { await self.resources.webhooks.mutating.run() }
      group.addTask { await self.resources.webhooks.validating.run() }
      group.addTask { await self.resources.policies.run(self.resources) }
      group.addTask { await definitions.run() }
      group.addTask { await StorageMigrationController(resources: self.resources).run() }
      group.addTask { await AggregationController(server: self).run() }
      group.addTask { await FlowController(server: self, client: client).run() }
      group.addTask { await QuotaController(resources: self.resources).run() }
      group.addTask { await self.runRoleAggregation() }
      if let authority = self.configuration.signingAuthority {
        group.addTask {
          await CertificateController(
            client: client, authority: authority, access: self.access, revocations: self.resources.revocations,
            servingRules: ServingRules(ownNames: self.configuration.ownNames, ownAddresses: self.configuration.ownAddresses),
            secondsMax: self.configuration.certificateSeconds, log: self.log
          ).run()
        }
      }
      group.addTask {
        await TokenSecretController(
          client: client, tokens: self.tokens, authorityPEM: self.configuration.authorityPEM, log: self.log
        ).run()
      }
      group.addTask { await CredentialExpiry(client: client, log: self.log).run() }
      group.addTask { await ServiceRangeController(client: client, log: self.log).run() }
      group.addTask { await PolicyRightsController(client: client, log: self.log).run() }
      group.addTask { await EventExpiry(resources: self.resources).run() }
      group.addTask { await NodeRangeController(client: client, range: self.configuration.podCIDR, log: self.log).run() }
    }
  }

  /// Finalizers and taints that a controller takes away are only set where it does.
  // Unlike upstream: a VolumeAttributesClass in use is not protected, since nothing here modifies volumes.
  private static var plugins: AdmissionChain {
    var settings = AdmissionSettings()
    settings.protectedKinds = ["PersistentVolume", "PersistentVolumeClaim"]
    return AdmissionChain(settings)
  }

  /// Closes the connections to kubelets and to programs in the cluster.
  package func shutdown() async {
    access.index.stop()
    try? await kubelets.http.shutdown()
    await backends.shutdown()
  }

  /// A transport for a role in this process: no TLS, no JSON text.
  package func transport(user name: String, groups: [String]) -> any APITransport {
    LocalTransport(server: self, user: UserInfo(name: name, groups: groups + ["system:authenticated"]))
  }
}
