import JSONCodec
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Where a sandbox's files are.
///
///     <state>/sandboxes/<id>/sandbox.json
///     <state>/sandboxes/<id>/containers/<id>/{container.json,exit.json,upper/,work/,termination-log}
///     <run>/pods/<id>/{supervisor.sock,state}
struct SandboxFiles: Sendable {
  static let messageBytesMax = 4096
  let id: String
  let state: FilePath
  let run: FilePath

  init(id: String, configuration: RuntimeConfiguration) {
    self.id = id
    state = configuration.stateDirectory.appending("sandboxes").appending(id)
    run = configuration.runDirectory.appending("pods").appending(id)
  }

  var containersDirectory: FilePath { state.appending("containers") }
  func container(_ id: String) -> FilePath { containersDirectory.appending(id) }

  func create(_ spec: SandboxSpec) throws {
    try Files.makeDirectories(containersDirectory)
    try Files.makeDirectories(run)
    try write("sandbox.json", in: state, spec.json)
  }

  func readSpec() -> SandboxSpec? { json("sandbox.json", in: state).flatMap(SandboxSpec.init(json:)) }

  func createContainer(_ spec: ContainerSpec) throws {
    let directory = container(spec.id)
    try Files.makeDirectories(directory)
    for name in ["upper", "work"] {
      // The upper directory's own mode and owner become those of the container's "/".
      guard mkdir(directory.appending(name).string, 0o755) == 0 || errno == EEXIST else {
        throw KernelError("mkdir", directory.appending(name).string, errno: Errno(rawValue: errno))
      }
    }
    try write("container.json", in: directory, spec.json)
    if !spec.terminationMessagePath.isEmpty {
      let file = try Files.open(directory.appending("termination-log").string, flags: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW)
      fchmod(file.rawValue, 0o666)
    }
  }

  func readContainers() -> [(ContainerSpec, ContainerState)] {
    var result: [(ContainerSpec, ContainerState)] = []
    for name in (try? Files.names(in: containersDirectory)) ?? [] {
      guard let spec = json("container.json", in: container(name)).flatMap(ContainerSpec.init(json:)), spec.id == name else { continue }
      var state = ContainerState(id: spec.id, name: spec.name, attempt: spec.attempt, phase: .created)
      if let exit = json("exit.json", in: container(name)) { state.setExit(json: exit) }
      result.append((spec, state))
    }
    return result
  }

  func writeExit(_ state: ContainerState) throws { try write("exit.json", in: container(state.id), state.json) }

  /// The word that the container left, if any. What lies there was written by the container: a regular file, read to a limit.
  func terminationMessage(of id: String) -> String? {
    guard let bytes = try? Files.read(container(id).appending("termination-log").string, limit: Self.messageBytesMax), !bytes.isEmpty
    else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  func removeContainer(_ id: String) throws {
    try removeTree(container(id))
  }

  func removeAll() throws {
    try removeTree(run)
    try removeTree(state)
  }

  /// What the supervisor itself wrote down: for the day it is gone. Exits and, for those that never ended in order, starts.
  func supervisorRecord() -> (exits: [String: ContainerState], started: [String: (pid: Int32, at: Int64)]) {
    var exits: [String: ContainerState] = [:]
    var started: [String: (pid: Int32, at: Int64)] = [:]
    for line in ((try? Files.text(run.appending("state").string)) ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ").map(String.init)
      let numbers = fields.dropFirst(2).compactMap { Int64($0) }
      guard fields.count >= 2 else { continue }
      if fields[0] == "S", numbers.count == 2 { started[fields[1]] = (Int32(truncatingIfNeeded: numbers[0]), numbers[1]) }
      if fields[0] == "E", numbers.count == 5 {
        exits[fields[1]] = ContainerState(
          id: fields[1], name: "", attempt: 0, phase: .exited, exitCode: Int32(truncatingIfNeeded: numbers[0]),
          signal: Int32(truncatingIfNeeded: numbers[1]), oomKilled: numbers[2] != 0, startedAt: numbers[3], finishedAt: numbers[4])
      }
    }
    return (exits, started)
  }

  private func removeTree(_ path: FilePath) throws {
    guard let name = path.lastComponent?.string else { return }
    do throws(KernelError) { try Self.removeTree(name, below: path.removingLastComponent()) } catch {
      if error.errno != .noSuchFileOrDirectory { throw error }
    }
  }

  // Apart from its caller: with the descriptor inside the `do`, Swift 6.3.1 crashes (MandatoryAllocBoxToStack).
  private static func removeTree(_ name: String, below parent: FilePath) throws(KernelError) {
    let directory = try Files.openDirectory(parent)
    try Files.removeTree(name, in: directory.rawValue)
  }

  private func write(_ name: String, in directory: FilePath, _ json: JSON) throws {
    let opened = try Files.openDirectory(directory)
    try Files.replace(name, in: opened.rawValue, with: json.serialized())
  }

  private func json(_ name: String, in directory: FilePath) -> JSON? {
    guard let bytes = try? Files.read(directory.appending(name).string, limit: 16 << 20) else { return nil }
    return try? JSON.parse(bytes)
  }
}
