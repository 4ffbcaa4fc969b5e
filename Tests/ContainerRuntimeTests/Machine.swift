import JSONCodec
import LinuxKernel
import Synchronization
import SystemPackage
import Testing

@testable import ContainerRuntime

#if canImport(Glibc)
  import Glibc
#endif

/// A runtime in a temporary folder with a cgroup root of its own, and a root file system made of busybox.
final class Machine: Sendable {
  let folder: FilePath
  let configuration: RuntimeConfiguration
  let layer: FilePath
  let cgroupRoot: FilePath?
  private let counter = Mutex(0)
  private let current: Mutex<ContainerRuntime>

  var runtime: ContainerRuntime { current.withLock { $0 } }

  static let isPossible = getuid() == 0 && access("/bin/busybox", X_OK) == 0

  /// Built once for all tests of the process.
  private static let supervisor: FilePath = {
    var template = Array("/tmp/swiftlet-supervisor.XXXXXX".utf8CString)
    let folder = String(cString: mkdtemp(&template)!)
    let root = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
    let script = root.appending("scripts/build-supervisor").string
    precondition(shell("\(script) \(folder)/swiftlet-pod") == 0, "scripts/build-supervisor failed")
    return FilePath(folder).appending("swiftlet-pod")
  }()

  static func shell(_ command: String) -> Int32 {
    var pid: pid_t = 0
    var argv: [UnsafeMutablePointer<CChar>?] = [strdup("/bin/sh"), strdup("-c"), strdup(command), nil]
    defer { for word in argv { free(word) } }
    guard posix_spawn(&pid, "/bin/sh", nil, nil, &argv, environ) == 0 else { return -1 }
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    return status
  }

  init(_ name: String = #function) async throws {
    var template = Array("/tmp/swiftlet-runtime-test.XXXXXX".utf8CString)
    folder = FilePath(String(cString: mkdtemp(&template)!))
    chmod(folder.string, 0o755)
    layer = folder.appending("layer")
    try Self.makeRootfs(layer)
    cgroupRoot = CgroupHierarchy.detect().mountPoint?.appending("swiftlet-test-\(folder.lastComponent!.string.suffix(6))")
    configuration = RuntimeConfiguration(
      supervisorPath: Self.supervisor, runDirectory: folder.appending("run"), stateDirectory: folder.appending("state"),
      cgroupRoot: cgroupRoot, allowMissingControllers: true)
    current = Mutex(try await ContainerRuntime(configuration: configuration))
  }

  static func makeRootfs(_ root: FilePath) throws {
    for name in ["bin", "etc", "tmp", "root"] { try Files.makeDirectories(root.appending(name), mode: 0o755) }
    chmod(root.string, 0o755)
    chmod(root.appending("tmp").string, 0o1777)
    precondition(
      shell(
        "cp /bin/busybox \(root)/bin/busybox && cd \(root)/bin && for a in sed tr tail sort sh true false cat echo id ls sleep env pwd stat mount touch kill ps head seq printf mkdir grep tty stty hostname umask readlink dd mknod unshare sync date wc test; do ln -sf busybox $a; done"
      ) == 0)
  }

  /// The agent dies and starts anew: another runtime over the same directories.
  func restartAgent() async throws -> [SandboxState] {
    for sandbox in runtime.sandboxes.withLock({ Array($0.values) }) { sandbox.connection?.close() }
    let next = try await ContainerRuntime(configuration: configuration)
    current.withLock { $0 = next }
    return try await next.recover()
  }

