import ContainerRuntime
import JSONCodec
import KubernetesAPI
import LinuxKernel
import NIOCore
import PodLifecycle
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// What the kubelet's server asks for.
extension Kubelet: KubeletBackend {
  package func pods() async -> [JSON] {
    var result: [JSON] = []
    for entry in pods.all { result.append(await entry.worker.snapshot().pod.json) }
    return result
  }

  package func node() async -> JSON? { nodeAgent.node }

  package func configuration() async -> JSON {
    let config = nodeAgent.configuration
    return [
      "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
      "staticPodPath": JSON(config.staticPodDirectory?.string), "port": JSON(config.port),
      "clusterDomain": .string(config.clusterDomain), "clusterDNS": JSON(config.clusterDNS), "maxPods": JSON(config.maxPods),
      "podPidsLimit": JSON(config.podPidsLimit.map(Int.init) ?? -1), "podCIDR": .string(config.defaultPodCIDR),
      "podLogsDir": .string(config.logDirectory.string), "allowedUnsafeSysctls": JSON(config.allowedUnsafeSysctls),
      "registerWithTaints": .array(config.taints),
    ]
  }

  package func inspectRuntime() async -> JSON {
    var sandboxes: [JSON] = []
    for entry in pods.all {
      let (pod, observed) = await entry.worker.snapshot()
      var containers: [JSON] = []
      for (name, seen) in observed.containers.sorted(by: { $0.key < $1.key }) {
        for run in [seen.run, seen.previousRun].compactMap({ $0 }) { containers.append(Self.describe(name, run)) }
      }
      sandboxes.append([
        "id": .string(pod.uid), "namespace": .string(pod.namespace), "name": .string(pod.name),
        "state": .string(String("\(observed.sandbox)".prefix { $0 != "(" })),
        "podIPs": JSON(observed.podIPs), "containers": .array(containers),
      ])
    }
    return ["sandboxes": .array(sandboxes)]
  }

  private static func describe(_ name: String, _ run: ContainerRun) -> JSON {
    var json: JSON = [
      "name": .string(name), "id": .string(run.id), "attempt": JSON(run.attempt), "image": .string(run.image),
      "startedAt": .string(run.startedAt.rfc3339), "state": run.isRunning ? "running" : "exited",
    ]
    if let exit = run.exit {
      json["exitCode"] = JSON(exit.code)
      json["finishedAt"] = .string(exit.finishedAt.rfc3339)
    }
    return json
  }

  package func statsSummary() async -> JSON {
    var items: [JSON] = []
    for entry in pods.all {
      let (pod, observed) = await entry.worker.snapshot()
      let numbers = await hooks.statistics(pod.uid)
      var item: JSON = [
        "podRef": ["name": .string(pod.name), "namespace": .string(pod.namespace), "uid": .string(pod.uid)],
        "startTime": .string((observed.startTime ?? .now).rfc3339),
      ]
      item["containers"] = .array(
        observed.containers.filter { $0.value.isRunning }.sorted { $0.key < $1.key }.map { name, seen in
          var container = numbers["containers"][seen.run!.id]
          container["process_stats"] = .null
          container["name"] = .string(name)
          container["startTime"] = .string(seen.run!.startedAt.rfc3339)
          return container
        })
      for key in ["cpu", "memory", "process_stats"] { item[key] = numbers[key] }
      items.append(item)
    }
    let now = Timestamp.now.rfc3339Micro
    let started = Self.bootTime().rfc3339
    let memory = ProcFile.kilobytes("/proc/meminfo")
    let free = (memory["MemAvailable"] ?? 0) * 1024
    let total = (memory["MemTotal"] ?? 0) * 1024
    let disk = MachinePressure.disk(services.configuration.dataDirectory)
    return [
      "node": [
        "nodeName": .string(services.configuration.nodeName), "startTime": .string(started),
        "cpu": ["time": .string(now), "usageCoreNanoSeconds": .int(Self.cpuNanoseconds())],
        "memory": [
          "time": .string(now), "availableBytes": .int(free), "usageBytes": .int(total - free), "workingSetBytes": .int(total - free),
        ],
        "fs": [
          "time": .string(now), "capacityBytes": .int(disk.total), "availableBytes": .int(Int64(Double(disk.total) * disk.free)),
          "usedBytes": .int(Int64(Double(disk.total) * (1 - disk.free))),
        ],
      ],
      "pods": .array(items),
    ]
  }

  /// Since when the processors' times are counted.
  private static func bootTime() -> Timestamp {
    let line = ProcFile.text("/proc/stat", bytesMax: 1 << 20).split(separator: "\n").first { $0.hasPrefix("btime ") }
    return Timestamp(secondsSinceEpoch: line.flatMap { Int64($0.dropFirst(6)) } ?? 0)
  }

