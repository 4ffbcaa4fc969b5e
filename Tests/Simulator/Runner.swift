import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

struct SimulatorOptions: Sendable {
  struct Misuse: Error, CustomStringConvertible {
    let description: String
  }

  static let usage = """
    usage: swiftlet-simulate [--seeds FIRST-LAST | --seed N] [--hours H] [--jobs N] [--bug NAME] [--trace]
      Lives a cluster's life for each seed: H virtual hours with faults, then until it has come to rest.
      --trace prints every event; a failing seed prints the last ones. The same seed always takes the same course.
      --bug puts a fault in on purpose: \(DeliberateBug.allCases.map(\.rawValue).joined(separator: ", "))
    """

  var seeds: ClosedRange<UInt64> = 1...20
  var hours = 1.0
  var jobs = 2
  var bug: DeliberateBug?
  var traces = false
  /// One process simulates one seed after the other and prints nothing else.
  var isWorker = false

  init(_ arguments: [String]) throws {
    var rest = arguments[...]
    func value(_ name: String) throws -> String {
      guard let value = rest.popFirst() else { throw Misuse(description: "\(name) needs a value\n\(Self.usage)") }
      return value
    }
    while let argument = rest.popFirst() {
      switch argument {
      case "--seed":
        guard let seed = UInt64(try value(argument)) else { throw Misuse(description: Self.usage) }
        seeds = seed...seed
      case "--seeds":
        let parts = try value(argument).split(separator: "-").compactMap { UInt64($0) }
        guard let last = parts.last, parts.count <= 2, parts.count == 2 ? parts[0] <= last : last > 0 else {
          throw Misuse(description: Self.usage)
        }
        seeds = (parts.count == 2 ? parts[0] : 1)...last
      case "--hours":
        guard let hours = Double(try value(argument)), hours > 0 else { throw Misuse(description: Self.usage) }
        self.hours = hours
      case "--jobs":
        guard let jobs = Int(try value(argument)), jobs > 0 else { throw Misuse(description: Self.usage) }
        self.jobs = jobs
      case "--bug":
        guard let bug = DeliberateBug(rawValue: try value(argument)) else { throw Misuse(description: Self.usage) }
        self.bug = bug
      case "--trace": traces = true
      case "--worker": isWorker = true
      default: throw Misuse(description: Self.usage)
      }
    }
  }

  func arguments(of seed: UInt64) -> [String] {
    ["--worker", "--seed", String(seed), "--hours", String(hours)] + (bug.map { ["--bug", $0.rawValue] } ?? [])
      + (traces ? ["--trace"] : [])
  }
}

enum Runner {
  /// Simulates one seed in this process. 0: nothing was wrong.
  static func work(_ options: SimulatorOptions) throws -> Int32 {
    var template = Array("/tmp/swiftlet-simulate.XXXXXX".utf8CString)
    let directory = FilePath(String(cString: mkdtemp(&template)!))
    defer { remove(directory) }
    mkdir(directory.appending("pki").string, 0o700)
    let keys = try Simulation.KeyRing(directory: directory)
    let seed = options.seeds.lowerBound
    VirtualTime.begin(seed: seed)
    let simulation = Simulation.make(seed: seed, hours: options.hours, bug: options.bug, prints: options.traces, keys: keys)
    nonisolated(unsafe) var isDone = false
    Task.detached {
      await simulation.run()
      isDone = true
    }
    let world = simulation.world
    let ended = VirtualTime.run { isDone || !world.violations.isEmpty }
    if !ended { world.violation("every task waits, and nothing will ever wake one") }
    let hours = world.seconds / 3_600
    guard world.violations.isEmpty else {
      if !options.traces { for line in world.lastTrace.suffix(120) { say(line) } }
      say("seed \(seed): FAILED after \(two(hours)) h, \(world.judge.commits) commits, \(VirtualTime.shared.jobsRun) steps")
      for violation in world.violations { say("seed \(seed): \(violation)") }
      return 1
    }
    say("seed \(seed): ok, \(two(hours)) h, \(world.judge.commits) commits, \(VirtualTime.shared.jobsRun) steps")
    return 0
  }

  private static func two(_ number: Double) -> String { "\(Double(Int(number * 100)) / 100)" }

  private static func remove(_ directory: FilePath) {
    for folder in [directory.appending("pki"), directory] {
      if let handle = opendir(folder.string) {
        while let entry = readdir(handle) {
          let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
          }
          unlink(folder.appending(name).string)
        }
        closedir(handle)
      }
      rmdir(folder.string)
    }
  }

  /// Simulates every seed in a process of its own, some at a time. 0: nothing was wrong.
  static func spread(_ options: SimulatorOptions) throws -> Int32 {
    let start = ContinuousClock.now
    var running: [pid_t: UInt64] = [:]
    var failed: [UInt64] = []
    var next: UInt64? = options.seeds.lowerBound
    while next != nil || !running.isEmpty {
      while let seed = next, running.count < options.jobs {
        running[try spawn(options.arguments(of: seed))] = seed
        next = seed < options.seeds.upperBound ? seed + 1 : nil
      }
      var status: Int32 = 0
      let pid = wait(&status)
      guard let seed = running.removeValue(forKey: pid) else { continue }
      if status & 0x7f != 0 { say("seed \(seed): the process ended by signal \(status & 0x7f)") }
      if status != 0 { failed.append(seed) }
    }
    let spent = (ContinuousClock.now - start) / .seconds(1)
    say("\(options.seeds.count) seeds in \(two(spent)) s, \(failed.count) failed")
    for seed in failed {
      say("again: swiftlet-simulate --seed \(seed) --hours \(options.hours)\(options.bug.map { " --bug \($0.rawValue)" } ?? "") --trace")
    }
    return failed.isEmpty ? 0 : 1
  }

  /// Set iteration must not differ from process to process.
  private static func spawn(_ arguments: [String]) throws -> pid_t {
    setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
    var argv: [UnsafeMutablePointer<CChar>?] = (["swiftlet-simulate"] + arguments).map { strdup($0) } + [nil]
    defer { for pointer in argv { free(pointer) } }
    var pid: pid_t = 0
    let code = posix_spawn(&pid, "/proc/self/exe", nil, nil, &argv, environ)
    guard code == 0 else { throw SimulatorOptions.Misuse(description: "cannot start a process: \(String(cString: strerror(code)))") }
    return pid
  }
}
