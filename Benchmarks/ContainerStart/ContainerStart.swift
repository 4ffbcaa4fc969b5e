import ContainerRuntime
import JSONCodec
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

// How long create, start, /bin/true, exit and the news of it take, through a supervisor that is already there, with the
// default profile: ContainerStart <swiftlet-pod> [rounds]

@main
struct ContainerStart {
  static func main() async throws {
    guard CommandLine.arguments.count > 1 else { fatalError("usage: ContainerStart <swiftlet-pod> [rounds]") }
    let rounds = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) ?? 200 : 200
    var template = Array("/tmp/swiftlet-bench.XXXXXX".utf8CString)
    let folder = FilePath(String(cString: mkdtemp(&template)!))
    let layer = folder.appending("layer")
    try Files.makeDirectories(layer.appending("bin"), mode: 0o755)
    guard link("/bin/busybox", layer.appending("bin/true").string) == 0 || copy("/bin/busybox", layer.appending("bin/true").string) else {
      fatalError("no /bin/busybox")
    }
    let root = CgroupHierarchy.detect().mountPoint?.appending("swiftlet-bench-\(getpid())")
    let configuration = RuntimeConfiguration(
      supervisorPath: FilePath(CommandLine.arguments[1]), runDirectory: folder.appending("run"), stateDirectory: folder.appending("state"),
      cgroupRoot: root, allowMissingControllers: true)
    let runtime = try await ContainerRuntime(configuration: configuration)
    var sandboxTimes: [Double] = []
    for number in 0..<10 {
      let spec = sandbox("warm-\(number)", folder)
      let begin = now()
      _ = try await runtime.createSandbox(spec)
      sandboxTimes.append(now() - begin)
      try await runtime.removeSandbox(spec.id)
    }
    _ = try await runtime.createSandbox(sandbox("bench", folder))
    var events = runtime.events.makeAsyncIterator()
    var started: [Double] = []
    var whole: [Double] = []
    var removed: [Double] = []
    for number in 0..<rounds {
      let id = String(repeating: "0", count: 60) + String(number + 4096, radix: 16)
      var spec = ContainerSpec(name: "bench", attempt: number, id: id, logPath: folder.appending("log/0.log"))
      spec.rootfsLayers = [layer]
      spec.argv = ["/bin/true"]
      spec.capabilities = CapabilitySet.names.filter { CapabilitySet.containerDefault.contains($0) }
      spec.noNewPrivileges = true
      let begin = now()
      _ = try await runtime.startContainer(spec, in: "bench")
      let running = now()
      while let event = await events.next() { if case .containerExited(_, let state) = event, state.id == id { break } }
      let end = now()
      try await runtime.removeContainer(id, in: "bench")
      started.append(running - begin)
      whole.append(end - begin)
      removed.append(now() - end)
    }
    let pss = try pss(of: runtime.state(of: "bench").supervisorPID)
    try await runtime.removeSandbox("bench")
    if let root { try CgroupTree(root: root).remove() }
    let tmp = try Files.openDirectory("/tmp")
    try Files.removeTree(folder.lastComponent!.string, in: tmp.rawValue)
    report("sandbox created", sandboxTimes)
    report("start answered", started)
    report("create-start-exit", whole)
    report("removed", removed)
    print("supervisor PSS: \(pss) kB")
  }

  static func sandbox(_ id: String, _ folder: FilePath) -> SandboxSpec {
    SandboxSpec(id: id, podName: id, namespace: "bench", hostname: id, qos: .bestEffort, logDirectory: folder.appending("log"))
  }

  static func copy(_ from: String, _ to: String) -> Bool {
    guard let bytes = try? Files.read(from, limit: 16 << 20), let slash = to.lastIndex(of: "/"),
      let directory = try? Files.openDirectory(FilePath(String(to[..<slash])))
    else { return false }
    return (try? Files.replace(String(to[to.index(after: slash)...]), in: directory.rawValue, with: bytes, mode: 0o755)) != nil
  }

  static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) * 1000 + Double(time.tv_nsec) / 1e6
  }

  static func report(_ name: String, _ times: [Double]) {
    let sorted = times.sorted()
    func at(_ share: Double) -> String {
      let hundredths = Int(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))] * 100)
      return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
    print("\(name): p50 \(at(0.5)) ms, p90 \(at(0.9)) ms, p99 \(at(0.99)) ms (\(times.count) rounds)")
  }

  static func pss(of pid: Int32) throws -> Int {
    let line = try Files.text("/proc/\(pid)/smaps_rollup").split(separator: "\n").first { $0.hasPrefix("Pss:") }
    return line.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
  }
}
