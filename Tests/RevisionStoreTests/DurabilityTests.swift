import FoundationEssentials
import Testing

@testable import RevisionStore

#if canImport(Glibc)
  import Glibc
#endif

private let childVariable = "SWIFTLET_TEST_STORE_CHILD"

/// A child process, this same test program, writes and notes every answer; it is killed with -9; what was answered is there.
@Suite(.serialized) struct DurabilityTests {
  @Test(.timeLimit(.minutes(2)), .enabled(if: getenv(childVariable) == nil))
  func everyAcknowledgedWriteSurvivesKill9() async throws {
    let directory = TemporaryDirectory()
    var acknowledged = 0
    for round in 0..<5 {
      let child = try spawnChild(directory.path)
      // Wait until it writes, then a little, different each time.
      let deadline = ContinuousClock.now + .seconds(30)
      while fileSize(directory.path + "/acknowledged-\(child)") == 0, ContinuousClock.now < deadline {
        try await Task.sleep(for: .milliseconds(5))
      }
      try await Task.sleep(for: .milliseconds(60 + round * 47))
      #expect(kill(child, SIGKILL) == 0)
      var status: Int32 = 0
      #expect(waitpid(child, &status, 0) == child)
      #expect(status & 0x7F == SIGKILL, "the child ended by itself")

      let notes = try String(contentsOfFile: directory.path + "/acknowledged-\(child)", encoding: .utf8)
      let store = try SQLiteRevisionStore(path: directory.database)
      let lines = notes.split(separator: "\n")
      #expect(lines.count > 10)
      for line in lines {
        let fields = line.split(separator: " ")
        guard fields.count == 3, let revision = Revision(fields[1]) else { continue }
        let found = try await store.get(String(fields[0]), at: revision)
        #expect(found?.revision == revision && found.map { text($0.value) } == String(fields[2]), "\(line)")
      }
      acknowledged += lines.count
      // The history has no hole, and the list agrees with it.
      let newest = try await store.currentRevision()
      #expect(newest >= Revision(acknowledged))
      let events = try await collect(try await store.watch(prefix: "", from: 0), through: newest)
      #expect(events.map(\.revision) == Array(1...newest))
      #expect(try await store.list(prefix: "").items.count == Set(events.map(\.key)).count)
      try await store.close()
    }
  }

  @Test(.enabled(if: getenv(childVariable) != nil))
  func killedChild() async throws {
    let path = String(cString: getenv(childVariable))
    var limits = StoreLimits()
    limits.logPagesMax = 50
    let store = try SQLiteRevisionStore(path: path + "/state.db", limits: limits)
    let notes = open(path + "/acknowledged-\(getpid())", O_WRONLY | O_CREAT | O_APPEND, 0o600)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<8 {
        group.addTask {
          // A bound for the case that nobody kills it.
          for index in 0..<20_000 {
            let key = "/w/\(writer)/\(index % 20)"
            let value = "\(getpid())-\(index)-" + String(repeating: "x", count: 400)
            let line = "\(key) \(try await store.put(key, value)) \(value)\n"
            _ = line.withCString { Glibc.write(notes, $0, strlen($0)) }
          }
        }
      }
      try await group.waitForAll()
    }
  }

  private func spawnChild(_ path: String) throws -> pid_t {
    let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let arguments = [executable, "--testing-library", "swift-testing", "--filter", "killedChild"]
    let environment =
      ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" } + ["\(childVariable)=\(path)"]
    var pid: pid_t = 0
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor: Int32 in [1, 2] {
      posix_spawn_file_actions_addopen(&actions, descriptor, path + "/child.log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
    }
    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    let code = posix_spawn(&pid, executable, &actions, nil, &argv, &envp)
    #expect(code == 0)
    return pid
  }
}