  func newID() -> String {
    let number = counter.withLock { counter in
      counter += 1
      return counter
    }
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 64 - digits.count) + digits
  }

  func sandbox(_ id: String = "pod-uid-1", _ change: (inout SandboxSpec) -> Void = { _ in }) async throws -> SandboxState {
    var spec = SandboxSpec(
      id: id, podName: "web", namespace: "default", hostname: "web-0", qos: .burstable, logDirectory: folder.appending("log"))
    spec.labels = ["pod": "kept"]
    change(&spec)
    return try await runtime.createSandbox(spec)
  }

  func spec(_ argv: [String], _ change: (inout ContainerSpec) -> Void = { _ in }) -> ContainerSpec {
    let id = newID()
    var spec = ContainerSpec(name: "main", attempt: 0, id: id, logPath: folder.appending("log/main/\(id.suffix(4)).log"))
    spec.rootfsLayers = [layer]
    spec.argv = argv
    spec.environment = ["PATH=/bin", "HOME=/root"]
    spec.capabilities = CapabilitySet.names.filter { CapabilitySet.containerDefault.contains($0) }
    change(&spec)
    return spec
  }

  struct Finished {
    var state: ContainerState
    /// Standard output without the log's stamps.
    var output: String
    var errors: String
  }

  /// Starts, waits for the end, reads the log, removes.
  func run(_ argv: [String], in sandbox: String = "pod-uid-1", keep: Bool = false, _ change: (inout ContainerSpec) -> Void = { _ in })
    async throws -> Finished
  {
    let spec = spec(argv, change)
    _ = try await runtime.startContainer(spec, in: sandbox)
    let state = try await exit(of: spec.id, in: sandbox)
    let log = (try? Files.text(spec.logPath.string)) ?? ""
    if !keep { try await runtime.removeContainer(spec.id, in: sandbox) }
    return Finished(state: state, output: Self.text(log, "stdout"), errors: Self.text(log, "stderr"))
  }

  static func text(_ log: String, _ stream: String) -> String {
    var text = ""
    for line in log.split(separator: "\n", omittingEmptySubsequences: true) {
      let fields = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
      guard fields.count == 4, fields[1] == stream else { continue }
      text += fields[3]
      if fields[2] == "F" { text += "\n" }
    }
    return text
  }

  func sh(_ script: String, in sandbox: String = "pod-uid-1", _ change: (inout ContainerSpec) -> Void = { _ in }) async throws -> Finished {
    try await run(["/bin/sh", "-c", script], in: sandbox, change)
  }

  /// The state once it has ended.
  func exit(of id: String, in sandbox: String = "pod-uid-1") async throws -> ContainerState {
    try await until("container \(id.suffix(4)) has ended") {
      let state = try self.runtime.state(of: sandbox).containers.first { $0.id == id }
      return state?.phase == .exited ? state : nil
    }
  }

  func until<Value>(_ what: String, _ check: () async throws -> Value?) async throws -> Value {
    for _ in 0..<1000 {
      if let value = try await check() { return value }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw ContainerRuntimeError(.busy, "waited 10 s in vain until \(what)")
  }

  func close() async throws {
    for state in runtime.states() { try await runtime.removeSandbox(state.id) }
    try runtime.cgroups?.remove()
    let tmp = try Files.openDirectory("/tmp")
    try Files.removeTree(folder.lastComponent!.string, in: tmp.rawValue)
  }

  /// Runs a test on a machine that is taken down in any case.
  static func with(_ body: (Machine) async throws -> Void) async throws {
    let machine = try await Machine()
    do { try await body(machine) } catch {
      try? await machine.close()
      throw error
    }
    try await machine.close()
  }
}

/// A descriptor as a number, which the test macros can carry; -1 for none. Whoever asks closes it.
func number(_ descriptor: consuming OwnedDescriptor?) -> Int32 {
  if let descriptor { return descriptor.release() }
  return -1
}

/// Reads to the end and closes.
func readAll(_ fd: Int32) -> String {
  defer { close(fd) }
  var text: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 4096)
  while true {
    let got = read(fd, &chunk, chunk.count)
    guard got > 0 else { return String(decoding: text, as: UTF8.self) }
    text += chunk[..<got]
  }
}

/// Reads until the text has come, at most 5 s.
func read(_ fd: Int32, until text: String) -> String {
  var all = ""
  var chunk = [UInt8](repeating: 0, count: 4096)
  for _ in 0..<500 where !all.contains(text) {
    var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
    guard poll(&entry, 1, 10) > 0 else { continue }
    let got = read(fd, &chunk, chunk.count)
    guard got > 0 else { break }
    all += String(decoding: chunk[..<got], as: UTF8.self)
  }
  return all
}

func put(_ fd: Int32, _ text: String) { _ = Array(text.utf8).withUnsafeBytes { write(fd, $0.baseAddress, $0.count) } }
