import ContainerImages
import ContainerRuntime
import Foundation
import JSONCodec
import Kubelet
import KubernetesAPI
import LinuxKernel
import OCISpec
import PodLifecycle
import PodNetwork
import Synchronization
import SystemPackage

/// A runtime whose sandboxes and containers are entries of a table: it refuses what the real one refuses (a container in a
/// sandbox that is not there, a second container with one id), and ends containers as signals and tests say.
final class FakeRuntime: PodRuntime {
  struct Box: Sendable {
    var spec: SandboxSpec
    var isAlive = true
    var containers: [String: ContainerState] = [:]
    var specs: [String: ContainerSpec] = [:]
    /// What was written last, by container id; "": the pod's own.
    var limits: [String: ResourceLimits] = [:]
  }
  struct Refusal: Error, CustomStringConvertible { let description: String }

  /// How processes behave.
  struct Behaviour: Sendable {
    /// Exit code after SIGTERM; nil: it takes no notice of it.
    var onTerm: Int32? = 0
    /// Ends by itself, at once, with this code.
    var exitsAtOnce: Int32?
    /// execve fails.
    var cannotExec: String?
    /// Seconds that commands (hooks, probes) take, and their exit code.
    var commandSeconds = 0.0
    var commandExit: Int32 = 0
  }

  private let state = Mutex<[String: Box]>([:])
  private let behaviours = Mutex<[String: Behaviour]>([:])
  private let failing = Mutex<[String: Int]>([:])
  /// Signals and commands in their order: "TERM app", "run app: /bin/hook".
  let journal = Mutex<[String]>([])
  private let agent = Mutex<AsyncStream<RuntimeEvent>.Continuation?>(nil)

  /// The events for a new agent; the last one no longer listens.
  func events() -> AsyncStream<RuntimeEvent> {
    let (stream, continuation) = AsyncStream.makeStream(of: RuntimeEvent.self)
    agent.withLock { $0 = continuation }
    return stream
  }

  func behave(_ container: String, _ behaviour: Behaviour) { behaviours.withLock { $0[container] = behaviour } }
  /// The next so many calls of an operation fail.
  func fail(_ operation: String, times: Int) { failing.withLock { $0[operation] = times } }

  private func check(_ operation: String) throws {
    try failing.withLock { table in
      guard let left = table[operation], left > 0 else { return }
      table[operation] = left - 1
      throw Refusal(description: "\(operation) is made to fail")
    }
  }

  var sandboxes: [String: Box] { state.withLock { $0 } }
  func container(_ name: String, in sandbox: String) -> ContainerState? {
    state.withLock { $0[sandbox]?.containers.values.filter { $0.name == name }.max { $0.attempt < $1.attempt } }
  }

  /// What a new agent finds.
  func recovered() -> [SandboxState] {
    state.withLock { boxes in
      boxes.map {
        SandboxState(id: $0, supervisorPID: 1, isAlive: $1.isAlive, containers: Array($1.containers.values), labels: $1.spec.labels)
      }
    }
  }

  func exit(_ name: String, in sandbox: String, code: Int32, message: String? = nil) {
    guard let id = container(name, in: sandbox)?.id else { return }
    end(id, in: sandbox, code: code, signal: 0, message: message)
  }

  private func end(_ id: String, in sandbox: String, code: Int32, signal: Int32, message: String? = nil) {
    let ended: ContainerState? = state.withLock { boxes in
      guard var container = boxes[sandbox]?.containers[id], container.phase == .running else { return nil }
      container.phase = .exited
      container.exitCode = code
      container.signal = signal
      container.message = message
      container.finishedAt = Timestamp.now.nanosecondsSinceEpoch
      boxes[sandbox]!.containers[id] = container
      return container
    }
    if let ended { _ = agent.withLock { $0 }?.yield(.containerExited(sandbox: sandbox, ended)) }
  }

  func killSupervisor(of sandbox: String) {
    state.withLock { $0[sandbox]?.isAlive = false }
    _ = agent.withLock { $0 }?.yield(.supervisorDied(sandbox: sandbox))
  }

  // MARK: - PodRuntime

  func createSandbox(_ spec: SandboxSpec) async throws {
    try check("createSandbox")
    try state.withLock { boxes in
      guard boxes[spec.id] == nil else { throw Refusal(description: "sandbox \(spec.id) is there already") }
      boxes[spec.id] = Box(spec: spec)
    }
  }

