import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// The simulator takes a process for itself: its clock, its dice and its only thread are the process's.
@Suite struct SimulatorTests {
  private struct Outcome {
    let code: Int32
    let output: String
  }

  /// The program lies beside the tests.
  private static var program: String {
    var buffer = [CChar](repeating: 0, count: 4_096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let own = FilePath(String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self))
    let beside = own.removingLastComponent().appending("swiftlet-simulate").string
    return access(beside, X_OK) == 0 ? beside : ".build/debug/swiftlet-simulate"
  }

  private func simulate(_ arguments: String) throws -> Outcome {
    let pipe = try #require(popen("\(Self.program) \(arguments) 2>&1", "r"))
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 { output += buffer[..<count] }
    let status = pclose(pipe)
    return Outcome(code: status >> 8, output: String(decoding: output, as: UTF8.self))
  }

  @Test(arguments: [1, 3, 9]) func clusterHeals(seed: Int) throws {
    let outcome = try simulate("--seed \(seed) --hours 0.2")
    #expect(outcome.code == 0, "\(outcome.output.suffix(4_000))")
  }

  @Test func sameSeedTakesTheSameCourse() throws {
    let first = try simulate("--seed 5 --hours 0.05 --trace")
    let second = try simulate("--seed 5 --hours 0.05 --trace")
    let lines = { (outcome: Outcome) in outcome.output.split(separator: "\n").filter { !$0.contains("seeds in") } }
    #expect(lines(first).count > 100)
    #expect(lines(first) == lines(second))
    #expect(lines(first) != lines(try simulate("--seed 6 --hours 0.05 --trace")))
  }

  /// A judge who never finds anything is worth nothing: each of these bugs is put in on purpose.
  @Test(arguments: [
    ("ignore-preconditions", "lost update"), ("force-delete", "twice the same identity"), ("overcommit", "whose pods now request"),
    ("forget-orphans", "is an orphan"), ("generous-budget", "disruptions with"),
  ])
  func findsDeliberate(bug: String, told: String) throws {
    let outcome = try simulate("--seeds 1-4 --hours 0.7 --bug \(bug)")
    #expect(outcome.code == 1)
    #expect(outcome.output.contains(told), "\(outcome.output.suffix(2_000))")
  }
}
