import APIMachinery
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
  let registry: SchemaRegistry
  let authentication: Authentication
  let tokens: ServiceAccountTokens
  let kubelets: KubeletConnections
  let group: any EventLoopGroup
  let configuration: APIServerConfiguration
  let discovery: Discovery
  let metrics = ServerMetrics()
  let log: Logger

  package init(
    configuration: APIServerConfiguration, store: any RevisionStore, kubelets: KubeletConnections, group: any EventLoopGroup,
    log: Logger
  ) throws {
    self.configuration = configuration
    self.kubelets = kubelets
    self.group = group
    self.log = log
    registry = .shared
    resources = Resources(
      store: store, registry: registry, admission: Admission(), serviceRange: IPv4Range(configuration.serviceCIDR), log: log)
    tokens = try ServiceAccountTokens(directory: configuration.dataDirectory.appending("pki"))
    authentication = Authentication(tokens: tokens)
    discovery = Discovery(registry: registry)
  }

  /// Mends what a process that ended at any moment may have left half done. To be called before the first request.
  package func recover() async throws { try await ServiceAddresses.releaseAbandoned(resources) }

  /// The loops that a cluster cannot do without: they run until the task is cancelled.
  package func runControllers() async throws {
    try await bootstrapObjects()
    await withTaskGroup(of: Void.self) { group in
      let client = KubernetesClient(transport: LocalTransport(server: self, user: .controlPlane))
      group.addTask { await NamespaceController(client: client, server: self).run() }
      group.addTask { await EventExpiry(resources: self.resources).run() }
      group.addTask { await NodeRangeController(client: client, range: self.configuration.podCIDR, log: self.log).run() }
    }
  }

  /// Closes the connections to kubelets.
  package func shutdown() async { try? await kubelets.http.shutdown() }

  /// A transport for a role in this process: no TLS, no JSON text.
  package func transport(user name: String, groups: [String]) -> any APITransport {
    LocalTransport(server: self, user: UserInfo(name: name, groups: groups + ["system:authenticated"]))
  }
}
