import LinuxKernel
import SystemPackage
import Testing

@testable import ContainerRuntime

#if canImport(Glibc)
  import Glibc
#endif

@Suite(.serialized, .enabled(if: Machine.isPossible, "needs root and /bin/busybox"))
struct FileSystemTests {
  @Test func systemMountsAndMasks() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let result = try await machine.sh(
        """
        ls /dev | sort | tr '\\n' ' ' 2>/dev/null; for f in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$f; done
        readlink /dev/fd; readlink /dev/ptmx
        for f in interrupts kcore timer_list keys; do test -e /proc/$f && wc -c < /proc/$f; done; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | wc -w
        echo 1 > /proc/sys/kernel/domainname && echo written; touch /sys/x && echo written; touch /sys/fs/cgroup/x && echo written
        echo b > /proc/sysrq-trigger && echo written; mkdir /sys/fs/cgroup/sub && echo written
        cat /proc/mounts
        """)
      let text = result.output
      let zeros = ["interrupts", "kcore", "timer_list", "keys"].filter { access("/proc/\($0)", F_OK) == 0 }.map { _ in "0\n" }.joined()
      for line in ["null 1:3 666", "zero 1:5 666", "full 1:7 666", "random 1:8 666", "urandom 1:9 666", "tty 5:0 666"] {
        #expect(text.contains("/dev/\(line)"), "\(text)")
      }
      #expect(text.contains("/proc/self/fd\npts/ptmx\n\(zeros)0\n"), "\(text)")
      #expect(!text.contains("written"))
      for mount in [
        "proc /proc proc rw,nosuid,nodev,noexec", "sysfs /sys sysfs ro,nosuid,nodev,noexec", "devpts /dev/pts devpts",
        "mqueue /dev/mqueue mqueue",
      ] {
        #expect(text.contains(mount), "\(mount) in \(text)")
      }
      if machine.cgroupRoot != nil { #expect(text.contains("cgroup2 ro,nosuid,nodev,noexec")) }
      // Nothing of the host but what was mounted on purpose.
      #expect(text.split(separator: "\n").filter { $0.contains(" ext4 ") }.allSatisfy { $0.contains(" /dev/termination-log ") })
    }
  }

  @Test func readOnlyRootAndMounts() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let volume = machine.folder.appending("volume")
      try Files.makeDirectories(volume, mode: 0o777)
      chmod(volume.string, 0o777)
      let file = machine.folder.appending("hosts")
      try write("127.0.0.1 localhost\n", file)
      let result = try await machine.sh(
        "touch /x && echo rootfs; touch /rw/new && echo rw; touch /ro/new2 && echo ro; touch /dir/tmpfs/y && echo tmpfs; cat /etc/hosts; stat -f -c %b /dir/tmpfs"
      ) {
        $0.readOnlyRootfs = true
        $0.mounts = [
          ContainerMount(source: .bind(volume, readOnly: false, propagation: .private), target: "/rw", isDirectory: true),
          ContainerMount(source: .bind(volume, readOnly: true, propagation: .private), target: "/ro", isDirectory: true),
          ContainerMount(source: .tmpfs(size: 1 << 20), target: "/dir/tmpfs", isDirectory: true),
          ContainerMount(source: .bind(file, readOnly: true, propagation: .private), target: "/etc/hosts", isDirectory: false),
        ]
      }
      #expect(result.output == "rw\ntmpfs\n127.0.0.1 localhost\n256\n")
      #expect(access(volume.appending("new").string, F_OK) == 0 && access(volume.appending("new2").string, F_OK) != 0)
      // The image layer is as it was.
      #expect(try Files.names(in: machine.layer) == ["bin", "etc", "root", "tmp"])
    }
  }

  @Test func terminationMessage() async throws {
    try await Machine.with { machine in
      _ = try await machine.sandbox()
      let result = try await machine.sh("echo -n 'last words' > /dev/termination-log; exit 1")
      #expect(result.state.message == "last words" && result.state.exitCode == 1)
      let long = try await machine.sh("head -c 100000 /dev/zero > /my/log") { $0.terminationMessagePath = "/my/log" }
      #expect(long.state.message?.utf8.count == 4096)
      #expect(try await machine.sh("true") { $0.terminationMessagePath = "" }.state.message == nil)
    }
  }

  @Test func linksLeadNowhere() async throws {
    try await Machine.with { machine in
      let outside = machine.folder.appending("outside")
      try Files.makeDirectories(outside, mode: 0o755)
      symlink("../../../../../../../../../..\(outside)", machine.layer.appending("up").string)
      symlink(outside.string, machine.layer.appending("absolute").string)
      symlink("/proc/self/root", machine.layer.appending("magic").string)
      _ = try await machine.sandbox()
      let volume = machine.folder.appending("volume")
      try Files.makeDirectories(volume, mode: 0o755)
      let bind = ContainerMount.Source.bind(volume, readOnly: false, propagation: .private)
      for target in ["/up/made", "/absolute/made", "/magic/made", "/up", "/x/../../made", "/proc/self/fd/3", "/proc/sys"] {
        let spec = machine.spec(["/bin/true"]) { $0.mounts = [ContainerMount(source: bind, target: target, isDirectory: true)] }
        await #expect(throws: ContainerStartError.self, "\(target)") { try await machine.runtime.startContainer(spec, in: "pod-uid-1") }
      }
      // A link that stays within the root file system is followed there.
      symlink("/etc", machine.layer.appending("inside").string)
      let inside = try await machine.sh("ls -d /etc/made") {
        $0.mounts = [ContainerMount(source: bind, target: "/inside/made", isDirectory: true)]
      }
      #expect(inside.output == "/etc/made\n")
      let cwd = machine.spec(["/bin/pwd"]) { $0.workingDirectory = "/absolute/work" }
      await #expect(throws: ContainerStartError.self) { try await machine.runtime.startContainer(cwd, in: "pod-uid-1") }
      #expect(try Files.names(in: outside).isEmpty)

      // /proc, /sys and /dev of an image that are links or files.
      for name in ["proc", "sys", "dev"] {
        for isLink in [true, false] {
          let layer = machine.folder.appending("layer-\(name)-\(isLink)")
          try Machine.makeRootfs(layer)
          if isLink { symlink(outside.string, layer.appending(name).string) } else { try write("", layer.appending(name)) }
          let spec = machine.spec(["/bin/true"]) { $0.rootfsLayers = [layer] }
          await #expect(throws: ContainerStartError.self, "/\(name)") { try await machine.runtime.startContainer(spec, in: "pod-uid-1") }
        }
      }
      #expect(try Files.names(in: outside).isEmpty)
    }
  }

  @Test func layersLieOverEachOther() async throws {
    try await Machine.with { machine in
      var layers = [machine.layer]
      for number in 1...30 {
        let layer = machine.folder.appending("l\(number)")
        try Files.makeDirectories(layer, mode: 0o755)
        try write("\(number)", layer.appending("top"))
        try write("\(number)", layer.appending("only-\(number)"))
        layers.append(layer)
      }
      _ = try await machine.sandbox()
      let result = try await machine.sh("cat /top; ls / | grep -c only") { $0.rootfsLayers = layers }
      #expect(result.output == "3030\n")
      // As on a kernel without lowerdir+.
      for name in ["upper", "work"] { try Files.makeDirectories(machine.folder.appending("grouped/\(name)"), mode: 0o755) }
      let grouped = try Overlay.mount(
        layers: layers, upper: machine.folder.appending("grouped/upper"), work: machine.folder.appending("grouped/work"), asBefore65: true)
      let root = grouped.rawValue
      #expect(try Files.text("top", in: root) == "30")
      #expect(faccessat(root, "only-1", F_OK, 0) == 0 && faccessat(root, "bin/busybox", F_OK, 0) == 0)
      withExtendedLifetime(SharedDescriptor(grouped)) {}
    }
  }

  @Test func devicesAreFiltered() async throws {
    try await Machine.with { machine in
      try #require(machine.cgroupRoot != nil)
      _ = try await machine.sandbox()
      let script =
        "mknod /tmp/mem c 1 1; mknod /tmp/disk b 254 0; head -c 1 /tmp/mem >/dev/null && echo mem; head -c 1 /tmp/disk > /dev/null && echo disk; head -c 1 /dev/zero | wc -c"
      let result = try await machine.sh(script) { $0.capabilities.append("MKNOD") }
      #expect(result.output == "1\n", "\(result.output)\(result.errors)")
    }
  }

  private func write(_ text: String, _ path: FilePath) throws {
    let directory = try Files.openDirectory(path.removingLastComponent())
    try Files.replace(path.lastComponent!.string, in: directory.rawValue, with: Array(text.utf8), mode: 0o644)
  }
}
