import ArgumentParser
import JSONCodec

/// `swiftlet check`: what this kernel and machine offer and lack; what each is for, how to get it.
struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows what this kernel and machine offer and lack, what each is for, and how to get it.")

  @Flag(help: "Print only what is missing.")
  var quiet = false

  @Flag(name: .customLong("cgroups-only"), help: "Look only at the cgroup controllers; exit 1 where one is missing.")
  var cgroupsOnly = false

  @Option(name: .customLong("cgroup-root"), help: "The cgroup v2 directory to look at.")
  var cgroupRoot: String?

  @Option(name: .customLong("ports"), help: "Ports that should be free, separated by commas.")
  var ports = "6443,10250"

  @Option(name: .shortAndLong, help: "text or json.")
  var output = "text"

  func run() throws {
    var findings = MachineChecks.controllers(root: cgroupRoot)
    if !cgroupsOnly {
      findings = MachineChecks.kernel() + findings + MachineChecks.ports(ports.split(separator: ",").compactMap { Int($0) })
    }
    let shown = quiet ? findings.filter { $0.state != .present } : findings
    if output == "json" {
      print(JSON.array(shown.map(\.json)).prettyText())
    } else {
      for finding in shown { print(finding.text) }
    }
    if findings.contains(where: { $0.state == .missing }) { throw ExitCode(1) }
  }
}

/// One thing a machine has or lacks.
struct Finding {
  enum State: String { case present = "ok", degraded = "degraded", missing = "MISSING" }
  let name: String
  let state: State
  /// What was seen.
  let detail: String
  let purpose: String
  /// How to get it; empty where nothing is to be done.
  let remedy: String

  var text: String {
    let pad = String(repeating: " ", count: max(1, 30 - name.count))
    let mark = state.rawValue + String(repeating: " ", count: 9 - state.rawValue.count)
    let first = "\(mark) \(name)\(pad)\(detail)\n          for: \(purpose)"
    return state == .present || remedy.isEmpty ? first : first + "\n          get: \(remedy)"
  }

  var json: JSON {
    [
      "name": .string(name), "state": .string(state.rawValue), "detail": .string(detail), "purpose": .string(purpose),
      "remedy": .string(remedy),
    ]
  }
}
