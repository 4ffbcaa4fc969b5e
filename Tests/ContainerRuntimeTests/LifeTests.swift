import JSONCodec
import LinuxKernel
import SystemPackage
import Testing

@testable import ContainerRuntime

#if canImport(Glibc)
  import Glibc
#endif

@Suite(.serialized, .enabled(if: Machine.isPossible, "needs root and /bin/busybox"))
struct LifeTests {
  @Test func eventsTellOfExits() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let spec = machine.spec(["/bin/sh", "-c", "exit 9"])
      _ = try await machine.runtime.startContainer(spec, in: "pod-uid-1")
      for await event in machine.runtime.events {
        guard case .containerExited("pod-uid-1", let state) = event else { continue }
        #expect(state.id == spec.id && state.exitCode == 9 && state.phase == .exited)
        break
      }
    }
  }

  @Test func agentDiesAndComesBack() async throws {
    try await Machine.with { machine in
      let before = try await machine.sandbox()
      let lives = machine.spec(["/bin/sleep", "1000"])
      let ends = machine.spec(["/bin/sh", "-c", "while ! test -e /go/now; do sleep 0.02; done; echo bye > /dev/termination-log; exit 21"]) {
        $0.mounts = [ContainerMount(source: .bind(machine.folder, readOnly: true, propagation: .private), target: "/go", isDirectory: true)]
      }
      let ended = machine.spec(["/bin/sh", "-c", "exit 4"])
      let pid = try await machine.runtime.startContainer(lives, in: "pod-uid-1").pid
      _ = try await machine.runtime.startContainer(ends, in: "pod-uid-1")
      _ = try await machine.runtime.startContainer(ended, in: "pod-uid-1")
      _ = try await machine.exit(of: ended.id)

      for sandbox in machine.runtime.sandboxes.withLock({ Array($0.values) }) { sandbox.connection?.close() }
      let files = SandboxFiles(id: "pod-uid-1", configuration: machine.configuration)
      close(open(machine.folder.appending("now").string, O_CREAT | O_WRONLY, 0o644))
      // It ends while no agent is there to hear of it.
      _ = try await machine.until("it has ended") { files.supervisorRecord().exits[ends.id] }

      let found = try await machine.restartAgent()
      #expect(found.count == 1)
      let sandbox = try #require(found.first)
      #expect(sandbox.isAlive && sandbox.supervisorPID == before.supervisorPID && sandbox.labels["pod"].string == "kept")
      let states = Dictionary(uniqueKeysWithValues: sandbox.containers.map { ($0.id, $0) })
      #expect(states[lives.id]?.phase == .running && states[lives.id]?.pid == pid)
      #expect(states[ends.id]?.phase == .exited && states[ends.id]?.exitCode == 21 && states[ends.id]?.message == "bye\n")
      #expect(states[ended.id]?.phase == .exited && states[ended.id]?.exitCode == 4)

      // Everything goes on: entering, starting, ending.
      #expect(
        try await machine.runtime.run(["/bin/echo", "hi"], container: lives.id, in: "pod-uid-1", outputMax: 100).output
          == Array("hi\n".utf8))
      #expect(try await machine.run(["/bin/true"]).state.exitCode == 0)
      try await machine.runtime.signalContainer(lives.id, in: "pod-uid-1", signal: SIGKILL)
      #expect(try await machine.exit(of: lives.id).exitCode == 137)
      // A second restart still knows what was acknowledged to the first.
      let again = try await machine.restartAgent()
      #expect(again.first?.containers.count == 3 && again.first?.containers.allSatisfy { $0.phase == .exited } == true)
    }
  }

  @Test func supervisorDies() async throws {
    try await Machine.with { machine in
      let state = try await machine.sandbox()
      let spec = machine.spec(["/bin/sleep", "1000"])
      let pid = try await machine.runtime.startContainer(spec, in: "pod-uid-1").pid
      kill(state.supervisorPID, SIGKILL)
      var died = false
      for await event in machine.runtime.events {
        if case .supervisorDied("pod-uid-1") = event {
          died = true
          break
        }
      }
      #expect(died)
      // Its containers do not outlive it.
      _ = try await machine.until("the container is gone") { kill(pid, 0) != 0 && errno == ESRCH ? true : nil }
      let after = try machine.runtime.state(of: "pod-uid-1")
      #expect(!after.isAlive && after.containers.first?.phase == .exited && after.containers.first?.exitCode == 137)
      let found = try await machine.restartAgent()
      #expect(found.count == 1 && found[0].isAlive == false && found[0].containers.first?.exitCode == 137)
      try await machine.runtime.removeSandbox("pod-uid-1")
      _ = try await machine.sandbox()
      #expect(try await machine.run(["/bin/true"]).state.exitCode == 0)
    }
  }

  @Test func sharedProcessNamespace() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox { $0.shareProcessNamespace = true }
      let first = machine.spec(["/bin/sh", "-c", "(sleep 1111 &) ; exec sleep 2222"])
      _ = try await machine.runtime.startContainer(first, in: "pod-uid-1")
      let seen = try await machine.until("both are there") {
        let text = try await machine.sh("ps").output
        return text.contains("sleep 1111") && text.contains("sleep 2222") ? text : nil
      }
      #expect(
        seen.split(separator: "\n").contains {
          $0.split(separator: " ").first == "1" && $0.contains("pause") || $0.contains("swiftlet-pod")
        }, "\(seen)")
      try await machine.runtime.signalContainer(first.id, in: "pod-uid-1", signal: SIGKILL)
      #expect(try await machine.exit(of: first.id).exitCode == 137)
      if machine.cgroupRoot != nil {
        // What the first process left behind goes with its container.
        _ = try await machine.until("nothing is left") { try await machine.sh("ps").output.contains("sleep 1111") ? nil : true }
      }
    }
  }

  @Test func namespacesOfThePod() async throws {
    try await Machine.with { machine in
      let state = try await machine.sandbox { $0.sysctls = ["net.ipv4.ip_unprivileged_port_start": "80", "kernel.shm_rmid_forced": "1"] }
      let text = try await machine.sh(
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced; touch /dev/shm/here; ls /sys/class/net"
      ).output
      #expect(text == "80\n1\nlo\n")
      // Containers of one pod share network, IPC and /dev/shm.
      #expect(try await machine.sh("ls /dev/shm").output == "here\n")
      let namespace = try machine.runtime.networkNamespace(of: "pod-uid-1")
      var ours = stat()
      var theirs = stat()
      stat("/proc/self/ns/net", &ours)
      fstat(namespace.rawValue, &theirs)
      _ = consume namespace
      #expect(ours.st_ino != theirs.st_ino)
      _ = state
      for (name, value) in [
        ("kernel.core_pattern", "x"), ("net.ipv4.x", "1\n2"), ("net.../../kernel/core_pattern", "x"), ("kernel.shmmax+", "1"),
      ] {
        await #expect(throws: ContainerRuntimeError.self, "\(name)") { _ = try await machine.sandbox("bad") { $0.sysctls = [name: value] } }
      }
      await #expect(throws: ContainerRuntimeError.self) {
        _ = try await machine.sandbox("host") {
          $0.hostNetwork = true
          $0.sysctls = ["net.core.somaxconn": "1"]
        }
      }
      _ = try await machine.sandbox("host") {
        $0.hostNetwork = true
        $0.hostPID = true
      }
      let host = try await machine.sh("ls /sys/class/net; ls -d /proc/\(getpid())", in: "host").output
      #expect(host.contains("/proc/\(getpid())"))
    }
  }

  @Test func nothingIsLeft() async throws {
    let mounts = try Files.text("/proc/self/mountinfo")
    var (root, folder): (FilePath?, FilePath) = (nil, "/")
    try await Machine.with { machine in
      (root, folder) = (machine.cgroupRoot, machine.folder)
      let states = try await [machine.sandbox("one"), machine.sandbox("two") { $0.shareProcessNamespace = true }]
      var pids = states.map(\.supervisorPID)
      for id in ["one", "two"] {
        pids.append(try await machine.runtime.startContainer(machine.spec(["/bin/sh", "-c", "sleep 1000 & sleep 1000"]), in: id).pid)
      }
      #expect(try Files.text("/proc/self/mountinfo") == mounts)
      for id in ["one", "two"] { try await machine.runtime.removeSandbox(id) }
      for pid in pids { #expect(kill(pid, 0) != 0 && errno == ESRCH) }
      #expect(try Files.names(in: machine.configuration.runDirectory.appending("pods")).isEmpty)
      #expect(try Files.names(in: machine.configuration.stateDirectory.appending("sandboxes")).isEmpty)
    }
    if let root { #expect(access(root.string, F_OK) != 0) }
    #expect(access(folder.string, F_OK) != 0)
    #expect(try Files.text("/proc/self/mountinfo") == mounts)
  }

  @Test func supervisorIsSmallAndPrivate() async throws {
    try await Machine.with { machine in
      let state = try await machine.sandbox()
      _ = try await machine.runtime.startContainer(machine.spec(["/bin/sleep", "1000"]), in: "pod-uid-1")
      let rollup = try Files.text("/proc/\(state.supervisorPID)/smaps_rollup")
      let pss = rollup.split(separator: "\n").first { $0.hasPrefix("Pss:") }.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
      #expect(pss > 0 && pss < 1024, "PSS \(pss) kB")
      var status = stat()
      stat(machine.configuration.runDirectory.appending("pods/pod-uid-1/supervisor.sock").string, &status)
      #expect(status.st_mode & 0o777 == 0o600)
      // The container cannot be led to the supervisor's program.
      let before = try Files.text("/proc/\(state.supervisorPID)/mounts").split(separator: "\n")
      #expect(before.count == 2, "the supervisor holds nothing of the host: \(before)")
    }
  }
}
