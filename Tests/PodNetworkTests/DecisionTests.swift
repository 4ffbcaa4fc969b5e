import LinuxKernel
import NFTables
import Netlink
import SystemPackage
import Testing

@testable import PodNetwork

#if canImport(Glibc)
  import Glibc
#endif

private let plan = try! NetworkPlan(
  PodNetworkConfiguration(stateDirectory: "/nowhere", podCIDR: "10.1.0.0/29", clusterCIDR: "10.1.0.0/16"))

private func lease(_ sandbox: String, _ last: UInt32, _ phase: Lease.Phase = .active, ports: [HostPort] = []) -> Lease {
  let address = IPv4Address(0x0a01_0000 + last)
  return Lease(
    sandbox: sandbox, address: address, interface: plan.interfaceName(sandbox: sandbox, address: address), hostPorts: ports,
    phase: phase)
}

@Suite("Leases as values")
struct LeaseTests {
  @Test("addresses go round: the one freed last comes last")
  func roundRobin() throws {
    var table = LeaseTable(range: plan.pods)
    #expect(table.capacity == 5)
    for last in UInt32(2)...6 {
      #expect(table.nextAddress() == IPv4Address(0x0a01_0000 + last))
      table.apply(.put(lease("pod-\(last)", last)))
    }
    #expect(table.nextAddress() == nil)
    table.apply(.drain(IPv4Address(0x0a01_0005)))
    #expect(table.nextAddress() == nil && table.lease(of: "pod-5") == nil)
    table.apply(.free(IPv4Address(0x0a01_0005)))
    table.apply(.free(IPv4Address(0x0a01_0003)))
    #expect(table.nextAddress() == IPv4Address(0x0a01_0003))
    table.apply(.put(lease("next", 3)))
    #expect(table.nextAddress() == IPv4Address(0x0a01_0005))
  }

  @Test("the same sandbox may have a draining lease and a new one")
  func successor() {
    var table = LeaseTable(range: plan.pods)
    table.apply(.put(lease("pod", 2)))
    table.apply(.drain(IPv4Address(0x0a01_0002)))
    table.apply(.put(lease("pod", 3)))
    table.apply(.free(IPv4Address(0x0a01_0002)))
    #expect(table.lease(of: "pod") == lease("pod", 3))
    #expect(lease("pod", 2).interface != lease("pod", 3).interface)
  }

  @Test("host ports conflict by protocol, port and overlapping address")
  func hostPorts() {
    let any = HostPort(hostPort: 80, containerPort: 8080)
    let one = HostPort(hostIP: "10.0.0.1", hostPort: 80, containerPort: 1)
    #expect(any.conflicts(with: one) && one.conflicts(with: any))
    #expect(!one.conflicts(with: HostPort(hostIP: "10.0.0.2", hostPort: 80, containerPort: 1)))
    #expect(!any.conflicts(with: HostPort(transport: .udp, hostPort: 80, containerPort: 8080)))
    #expect(HostPort(hostIP: "0.0.0.0", hostPort: 80, containerPort: 8080) == any)
  }

  @Test(
    "configurations that cannot work say why",
    arguments: [
      ("10.244.0.0/31", "10.244.0.0/16", "swl"), ("10.244.0.0", "10.244.0.0/16", "swl"), ("10.245.0.0/24", "10.244.0.0/16", "swl"),
      ("10.244.0.0/24", "10.244.0.0/16", "verylong"), ("10.244.0.0/24", "10.244.0.0/16", ""), ("10.244.0.256/24", "10.244.0.0/16", "swl"),
    ])
  func badConfiguration(pods: String, cluster: String, prefix: String) {
    #expect(throws: PodNetworkError.self) {
      try NetworkPlan(
        PodNetworkConfiguration(stateDirectory: "/nowhere", interfacePrefix: prefix, podCIDR: pods, clusterCIDR: cluster))
    }
  }
}

@Suite("The journal of leases")
struct JournalTests {
  let ports = [HostPort(hostPort: 80, containerPort: 8080), HostPort(transport: .udp, hostIP: "10.0.0.1", hostPort: 53, containerPort: 53)]

  @Test("a line says it all, and a damaged one says nothing")
  func lines() throws {
    let changes: [LeaseChange] = [
      .put(lease("pod", 2, ports: ports)), .put(lease("pod", 3)), .put(lease("gone", 4, .draining)), .drain(IPv4Address(1)),
      .free(IPv4Address(2)), .cursor(IPv4Address(3)),
    ]
    for change in changes {
      let line = LeaseLine.encode(change)
      #expect(line.hasSuffix("\n"))
      #expect(LeaseLine.decode(line.dropLast()) == change)
      #expect(LeaseLine.decode(line.dropLast(2)) == nil)
      #expect(LeaseLine.decode(line.dropLast().replacing("1", with: "7")) == nil || !line.contains("1"))
    }
  }

