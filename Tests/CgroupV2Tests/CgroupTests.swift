import LinuxKernel
import SystemPackage
import Testing

@testable import CgroupV2

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct HierarchyTests {
  @Test(
    arguments: [
      ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "/sys/fs/cgroup", false),
      ("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n", "/sys/fs/cgroup/unified", true),
      ("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", nil, true),
      ("proc /proc proc rw 0 0\n", nil, false),
    ] as [(String, String?, Bool)])
  func readsMounts(mounts: String, point: String?, hasV1: Bool) {
    let parsed = CgroupHierarchy.parse(mounts: mounts)
    #expect(parsed.mountPoint?.string == point && parsed.hasV1 == hasV1)
  }

  @Test func missingControllers() {
    let hierarchy = CgroupHierarchy(mountPoint: "/sys/fs/cgroup", controllers: ["cpu", "io"], isHybrid: false)
    #expect(hierarchy.missing == ["memory", "pids"])
  }

  /// A root that is not made yet has what its hierarchy can give it.
  @Test(
    arguments: [
      ("/c/swiftlet", ["/c": "cpu memory pids\n"], ["cpu", "memory", "pids"]),
      ("/c/a/swiftlet", ["/c": "cpu memory\n", "/c/a": "\n", "/c/a/swiftlet": "\n"], ["cpu", "memory"]),
      ("/c/unified/swiftlet", ["/c/unified": "\n"], []),
      ("/elsewhere/swiftlet", ["/c": "cpu\n"], nil),
    ] as [(String, [String: String], Set<String>?)])
  func controllersThatCanReachARoot(root: String, files: [String: String], expected: Set<String>?) {
    let found = CgroupHierarchy.controllers(reaching: FilePath(root)) { files[$0.removingLastComponent().string] }
    #expect(found == expected)
  }

  @Test func burstableWeighsWhatItsPodsWeigh() {
    #expect(BurstableWeight.total([]) == 1)
    #expect(BurstableWeight.total([4, 10, 79]) == 93)
    #expect(BurstableWeight.total([9000, 9000]) == 10_000)
  }

  @Test func limitsInTheKernelsWords() {
    var limits = ResourceLimits()
    #expect(limits.settings.isEmpty)
    limits.cpuQuotaMicros = 10
    limits.cpuWeight = 20_000
    limits.memoryMax = 1 << 30
    limits.memoryMin = 5
    limits.pidsMax = 100
    #expect(
      limits.settings.map { "\($0.file)=\($0.value)" } == [
        "memory.min=5", "memory.max=1073741824", "pids.max=100", "cpu.weight=10000", "cpu.max=1000 100000",
      ])
  }
}

@Suite(.enabled(if: getuid() == 0 && CgroupHierarchy.detect().mountPoint != nil, "needs root and a v2 tree"))
struct CgroupTreeTests {
  @Test func makesSetsAndRemoves() throws {
    let root = CgroupHierarchy.detect().mountPoint!.appending("swiftlet-cgroup-test-\(getpid())")
    let tree = try CgroupTree(root: root)
    defer { try? tree.remove() }
    var limits = ResourceLimits()
    limits.memoryMax = 64 << 20
    limits.pidsMax = 10
    let pod = try tree.makePod("uid", qos: .burstable, limits: nil)
    #expect(tree.path(ofPod: "uid", qos: .burstable).string == root.string + "/kubepods/burstable/poduid")
    let container = try pod.child("c1")
    let missing = try container.apply(limits, groupOOM: true)
    let present = tree.controllers()
    #expect(missing == Set(["memory", "pids"]).subtracting(present))
    if present.contains("memory") {
      let value = try container.value("memory.max")
      #expect(value == "67108864\n")
    }
    let (populated, empty) = (container.isPopulated(), container.waitUntilEmpty(milliseconds: 100))
    #expect(!populated && empty)

    let child = try living(in: container)
    let alive = container.isPopulated()
    #expect(alive)
    var refused: KernelError?
    do throws(KernelError) { try pod.removeChild("c1") } catch { refused = error }
    #expect(refused?.errno == .resourceBusy)
    try container.kill()
    let gone = container.waitUntilEmpty(milliseconds: 5000)
    #expect(gone)
    var status: Int32 = 0
    waitpid(child, &status, 0)
    #expect(status & 0x7f == SIGKILL)
    try tree.removePod("uid", qos: .burstable)
    #expect(access(root.appending("kubepods/burstable/poduid").string, F_OK) != 0)
    try tree.removePod("uid", qos: .burstable)
    try tree.remove()
    #expect(access(root.string, F_OK) != 0)
  }

  @Test func burstableFollowsItsPods() throws {
    let root = CgroupHierarchy.detect().mountPoint!.appending("swiftlet-weight-test-\(getpid())")
    let tree = try CgroupTree(root: root)
    defer { try? tree.remove() }
    let group = try CgroupDirectory(opening: tree.parent(of: .burstable))
    guard group.has("cpu.weight") else { return }
    var limits = ResourceLimits()
    limits.cpuWeight = 20
    _ = try tree.makePod("before", qos: .burstable, limits: limits)
    let weight = try BurstableWeight(tree)
    try weight.set(30, ofPod: "new")
    let both = try group.value("cpu.weight")
    try weight.set(nil, ofPod: "before")
    let one = try group.value("cpu.weight")
    #expect(both == "50\n" && one == "30\n")
    try tree.removePod("before", qos: .burstable)
  }

  /// A sleeping process in the cgroup.
  private func living(in cgroup: borrowing CgroupDirectory) throws -> pid_t {
    var pid: pid_t = 0
    var argv: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("100"), nil]
    defer { for word in argv { free(word) } }
    #expect(posix_spawn(&pid, "/bin/sleep", nil, nil, &argv, nil) == 0)
    try cgroup.set("cgroup.procs", "\(pid)")
    return pid
  }

  @Test func deviceProgramLoadsAndAttaches() throws {
    let root = CgroupHierarchy.detect().mountPoint!.appending("swiftlet-device-test-\(getpid())")
    let tree = try CgroupTree(root: root)
    defer { try? tree.remove() }
    let filter = try DeviceFilter()
    let pod = try tree.makePod("uid", qos: .guaranteed, limits: nil)
    try filter.attach(to: pod)
    try tree.removePod("uid", qos: .guaranteed)
  }
}
