import APIServer
import CgroupV2
import ContainerImages
import ContainerRuntime
import HTTPServing
import JSONCodec
import Kubelet
import KubernetesAPI
import KubernetesClient
import Logging
import NIOPosix
import NetworkPolicies
import PodNetwork
import SystemPackage

/// A node of one process: images, runtime, network and the kubelet with its endpoints.
struct NodeRole {
  /// Seconds to wait for the cluster to give the node its range of pod addresses.
  static let rangeSecondsMax = 30.0

  let paths: PathOptions
  let options: NodeOptions
  let client: KubernetesClient
  /// As whom services are followed; the node itself may not read endpoint slices.
  let servicesClient: KubernetesClient
  /// The certificate of the node's endpoint, and who vouches for its callers (PEM).
  let serving: Credential
  let callerAuthority: String
  let group: MultiThreadedEventLoopGroup
  let log: Logger
  /// Later certificates of the endpoint.
  var servingChanges: AsyncStream<Credential>?

  var nodeName: String { options.nodeName ?? Machine.hostname }
  var nodeAddress: String { options.nodeIP ?? Machine.address }

  /// The controllers that cgroup v2 lacks here. Throws where that was not allowed.
  static func missingControllers(_ options: NodeOptions) throws -> [String] {
    let missing = MachineChecks.controllers(root: options.cgroupRoot).filter { $0.state == .missing }.map {
      String($0.name.dropFirst("cgroup ".count))
    }
    let names = missing == ["v2"] ? CgroupHierarchy.needed : missing
    guard names.isEmpty || options.allowMissingControllers else {
      throw StartFailure(
        "cgroup v2 lacks the \(names.joined(separator: ", ")) controller\(names.count == 1 ? "" : "s") on this machine, so limits of pods could not be enforced. Boot with systemd.unified_cgroup_hierarchy=1 (or cgroup_no_v1=all), or run with --allow-missing-controllers; `swiftlet check` tells more."
      )
    }
    return names
  }

  /// Runs until the task is cancelled; pods go on running.
  func run(onReady: @escaping @Sendable () -> Void) async throws {
    _ = try Self.missingControllers(options)
    for directory in [paths.data, paths.run, FilePath(paths.logDirectory)] { try makeDirectory(directory.string) }
    let images = try await ImageStore(directory: paths.data.appending("images"), configuration: try registryConfiguration())
    let runtime = try await ContainerRuntime(
      configuration: RuntimeConfiguration(
        supervisorPath: FilePath(Machine.programDirectory).appending("swiftlet-pod"), runDirectory: paths.run,
        stateDirectory: paths.data.appending("runtime"), cgroupRoot: options.cgroupRoot.map { FilePath($0) },
        allowMissingControllers: options.allowMissingControllers, singleProcessOOMKill: options.singleProcessOOMKill))
    let recovered = try await runtime.recover()
    if !recovered.isEmpty { log.info("took over \(recovered.count) pods that were running") }

    let configuration = kubeletConfiguration(runtime.missingControllers)
    let events = EventRecorder(client: client, nodeName: nodeName, log: log)
    let agent = NodeAgent(configuration: configuration, client: client, events: events, clock: .system, log: log) {
      await images.list().map { (names: $0.names, bytes: $0.size) }
    }
    let network = try await startNetwork(agent, live: Set(recovered.map(\.id)))
    let peers = try await NodeNetwork(role: self, agent: agent, network: network).start()
    let (volumes, environments) = makeVolumes(configuration, agent, events)
    let adapter = RuntimeAdapter(runtime: runtime)
    let policies = PolicyEnforcer(NodeServices.policies(nodeName: nodeName, options: options), client: servicesClient, log: log)
    let services = try NodeServices(role: self, peers: peers)
    let kubelet = Kubelet(
      nodeAgent: agent, client: client, events: events, runtime: adapter, recovered: recovered, hooks: adapter.hooks,
      images: ImagesAdapter(store: images), network: NetworkAdapter(network: network, policies: policies), volumes: volumes,
      environments: environments, endpoints: EndpointsAdapter(proxy: services.proxy), group: group, log: log)
    let (endpoint, servers) = try await startServers(kubelet, images)
    onReady()
    do {
      try await Role.together([
        { try await kubelet.run() }, { try await services.run() }, { await policies.run() },
        { try await peers?.run(client: servicesClient) }, { try await followCertificates(endpoint) },
      ])
    } catch is CancellationError {
    }
    await Task {
      for server in servers { await server.stop() }
      network.close()
    }.value
  }

  private func kubeletConfiguration(_ missing: [String]) -> KubeletConfiguration {
    var configuration = KubeletConfiguration(
      nodeName: nodeName, addresses: [nodeAddress], version: APIServer.version["gitVersion"].string ?? "", dataDirectory: paths.data,
      logDirectory: FilePath(paths.logDirectory), staticPodDirectory: options.staticPodDirectory.map { FilePath($0) },
      port: options.kubeletPort,
      clusterDNS: [options.clusterDNS ?? NodeServices.dnsAddress(serviceCIDR: options.serviceCIDR)].compactMap { $0 },
      clusterDomain: options.clusterDomain,
      maxPods: options.maxPods, podPidsLimit: options.podPidsLimit, missingControllers: missing)
    if options.cloudProvider == .external { configuration.cloud = KubeletConfiguration.ExternalCloud(nodeIP: options.nodeIP) }
    return configuration
  }