  func networkNamespace(of sandbox: String) throws -> OwnedDescriptor {
    guard state.withLock({ $0[sandbox] != nil }) else { throw Refusal(description: "no sandbox \(sandbox)") }
    return OwnedDescriptor(owning: open("/dev/null", O_RDONLY | O_CLOEXEC))
  }

  func startContainer(_ spec: ContainerSpec, in sandbox: String) async throws -> ContainerState {
    try check("startContainer")
    let behaviour = behaviours.withLock { $0[spec.name] ?? Behaviour() }
    if let reason = behaviour.cannotExec { throw Refusal(description: reason) }
    let started = try state.withLock { boxes in
      guard boxes[sandbox]?.isAlive == true else { throw Refusal(description: "no living sandbox \(sandbox)") }
      guard boxes[sandbox]!.containers[spec.id] == nil else { throw Refusal(description: "container \(spec.id) is there already") }
      let container = ContainerState(
        id: spec.id, name: spec.name, attempt: spec.attempt, phase: .running, pid: 2, startedAt: Timestamp.now.nanosecondsSinceEpoch)
      boxes[sandbox]!.containers[spec.id] = container
      boxes[sandbox]!.specs[spec.id] = spec
      return container
    }
    journal.withLock { $0.append("start \(spec.name)") }
    if let code = behaviour.exitsAtOnce { end(spec.id, in: sandbox, code: code, signal: 0) }
    return started
  }

  func signalContainer(_ id: String, in sandbox: String, signal: Int32) async throws {
    guard let container = state.withLock({ $0[sandbox]?.containers[id] }), container.phase == .running else {
      throw Refusal(description: "no running container \(id)")
    }
    journal.withLock { $0.append("\(signal == SIGKILL ? "KILL" : signal == SIGTERM ? "TERM" : "\(signal)") \(container.name)") }
    let behaviour = behaviours.withLock { $0[container.name] ?? Behaviour() }
    if signal == SIGKILL {
      end(id, in: sandbox, code: 137, signal: 9)
    } else if let code = behaviour.onTerm {
      end(id, in: sandbox, code: code, signal: 0)
    }
  }

  func run(_ argv: [String], container: String, in sandbox: String, outputMax: Int) async throws -> CommandResult {
    guard let state = state.withLock({ $0[sandbox]?.containers[container] }), state.phase == .running else {
      throw Refusal(description: "no running container \(container)")
    }
    journal.withLock { $0.append("run \(state.name): \(argv.joined(separator: " "))") }
    let behaviour = behaviours.withLock { $0[state.name] ?? Behaviour() }
    if behaviour.commandSeconds > 0 { try await Task.sleep(for: .milliseconds(Int(behaviour.commandSeconds * 1000))) }
    return CommandResult(exitCode: behaviour.commandExit, output: Array("said \(behaviour.commandExit)".utf8))
  }

  func resize(sandbox: String, pod: ResourceLimits, containers: [String: ResourceLimits]) async throws {
    try check("resize")
    try state.withLock { boxes in
      guard boxes[sandbox]?.isAlive == true else { throw Refusal(description: "no living sandbox \(sandbox)") }
      for (id, limits) in containers {
        guard boxes[sandbox]!.containers[id]?.phase == .running else { throw Refusal(description: "no running container \(id)") }
        boxes[sandbox]!.limits[id] = limits
      }
      boxes[sandbox]!.limits[""] = pod
    }
  }

  func writableDirectories(of sandbox: String) -> [String: FilePath] { [:] }

  func removeContainer(_ id: String, in sandbox: String) async throws {
    try state.withLock { boxes in
      guard boxes[sandbox]?.containers[id]?.phase != .running else { throw Refusal(description: "container \(id) runs") }
      boxes[sandbox]?.containers[id] = nil
    }
  }

  func removeSandbox(_ id: String) async throws {
    try check("removeSandbox")
    state.withLock { $0[id] = nil }
  }
}

/// Addresses in their order; refuses to give one twice.
final class FakeNetwork: PodNetworking {
  private let state = Mutex<(leases: [String: String], next: Int)>(([:], 2))
  var leases: [String: String] { state.withLock { $0.leases } }