  /// User and system time of all processors, from the first line of /proc/stat (in ticks).
  private static func cpuNanoseconds() -> Int64 {
    let fields = ProcFile.line("/proc/stat").split(separator: " ").dropFirst().compactMap { Int64($0) }
    guard fields.count > 3 else { return 0 }
    let busy = fields[0] + fields[1] + fields[2] + fields.dropFirst(5).prefix(3).reduce(0, +)
    return busy * (1_000_000_000 / Int64(max(1, sysconf(Int32(_SC_CLK_TCK)))))
  }

  // MARK: - Containers

  private struct Found {
    let worker: PodWorker
    let pod: Pod
    let name: String
    let seen: ContainerObservation
  }

  private func worker(_ namespace: String, _ name: String, _ uid: String?) throws(BackendError) -> PodWorker {
    let entry = uid.flatMap { pods.entry($0) } ?? pods.find(namespace: namespace, name: name)
    guard let entry, entry.pod.name == name, entry.pod.namespace == namespace,
      // The API server names a static pod by its mirror's UID.
      uid == nil || entry.pod.uid == uid || entry.isStatic
    else {
      throw .notFound("pod \"\(namespace)/\(name)\" not found")
    }
    return entry.worker
  }

  private func find(_ target: ContainerTarget) async throws(BackendError) -> Found {
    let worker = try worker(target.namespace, target.pod, target.uid)
    let (pod, observed) = await worker.snapshot()
    var name = target.container
    if name.isEmpty {
      name = pod.metadata.annotations["kubectl.kubernetes.io/default-container"].string ?? pod.spec.containers.first?.name ?? ""
    }
    guard pod.container(named: name) != nil else {
      throw .notFound("container \(name) not found in pod \(target.pod)_\(target.namespace)")
    }
    return Found(worker: worker, pod: pod, name: name, seen: observed[name])
  }

  private func running(_ target: ContainerTarget) async throws(BackendError) -> (found: Found, id: String) {
    let found = try await find(target)
    guard let run = found.seen.run, run.isRunning else {
      throw .badRequest("container \(found.name) in pod \(target.pod)_\(target.namespace) is not running")
    }
    return (found, run.id)
  }

  package func checkRunning(_ target: ContainerTarget) async throws(BackendError) { _ = try await running(target) }

  package func containerLogs(_ target: ContainerTarget, options: LogOptions) async throws(BackendError) -> ContainerLogStream {
    let found = try await find(target)
    let run = options.previous ? found.seen.previousRun : found.seen.run
    guard let run else {
      let place = "container \"\(found.name)\" in pod \"\(target.pod)\""
      if options.previous { throw .badRequest("previous terminated \(place) not found") }
      let reason =
        found.seen.wait?.reason ?? (found.pod.spec.initContainers.isEmpty ? WaitingReason.containerCreating : WaitingReason.podInitializing)
      throw .badRequest("\(place) is waiting to start: \(reason)")
    }
    let path = FilePath(services.logPath(of: found.pod, container: found.name, attempt: run.attempt))
    let (worker, name) = (found.worker, found.name)
    return ContainerLogStream { write in
      try await ContainerLogReader(path: path).copy(
        options, untilEnd: { await worker.waitForExit(of: name, id: run.id) }, write: write)
    }
  }

  package func exec(
    _ target: ContainerTarget, command: [String], options: StreamOptions, streams: ContainerStreams
  ) async throws(BackendError) -> Int32 {
    let (found, id) = try await running(target)
    do {
      return try await hooks.exec(command, options, id, found.pod.uid).copy(streams)
    } catch {
      throw .internal("\(error)")
    }
  }

  package func attach(_ target: ContainerTarget, options: StreamOptions, streams: ContainerStreams) async throws(BackendError) {
    let (found, id) = try await running(target)
    do {
      _ = try await hooks.attach(options, id, found.pod.uid).copy(streams)
    } catch {
      throw .internal("\(error)")
    }
  }

  package func connect(namespace: String, pod: String, uid: String?, port: Int) async throws(BackendError) -> OwnedDescriptor {
    guard let number = UInt16(exactly: port), number > 0 else { throw .badRequest("port \(port) is not in 1...65535") }
    let worker = try worker(namespace, pod, uid)
    let (_, observed) = await worker.snapshot()
    guard observed.sandbox.isReady else { throw .badRequest("pod \(pod)_\(namespace) has no sandbox") }
    do {
      let netns = SharedDescriptor(try services.runtime.networkNamespace(of: worker.uid))
      let shared = try await NamespaceSocket.connect(namespace: netns, port: number)
      let copy = fcntl(shared.rawValue, F_DUPFD_CLOEXEC, 3)
      guard copy >= 0 else { throw KernelError("fcntl(F_DUPFD_CLOEXEC)", errno: Errno(rawValue: errno)) }
      return OwnedDescriptor(owning: copy)
    } catch {
      throw .internal("\(error)")
    }
  }
}

extension PodWorker {
  /// Returns when this run of the container has ended, or the task is cancelled.
  func waitForExit(of name: String, id: String) async {
    guard !isGone, observed[name].run?.id == id, observed[name].isRunning else { return }
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    exitWaiters[id, default: []].append(continuation)
    for await _ in stream {}
  }
}
