import LinuxKernel
import SystemPackage
import Testing

@testable import ContainerRuntime

#if canImport(Glibc)
  import Glibc
#endif

@Suite(.serialized, .enabled(if: Machine.isPossible, "needs root and /bin/busybox"))
struct ProcessTests {
  @Test func exitCodesAndSignals() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      #expect(try await machine.run(["/bin/true"]).state.exitCode == 0)
      #expect(try await machine.sh("exit 7").state.exitCode == 7)
      let killed = try await machine.sh("kill -9 $$; sleep 0.1").state
      // The first process of a PID namespace ignores its own SIGKILL.
      #expect(killed.exitCode == 0 || killed.exitCode == 137)

      let spec = machine.spec(["/bin/sleep", "100"])
      let started = try await machine.runtime.startContainer(spec, in: "pod-uid-1")
      #expect(started.phase == .running && started.pid > 0 && started.startedAt > 0)
      try await machine.runtime.signalContainer(spec.id, in: "pod-uid-1", signal: SIGKILL)
      let end = try await machine.exit(of: spec.id)
      #expect(end.exitCode == 137 && end.signal == 9 && end.finishedAt >= end.startedAt && !end.oomKilled)

      let term = machine.spec(["/bin/sh", "-c", "trap 'exit 42' TERM; echo up; while :; do sleep 0.05; done"])
      _ = try await machine.runtime.startContainer(term, in: "pod-uid-1")
      _ = try await machine.until("it is up") { try Files.text(term.logPath.string).contains("up") ? true : nil }
      try await machine.runtime.signalContainer(term.id, in: "pod-uid-1", signal: SIGTERM)
      #expect(try await machine.exit(of: term.id).exitCode == 42)
    }
  }

  @Test func failureNamesStageAndCause() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      func failure(_ argv: [String], _ change: (inout ContainerSpec) -> Void = { _ in }) async -> ContainerStartError? {
        do {
          _ = try await machine.runtime.startContainer(machine.spec(argv, change), in: "pod-uid-1")
          return nil
        } catch { return error as? ContainerStartError }
      }
      let missing = await failure(["nosuch"])
      #expect(missing?.stage == "exec" && missing?.errno == .noSuchFileOrDirectory && missing?.detail == "nosuch")
      let directory = await failure(["/etc"])
      #expect(directory?.stage == "exec" && directory?.errno == .permissionDenied)
      let mount = await failure(["/bin/true"]) {
        $0.mounts = [
          ContainerMount(source: .bind("/nonexistent/source", readOnly: false, propagation: .private), target: "/x", isDirectory: true)
        ]
      }
      #expect(mount?.stage == "mount" && mount?.errno == .noSuchFileOrDirectory)
      let cwd = await failure(["/bin/true"]) { $0.workingDirectory = "/proc/self/fd/7" }
      #expect(cwd?.stage == "working directory")
      let layer = await failure(["/bin/true"]) { $0.rootfsLayers = ["/nonexistent/layer"] }
      #expect(layer?.stage == "rootfs")
      #expect(try machine.runtime.state(of: "pod-uid-1").containers.isEmpty)
      #expect(try Files.names(in: machine.configuration.stateDirectory.appending("sandboxes/pod-uid-1/containers")).isEmpty)
      // And the sandbox goes on.
      #expect(try await machine.run(["/bin/true"]).state.exitCode == 0)
    }
  }

  @Test func whoTheProcessIs() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let result = try await machine.sh("id -u; id -g; id -G; pwd; echo $GREETING; umask; hostname; tty; ls -l /proc/self/fd | wc -l") {
        $0.uid = 1000
        $0.gid = 2000
        $0.supplementalGroups = [3000, 4000]
        $0.umask = 0o027
        $0.workingDirectory = "/made/for/it"
        $0.environment.append("GREETING=hello world")
      }
      let lines = result.output.split(separator: "\n").map(String.init)
      #expect(lines.prefix(7) == ["1000", "2000", "2000 3000 4000", "/made/for/it", "hello world", "0027", "web-0"])
      #expect(lines[7] == "not a tty")
      #expect(Int(lines[8].trimming()) == 5)  // "total", 0, 1, 2 and ls's own
      #expect(result.state.exitCode == 0)
      #expect(try await machine.sh("echo to-stderr >&2").errors == "to-stderr\n")
    }
  }

  @Test func capabilitiesSeccompAndLimits() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      func status(_ change: (inout ContainerSpec) -> Void) async throws -> [String: String] {
        let text = try await machine.sh("cat /proc/self/status; cat /proc/self/oom_score_adj; cat /proc/self/limits", change).output
        var fields: [String: String] = [:]
        for line in text.split(separator: "\n") {
          let parts = line.split(separator: ":", maxSplits: 1)
          if parts.count == 2 { fields[String(parts[0])] = String(parts[1]).trimming() }
          if line.hasPrefix("Max open files") { fields["nofile"] = line.split(separator: " ")[3...4].joined(separator: " ") }
          if parts.count == 1, Int(line) != nil { fields["oom"] = String(line) }
        }
        return fields
      }
      let nine = hex(CapabilitySet.containerDefault.bits)
      let root = try await status {
        $0.noNewPrivileges = true
        $0.oomScoreAdj = 500
        $0.rlimits = [ResourceLimit(resource: UInt32(RLIMIT_NOFILE.rawValue), soft: 100, hard: 200)]
      }
      #expect(root["CapEff"] == nine && root["CapPrm"] == nine && root["CapBnd"] == nine)
      #expect(root["CapInh"] == hex(0) && root["CapAmb"] == hex(0))
      #expect(root["Seccomp"] == "2" && root["NoNewPrivs"] == "1" && root["oom"] == "500" && root["nofile"] == "100 200")

      let user = try await status { $0.uid = 1000 }
      #expect(
        user["CapEff"] == hex(0) && user["CapPrm"] == hex(0) && user["CapBnd"] == nine && user["NoNewPrivs"] == "0"
          && user["Seccomp"] == "2")

      let open = try await status {
        $0.seccomp = .unconfined
        $0.capabilities = ["NET_RAW"]
      }
      #expect(open["Seccomp"] == "0" && open["CapEff"] == hex(1 << 13))

      let privileged = try await status { $0.privileged = true }
      #expect(privileged["CapEff"] == own("CapEff") && privileged["Seccomp"] == "0")
      // What only administers the machine is refused.
      #expect(try await machine.sh("unshare -U true").state.exitCode != 0)
      #expect(try await machine.sh("mount -t tmpfs x /tmp").state.exitCode != 0)
    }
  }

  private func hex(_ bits: UInt64) -> String {
    let text = String(bits, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  private func own(_ name: String) -> String {
    let line = (try? Files.text("/proc/self/status"))?.split(separator: "\n").first { $0.hasPrefix(name) }
    return String(line?.split(separator: "\t").last ?? "")
  }

  @Test func execJoins() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let spec = machine.spec(["/bin/sleep", "100"]) {
        $0.uid = 1000
        $0.noNewPrivileges = true
        $0.workingDirectory = "/tmp"
      }
      _ = try await machine.runtime.startContainer(spec, in: "pod-uid-1")
      let result = try await machine.runtime.run(
        [
          "/bin/sh", "-c",
          "id -u; pwd; echo error >&2; grep -E 'Seccomp:|NoNewPrivs|CapBnd' /proc/self/status; ps | grep -c 'sleep 100'; cat /proc/self/cgroup /proc/1/cgroup; exit 3",
        ],
        container: spec.id, in: "pod-uid-1", outputMax: 10_000)
      let text = String(decoding: result.output, as: UTF8.self)
      #expect(result.exitCode == 3)
      #expect(text.hasPrefix("1000\n/tmp\nerror\n"), "\(text)")
      #expect(text.contains("Seccomp:\t2") && text.contains("NoNewPrivs:\t1"))
      if machine.cgroupRoot != nil {
        let unified = text.split(separator: "\n").filter { $0.hasPrefix("0::") }
        #expect(unified == ["0::/", "0::/"])
      }

      var withInput = ExecSpec(argv: ["/bin/cat"], stdin: true)
      withInput.separateError = true
      let session = try await machine.runtime.exec(withInput, container: spec.id, in: "pod-uid-1")
      do {
        let input = number(session.takeInput())
        put(input, "through and back")
        close(input)
      }
      #expect(readAll(number(session.takeOutput())) == "through and back")
      #expect(try await session.wait() == 0)

      do {
        _ = try await machine.runtime.exec(ExecSpec(argv: ["/bin/nosuch"]), container: spec.id, in: "pod-uid-1")
        Issue.record("started")
      } catch let error as ContainerStartError {
        #expect(error.stage == "exec" && error.errno == .noSuchFileOrDirectory)
      }
      let long = try await machine.runtime.exec(ExecSpec(argv: ["/bin/sleep", "100"]), container: spec.id, in: "pod-uid-1")
      try await long.signal(SIGKILL)
      #expect(try await long.wait() == 137)
      let cut = try await machine.runtime.run(["/bin/sh", "-c", "seq 1 100000"], container: spec.id, in: "pod-uid-1", outputMax: 1000)
      #expect(cut.output.count == 1000 && cut.exitCode == 0)

      let cancelled = Task { try await machine.runtime.run(["/bin/sleep", "100"], container: spec.id, in: "pod-uid-1", outputMax: 10) }
      try await Task.sleep(for: .milliseconds(100))
      cancelled.cancel()
      await #expect(throws: CancellationError.self) { try await cancelled.value }
    }
  }

  @Test func terminals() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let spec = machine.spec(["/bin/sh", "-c", "tty; stty size; while read line; do echo \"got $line\"; stty size; done"]) {
        $0.tty = true
        $0.stdin = true
      }
      _ = try await machine.runtime.startContainer(spec, in: "pod-uid-1")
      let attached = try await machine.runtime.attach(container: spec.id, in: "pod-uid-1")
      let input = number(attached.takeInput())
      let output = number(attached.takeOutput())
      defer {
        close(input)
        close(output)
      }
      #expect(number(attached.takeError()) == -1)
      try await attached.resize(rows: 33, columns: 111)
      put(input, "one\n")
      let seen = read(output, until: "got one\r\n33 111")
      #expect(seen.contains("got one\r\n33 111"), "\(seen)")
      let log = try await machine.until("the log has it") {
        let text = try Files.text(spec.logPath.string)
        return text.contains("got one") ? text : nil
      }
      #expect(log.contains("stdout F /dev/pts/0"))

      var shell = ExecSpec(argv: ["/bin/sh", "-c", "tty; stty size; read x; stty size; exit 5"], stdin: true, tty: true)
      (shell.rows, shell.columns) = (24, 80)
      let session = try await machine.runtime.exec(shell, container: spec.id, in: "pod-uid-1")
      let terminal = try number(session.terminalDescriptor())
      defer { close(terminal) }
      #expect(read(terminal, until: "24 80").contains("/dev/pts/1"))
      try session.resize(rows: 50, columns: 132)
      put(terminal, "\n")
      #expect(read(terminal, until: "50 132").contains("50 132"))
      #expect(try await session.wait() == 5)
    }
  }

  @Test func attachFeedsAndCopies() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let spec = machine.spec(["/bin/sh", "-c", "while read l; do echo out $l; echo err $l >&2; done; echo end of input"]) {
        $0.stdin = true
        $0.stdinOnce = true
      }
      _ = try await machine.runtime.startContainer(spec, in: "pod-uid-1")
      let first = try await machine.runtime.attach(container: spec.id, in: "pod-uid-1", stdin: false)
      let second = try await machine.runtime.attach(container: spec.id, in: "pod-uid-1")
      #expect(number(first.takeInput()) == -1)
      do {
        let input = number(second.takeInput())
        put(input, "a\nb\n")
        close(input)
      }
      #expect(readAll(number(first.takeOutput())) == "out a\nout b\nend of input\n")
      #expect(readAll(number(second.takeOutput())) == "out a\nout b\nend of input\n")
      #expect(readAll(number(second.takeError())) == "err a\nerr b\n")
      #expect(try await machine.exit(of: spec.id).exitCode == 0)
      #expect(Machine.text(try Files.text(spec.logPath.string), "stdout") == "out a\nout b\nend of input\n")
    }
  }
}

extension String {
  func trimming() -> String {
    String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
  }
}