  func attach(sandbox: String, netns: Int32, hostPorts: [HostPort]) async throws -> [String] {
    state.withLock { state in
      if let known = state.leases[sandbox] { return [known] }
      state.leases[sandbox] = "10.244.0.\(state.next)"
      state.next += 1
      return [state.leases[sandbox]!]
    }
  }
  func protect(_ pod: Pod, sandbox: String, addresses: [String]) async throws {}
  func detach(sandbox: String) async throws { state.withLock { $0.leases[sandbox] = nil } }
  func addresses(of sandbox: String) -> [String] { leases[sandbox].map { [$0] } ?? [] }
}

/// Images that are here, and those a registry would give.
final class FakeImages: PodImages {
  private let state = Mutex<(here: Set<String>, registry: Set<String>, pulls: [String], leases: [String: String])>(
    (["busybox:1"], [], [], [:]))
  let config: OCIImageConfig

  init() {
    let text =
      #"{"os":"linux","architecture":"amd64","config":{"Entrypoint":["/bin/sh"],"Cmd":["-c","sleep 1"],"Env":["PATH=/bin"],"User":""},"rootfs":{"type":"layers","diff_ids":[]}}"#
    config = try! OCIImageConfig.parse(Array(text.utf8))
  }

  var leases: [String: String] { state.withLock { $0.leases } }
  var pulls: [String] { state.withLock { $0.pulls } }
  func publish(_ name: String) { state.withLock { _ = $0.registry.insert(name) } }

  private func record(_ name: String) -> ImageRecord {
    ImageRecord(
      id: "sha256:1", names: [name], repoDigests: ["docker.io/library/busybox@sha256:2"], size: 10, config: config, layers: [], createdAt: 0
    )
  }
  func image(named name: String) async -> ImageRecord? { state.withLock { $0.here.contains(name) } ? record(name) : nil }
  func pull(_ name: String, credentials: [RegistryCredential]) async throws -> ImageRecord {
    let isThere = state.withLock { state in
      state.pulls.append(name)
      guard state.registry.contains(name) else { return false }
      state.here.insert(name)
      return true
    }
    guard isThere else { throw ImageError(.notFound, "no such image") }
    return record(name)
  }
  func retain(image id: String, by container: String) async throws { state.withLock { $0.leases[container] = id } }
  func release(container: String) async { state.withLock { $0.leases[container] = nil } }
  func uses() async -> [ImageUse] {
    state.withLock { state in
      state.here.sorted().map {
        ImageUse(id: $0, bytes: 10, isUsed: !state.leases.isEmpty && $0 == "busybox:1", cameAt: Timestamp(secondsSinceEpoch: 0))
      }
    }
  }
  func remove(image id: String) async throws { state.withLock { _ = $0.here.remove(id) } }
  func put(_ name: String) { state.withLock { _ = $0.here.insert(name) } }
  var here: Set<String> { state.withLock { $0.here } }
}

final class FakeVolumes: PodVolumes {
  private let state = Mutex<(prepared: Set<String>, failures: Int)>(([], 0))
  var prepared: Set<String> { state.withLock { $0.prepared } }
  func fail(times: Int) { state.withLock { $0.failures = times } }

  func prepare(_ pod: Pod) async throws {
    try state.withLock { state in
      if state.failures > 0 {
        state.failures -= 1
        throw FakeRuntime.Refusal(description: "configmap \"settings\" not found")
      }
      state.prepared.insert(pod.uid)
    }
  }
  func mounts(of container: Container, in pod: Pod, podIPs: [String], environment: [String], images: [String: [FilePath]])
    async throws -> [ContainerMount]
  { [] }
  func update(_ pod: Pod) async {}
  func teardown(podUID: String) async throws { state.withLock { _ = $0.prepared.remove(podUID) } }
}

struct FakeEnvironments: PodEnvironments {
  func environment(of container: Container, in pod: Pod, podIPs: [String], hostIPs: [String], image: [String]) async throws -> [String] {
    var result = image
    for variable in container.env {
      guard let name = variable["name"].string else { continue }
      if variable["valueFrom"]["configMapKeyRef"].object != nil {
        throw ContainerConfigError("configmap \"missing\" not found")
      }
      result.append("\(name)=\(variable["value"].string ?? "")")
    }
    return result
  }
}
