import LinuxKernel
import SystemPackage
import Testing

@testable import ContainerRuntime

#if canImport(Glibc)
  import Glibc
#endif

@Suite(.serialized, .enabled(if: Machine.isPossible, "needs root and /bin/busybox"))
struct LogTests {
  @Test func recordsAndPartialLines() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let spec = machine.spec([
        "/bin/sh", "-c", "echo one; echo two >&2; head -c 40000 /dev/zero | sed s/./x/g | tr '\\0' x; echo; printf 'no end'",
      ])
      _ = try await machine.runtime.startContainer(spec, in: "pod-uid-1")
      _ = try await machine.exit(of: spec.id)
      let lines = try Files.text(spec.logPath.string).split(separator: "\n").map(String.init)
      let form = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [FP] .*/
      #expect(lines.allSatisfy { $0.wholeMatch(of: form) != nil })
      #expect(lines.contains { $0.hasSuffix(" stdout F one") } && lines.contains { $0.hasSuffix(" stderr F two") })
      let partial = lines.filter { $0.contains(" stdout P ") }
      #expect(partial.count == 3 && partial.prefix(2).allSatisfy { $0.split(separator: " ").last!.utf8.count == 16384 })
      #expect(lines.contains { $0.contains(" stdout F xxx") && $0.split(separator: " ").last!.utf8.count == 40000 - 2 * 16384 })
      #expect(lines.last!.hasSuffix(" stdout P no end"), "a reader adds no newline that the program did not write")
      var status = stat()
      stat(spec.logPath.string, &status)
      #expect(status.st_mode & 0o777 == 0o640)
    }
  }

  @Test func rotationLosesAndRepeatsNothing() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let spec = machine.spec(["/bin/seq", "1", "200000"]) {
        $0.logSizeMax = 256 << 10
        $0.logFilesMax = 1000
      }
      _ = try await machine.runtime.startContainer(spec, in: "pod-uid-1")
      _ = try await machine.exit(of: spec.id)
      let folder = spec.logPath.removingLastComponent()
      let base = spec.logPath.lastComponent!.string
      let names = try Files.names(in: folder)
      let rotated = names.filter { $0.hasPrefix(base + ".") }
      #expect(rotated.count > 20)
      var next = 1
      var broken = 0
      for name in rotated + [base] {
        let bytes = try Files.read(folder.appending(name).string, limit: 1 << 20)
        #expect(bytes.count <= 256 << 10)
        for line in bytes.split(separator: 10) {
          if Int(String(decoding: line.split(separator: 32).last!, as: UTF8.self)) != next { broken += 1 }
          next += 1
        }
      }
      #expect(broken == 0 && next == 200_001)

      let few = machine.spec(["/bin/seq", "1", "20000"]) {
        $0.logPath = folder.appending("few.log")
        $0.logSizeMax = 64 << 10
        $0.logFilesMax = 3
      }
      _ = try await machine.runtime.startContainer(few, in: "pod-uid-1")
      _ = try await machine.exit(of: few.id)
      #expect(try Files.names(in: folder).filter { $0.hasPrefix("few.log") }.count == 3)
      #expect(try Files.text(folder.appending("few.log").string).hasSuffix(" 20000\n"))
    }
  }
}
