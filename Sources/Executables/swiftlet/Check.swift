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
      Self.show(shown)
      if !quiet { print(Self.summary(findings)) }
    }
    if findings.contains(where: { $0.state == .missing }) { throw ExitCode(1) }
  }
}

extension Check {
  /// One line for each finding, and below those that are not as they should be, how to get there.
  private static func show(_ findings: [Finding]) {
    if findings.isEmpty { return }
    let rows = [["STATE", "WHAT", "SEEN", "FOR"]] + findings.map { [$0.state.rawValue, $0.name, $0.detail, $0.purpose] }
    let lines = TextTable.lines(rows)
    print(lines[0])
    for (index, finding) in findings.enumerated() {
      print(lines[index + 1])
      // Neighbours that lack the same are told once how to get it.
      let isLastOfItsKind = index + 1 == findings.count || findings[index + 1].remedy != finding.remedy
      if finding.state != .present, !finding.remedy.isEmpty, isLastOfItsKind { print("           get it: \(finding.remedy)") }
    }
  }

  private static func summary(_ findings: [Finding]) -> String {
    func names(_ state: Finding.State) -> String { findings.filter { $0.state == state }.map(\.name).joined(separator: ", ") }
    let (missing, degraded) = (names(.missing), names(.degraded))
    if missing.isEmpty, degraded.isEmpty { return "\nThis machine has all that Swiftlet needs." }
    return (missing.isEmpty ? "" : "\nMissing: \(missing).") + (degraded.isEmpty ? "" : "\nLess than it could be: \(degraded).")
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

  var json: JSON {
    [
      "name": .string(name), "state": .string(state.rawValue), "detail": .string(detail), "purpose": .string(purpose),
      "remedy": .string(remedy),
    ]
  }
}