  private func makeVolumes(_ configuration: KubeletConfiguration, _ agent: NodeAgent, _ events: EventRecorder) -> (
    any PodVolumes, any PodEnvironments
  ) {
    let objects = WatchedObjects(client: client)
    let allocatable: @Sendable () -> [String: Quantity] = {
      (agent.node?["status"]["allocatable"].object ?? JSONObject()).reduce(into: [:]) { $0[$1.0] = $1.1.quantity }
    }
    var settings = VolumeManager.Settings(
      dataDirectory: paths.data, clusterDNS: configuration.clusterDNS, clusterDomain: configuration.clusterDomain,
      hostIPs: configuration.addresses, nodeHostname: nodeName, allocatable: allocatable)
    settings.nodeLabels = { agent.node?["metadata"]["labels"] ?? .null }
    settings.report = { pod, reason, message in events.record(pod, .warning, reason, message) }
    return (
      VolumeManager(settings: settings, objects: objects, log: log),
      ContainerEnvironment(objects: objects, services: WatchedServices(client: client), allocatable: allocatable)
    )
  }

  private func registryConfiguration() throws -> RegistryConfiguration {
    guard let path = options.registryConfig else { return RegistryConfiguration() }
    return try RegistryConfigFile.read(path)
  }

  /// Registers the node and starts the network on the range that the cluster gave it.
  private func startNetwork(_ agent: NodeAgent, live: Set<String>) async throws -> PodNetwork {
    var range = Node(try await agent.register()).podCIDR
    let deadline = Timestamp.now.advanced(bySeconds: Self.rangeSecondsMax)
    if range.isEmpty {
      for await event in client.reflect(.nodes, fieldSelector: "metadata.name=\(nodeName)", log: log) {
        if case .changed(let node) = event { range = Node(node).podCIDR }
        if case .synced(let nodes) = event, let node = nodes.first { range = Node(node).podCIDR }
        if !range.isEmpty || Timestamp.now > deadline { break }
      }
    }
    try Task.checkCancellation()
    guard !range.isEmpty else {
      throw StartFailure(
        "the cluster gave node \(nodeName) no range of pod addresses (spec.podCIDR) within \(Int(Self.rangeSecondsMax)) s; start its controllers, or set it with kubectl patch node"
      )
    }
    if let cluster = IPv4Range(options.podCIDR), let own = IPv4Range(range), !cluster.contains(own) {
      throw StartFailure(
        "the cluster gave node \(nodeName) the pod addresses \(range), which are not among --pod-cidr \(options.podCIDR). "
          + "Start the node with the --pod-cidr of its cluster."
      )
    }
    let network = try PodNetwork(
      PodNetworkSettings.configuration(
        paths, interfacePrefix: options.interfacePrefix, podCIDR: range, clusterCIDR: options.podCIDR))
    try network.start()
    try await network.recover(live: live)
    log.info("pods of this node get addresses of \(range)")
    return network
  }

  private func tls(_ serving: Credential) throws -> ServerTLS {
    try ServerTLS(
      certificateChainPEM: Array(serving.certificatePEM.utf8), privateKeyPEM: Array(serving.keyPEM.utf8),
      clientAuthoritiesPEM: Array(callerAuthority.utf8))
  }

  private func followCertificates(_ endpoint: KubeletServer) async throws {
    guard let servingChanges else { return }
    for await serving in servingChanges { try endpoint.replace(tls: try tls(serving)) }
  }

  private func startServers(_ kubelet: Kubelet, _ images: ImageStore) async throws -> (KubeletServer, [any StoppableServer]) {
    let tls = try tls(serving)
    let access = DelegatedAccess(client: client, nodeName: nodeName, log: log)
    let endpoint = KubeletServer(
      configuration: KubeletServerConfiguration(
        address: .tcp(host: "0.0.0.0", port: options.kubeletPort), tls: tls, nodeName: nodeName,
        authenticator: access.authenticator, authorizer: access.authorizer), backend: kubelet, group: group, log: log)
    do {
      try await endpoint.start()
    } catch {
      throw Preflight.cannotListen("the node's endpoint", "0.0.0.0", options.kubeletPort, error, "--kubelet-port")
    }
    let tools = AgentSocket(path: paths.agentSocket.string, kubelet: kubelet, images: images, group: group, log: log)
    try await tools.start()
    return (endpoint, [endpoint, tools])
  }
}

protocol StoppableServer: Sendable {
  func stop() async
}

extension KubeletServer: StoppableServer {}

/// How this instance's network is told from others on the machine.
enum PodNetworkSettings {
  static func configuration(
    _ paths: PathOptions, interfacePrefix: String, podCIDR: String, clusterCIDR: String
  ) -> PodNetworkConfiguration {
    PodNetworkConfiguration(
      stateDirectory: paths.data.appending("network"), interfacePrefix: interfacePrefix,
      tableName: interfacePrefix == "swl" ? "swiftlet" : "swiftlet-\(interfacePrefix)", podCIDR: podCIDR, clusterCIDR: clusterCIDR)
  }
}