  @Test("what was appended is there after a stop; a torn end hurts only itself")
  func replay() throws {
    var template = Array("/tmp/swiftlet-journal-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let directory = FilePath(String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
    defer {
      for name in ["leases", "lock"] { unlink(directory.appending(name).string) }
      rmdir(directory.string)
    }
    func run(_ body: (inout LeaseJournal, inout LeaseTable) throws -> Void) throws -> LeaseTable {
      var (journal, table) = try LeaseJournal.open(in: directory, range: plan.pods)
      try body(&journal, &table)
      return table
    }
    let first = try run { journal, table in
      for change in [
        LeaseChange.put(lease("a", 2, ports: ports)), .put(lease("b", 3)), .put(lease("c", 4)), .drain(IPv4Address(0x0a01_0003)),
        .free(IPv4Address(0x0a01_0004)),
      ] {
        table.apply(change)
        try journal.append([change], table: table)
      }
    }
    let file = open(directory.appending("leases").string, O_WRONLY | O_APPEND)
    #expect(write(file, "1234abcd lease 10.1.0.5 sw", 26) == 26)
    close(file)
    #expect(try run { _, _ in } == first)
    // Many changes, and the file stays small.
    let last = try run { journal, table in
      for index in 0..<20_000 {
        let change = index % 2 == 0 ? LeaseChange.put(lease("x\(index)", 6)) : .free(IPv4Address(0x0a01_0006))
        table.apply(change)
        try journal.append([change], table: table)
      }
    }
    var status = stat()
    #expect(stat(directory.appending("leases").string, &status) == 0 && status.st_size < 1 << 20)
    #expect(try run { _, _ in } == last)
    #expect(last.leases == first.leases)
  }
}

@Suite("What attach and recover decide")
struct RecoveryTests {
  private func link(_ index: Int32, peer: Int32, name: String = "x") -> Link {
    let bytes = NetlinkRequest("", "", type: 16) {
      $0.append([0, 0, 0, 0])
      $0.append(native: index)
      $0.append([UInt8](repeating: 0, count: 8))
      $0.attribute(3, string: name)
      $0.attribute(5, native: peer)
    }.encoded(sequence: 1)
    return Link(NetlinkMessage(type: 16, flags: 0, sequence: 1, payload: [UInt8](bytes[16...])))!
  }

  @Test("attach makes, mends or replaces")
  func attach() {
    #expect(AttachDecision.decide(hasLease: false, hostLink: nil, podLink: nil) == .create)
    #expect(AttachDecision.decide(hasLease: true, hostLink: nil, podLink: nil) == .create)
    #expect(
      AttachDecision.decide(hasLease: true, hostLink: link(7, peer: 2), podLink: link(2, peer: 7)) == .repair(hostLink: 7, podLink: 2))
    #expect(AttachDecision.decide(hasLease: true, hostLink: link(7, peer: 2), podLink: link(2, peer: 9)) == .replace)
    #expect(AttachDecision.decide(hasLease: true, hostLink: link(7, peer: 2), podLink: nil) == .replace)
    #expect(AttachDecision.decide(hasLease: true, hostLink: nil, podLink: link(2, peer: 9)) == .replace)
  }

  @Test("recovery keeps the living, frees the dead, adopts strays by their names")
  func recover() {
    let (alive, dead, bare, draining) = (lease("alive", 2), lease("dead", 3), lease("bare", 4), lease("draining", 5, .draining))
    var stray = lease("adopted", 6)
    stray.phase = .stray
    stray.sandbox = ""
    let links = Dictionary(
      uniqueKeysWithValues: [alive, dead, draining, stray].enumerated().map { ($1.interface, link(Int32($0 + 10), peer: 2)) })
    let decided = RecoveryPlan.decide(
      inherited: [alive, dead, bare, draining, stray], links: links, live: ["alive", "bare", "adopted", "other"], plan: plan)
    #expect(
      decided
        == RecoveryPlan(
          repair: [alive], adopt: [lease("adopted", 6)], deleteLinks: [11, 12], free: [dead.address, draining.address]))
    let nobody = RecoveryPlan.decide(inherited: [bare, stray], links: links, live: [], plan: plan)
    #expect(nobody == RecoveryPlan(deleteLinks: [13], free: [bare.address, stray.address]))
  }
}
