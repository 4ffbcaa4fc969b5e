import ContainerImages
import ContainerRuntime
import JSONCodec
import Kubelet
import KubernetesAPI
import LinuxKernel
import PodLifecycle
import PodNetwork
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
    let now = JSON.string(Timestamp.now.rfc3339)
    var containers: JSON = .object(JSONObject())
    // The pod's own cgroup has the whole; containers are known by name outside of the runtime.
    let names = Dictionary(((try? runtime.state(of: sandbox))?.containers ?? []).map { ($0.id, $0.name) }) { $1 }
    let whole = all[""]
    let (cpu, memory, working) = (whole?.cpuMicros ?? 0, whole?.memoryBytes ?? 0, whole?.workingSetBytes ?? 0)
    for (id, numbers) in all {
      guard let name = names[id] else { continue }
      containers[name] = [
        "cpu": ["time": now, "usageCoreNanoSeconds": .int(numbers.cpuMicros * 1000)],
        "memory": numbers.memoryBytes.map {
          ["time": now, "usageBytes": .int($0), "workingSetBytes": .int(numbers.workingSetBytes ?? $0)]
        } ?? .null,
      ]
    }
    return [
      "cpu": ["time": now, "usageCoreNanoSeconds": .int(cpu * 1000)],
      "memory": ["time": now, "usageBytes": .int(memory), "workingSetBytes": .int(working)], "containers": containers,
      "process_stats": whole?.processes.map { ["process_count": .int($0)] } ?? .null,
    ]
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

  func attach(sandbox: String, netns: Int32, hostPorts: [HostPort]) async throws -> [String] {
    [try await network.attach(sandbox: sandbox, netns: netns, hostPorts: hostPorts).ip]
  }
  func addresses(of sandbox: String) -> [String] { network.address(of: sandbox).map { [$0.ip] } ?? [] }
  func detach(sandbox: String) async throws { try await network.detach(sandbox: sandbox) }
}
