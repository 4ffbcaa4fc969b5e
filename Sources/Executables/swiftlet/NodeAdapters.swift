import ContainerImages
import ContainerRuntime
import JSONCodec
import Kubelet
import KubernetesAPI
import LinuxKernel
import NetworkPolicies
import PodLifecycle
import PodNetwork
import PolicyRules
import ServiceProxy
import SystemPackage

/// The container runtime as the kubelet's pod workers use it.
struct RuntimeAdapter: PodRuntime {
  let runtime: ContainerRuntime

  func createSandbox(_ spec: SandboxSpec) async throws { _ = try await runtime.createSandbox(spec) }
  func networkNamespace(of sandbox: String) throws -> OwnedDescriptor { try runtime.networkNamespace(of: sandbox) }
  func startContainer(_ spec: ContainerSpec, in sandbox: String) async throws -> ContainerState {
    try await runtime.startContainer(spec, in: sandbox)
  }
  func signalContainer(_ id: String, in sandbox: String, signal: Int32) async throws {
    try await runtime.signalContainer(id, in: sandbox, signal: signal)
  }
  func run(_ argv: [String], container: String, in sandbox: String, outputMax: Int) async throws -> CommandResult {
    let result = try await runtime.run(argv, container: container, in: sandbox, outputMax: outputMax)
    return CommandResult(exitCode: result.exitCode, output: result.output)
  }
  func resize(sandbox: String, pod: ResourceLimits, containers: [String: ResourceLimits]) async throws {
    try await runtime.resize(sandbox: sandbox, pod: pod, containers: containers)
  }
  func writableDirectories(of sandbox: String) -> [String: FilePath] { runtime.writableDirectories(of: sandbox) }
  func removeContainer(_ id: String, in sandbox: String) async throws { try await runtime.removeContainer(id, in: sandbox) }
  func removeSandbox(_ id: String) async throws { try await runtime.removeSandbox(id) }

  /// What the kubelet's server needs beside a pod's life.
  var hooks: Kubelet.RuntimeHooks {
    let runtime = runtime
    return Kubelet.RuntimeHooks(
      events: runtime.events,
      exec: { command, options, container, sandbox in
        try await Self.exec(runtime, command, options, container, sandbox)
      },
      attach: { options, container, sandbox in
        try await Self.attach(runtime, options, container, sandbox)
      },
      statistics: { sandbox in await Self.statistics(runtime, sandbox) })
  }

  private static func shared(_ owned: consuming OwnedDescriptor?) -> SharedDescriptor? {
    guard let owned else { return nil }
    return SharedDescriptor(owned)
  }

  private static func exec(
    _ runtime: ContainerRuntime, _ command: [String], _ options: StreamOptions, _ container: String, _ sandbox: String
  ) async throws -> ProcessIO {
    var spec = ExecSpec(argv: command, stdin: options.stdin, tty: options.tty)
    spec.rows = options.size?.rows ?? 0
    spec.columns = options.size?.columns ?? 0
    let session = try await runtime.exec(spec, container: container, in: sandbox)
    let terminal = options.tty ? shared(try session.terminalDescriptor()) : nil
    return ProcessIO(
      takeInput: {
        guard options.stdin else { return nil }
        return options.tty ? try? session.terminalDescriptor() : session.takeInput()
      },
      output: terminal ?? shared(session.takeOutput()),
      errors: options.tty ? nil : shared(session.takeError()),
      resize: { size in try? session.resize(rows: size.rows, columns: size.columns) },
      wait: { try await session.wait() },
      end: { Task { try? await session.signal(9) } })
  }

  private static func attach(
    _ runtime: ContainerRuntime, _ options: StreamOptions, _ container: String, _ sandbox: String
  ) async throws -> ProcessIO {
    let session = try await runtime.attach(
      container: container, in: sandbox, stdin: options.stdin, stdout: options.stdout, stderr: options.stderr)
    return ProcessIO(
      takeInput: { session.takeInput() }, output: shared(session.takeOutput()),
      errors: shared(session.takeError()),
      resize: { size in Task { try? await session.resize(rows: size.rows, columns: size.columns) } },
      // The output ends when the container does.
      wait: { 0 }, end: {})
  }

  private static func statistics(_ runtime: ContainerRuntime, _ sandbox: String) async -> JSON {
    guard let all = try? await runtime.statistics(of: sandbox) else { return .null }
    let now = JSON.string(Timestamp.now.rfc3339Micro)
    func figures(_ numbers: ContainerRuntime.ContainerStatistics) -> JSON {
      var memory: JSON = .null
      if let bytes = numbers.memoryBytes {
        memory = ["time": now, "usageBytes": .int(bytes), "workingSetBytes": .int(numbers.workingSetBytes ?? bytes)]
        if let anonymous = numbers.anonymousBytes { memory["rssBytes"] = .int(anonymous) }
      }
      var json: JSON = ["cpu": ["time": now, "usageCoreNanoSeconds": .int(numbers.cpuMicros * 1000)], "memory": memory]
      if let count = numbers.processes { json["process_stats"] = ["process_count": .int(count)] }
      return json
    }
    // The pod as a whole stands under "".
    var result = all[""].map(figures) ?? .object(JSONObject())
    var containers: JSON = .object(JSONObject())
    for (id, numbers) in all where !id.isEmpty { containers[id] = figures(numbers) }
    result["containers"] = containers
    return result
  }
}

/// The image store as the kubelet uses it.
struct ImagesAdapter: PodImages {
  let store: ImageStore

  func image(named name: String) async -> ImageRecord? { await store.image(named: name) }
  func pull(_ name: String, credentials: [RegistryCredential]) async throws -> ImageRecord {
    try await store.pull(name, credentials: credentials)
  }
  func retain(image id: String, by container: String) async throws { try await store.retain(image: id, by: container) }
  func release(container: String) async { await store.release(container: container) }
  func uses() async -> [ImageUse] {
    let held = Set(store.leases.values)
    return await store.list().map {
      ImageUse(
        id: $0.id, bytes: $0.size, isUsed: held.contains($0.id), cameAt: Timestamp(secondsSinceEpoch: $0.createdAt))
    }
  }
  func remove(image id: String) async throws { try await store.remove(id) }
}

/// The pod network as the kubelet uses it.
struct NetworkAdapter: PodNetworking {
  let network: PodNetwork
  let policies: PolicyEnforcer

  func attach(sandbox: String, netns: Int32, hostPorts: [HostPort]) async throws -> [String] {
    [try await network.attach(sandbox: sandbox, netns: netns, hostPorts: hostPorts).ip]
  }
  func addresses(of sandbox: String) -> [String] { network.address(of: sandbox).map { [$0.ip] } ?? [] }
  func protect(_ pod: Pod, sandbox: String, addresses: [String]) async throws {
    guard let facts = PolicyPod(pod.json, addresses: addresses) else { return }
    try await policies.protect(facts, sandbox: sandbox)
  }
  func detach(sandbox: String) async throws {
    try await network.detach(sandbox: sandbox)
    await policies.release(sandbox: sandbox)
  }
}

/// The service proxy as the kubelet's pod workers use it.
struct EndpointsAdapter: PodEndpoints {
  let proxy: ServiceProxy

  func serves(_ pod: String) -> Bool { proxy.serves(pod) }
  func withdraw(_ pod: String, isTold: Bool) async { await proxy.withdraw(pod, isTold: isTold) }
}
