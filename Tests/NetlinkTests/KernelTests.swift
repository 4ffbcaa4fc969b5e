import LinuxKernel
import NFTables
import Netlink
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// In network namespaces that the tests make; they go with their threads.
@Suite("Conversations with the kernel", .enabled(if: geteuid() == 0, "needs root to make network namespaces"))
struct KernelTests {
  private func sockets() throws -> (NamespaceThread, route: NetlinkSocket, netfilter: NetlinkSocket) {
    let thread = try NamespaceThread(.new)
    let (route, netfilter) = try thread.performBlocking { (try NetlinkSocket(.route), try NetlinkSocket(.netfilter)) }
    return (thread, route, netfilter)
  }

  @Test("links are made across namespaces, changed, listed and deleted together")
  func links() throws {
    let (_, here, _) = try sockets()
    let (other, there, _) = try sockets()
    let group: UInt32 = 77
    for number in 0..<3 {
      try here.request(
        .newVeth(
          host: VethEnd(name: "left\(number)", hardwareAddress: HardwareAddress([2, 0, 0, 0, 0, 1]), group: group),
          peer: VethEnd(name: "right\(number)", hardwareAddress: HardwareAddress([2, 0, 0, 0, 1, UInt8(number)])),
          namespace: other.namespace.rawValue, mtu: 1400))
    }
    let right = try #require(try there.dump(.links).compactMap { Link($0) }.first { $0.name == "right1" })
    #expect(right.mtu == 1400 && right.kind == "veth" && right.hardwareAddress == [2, 0, 0, 0, 1, 1] && !right.isUp)
    var change = LinkChange()
    change.name = "eth0"
    change.mtu = 1300
    change.isUp = true
    change.hardwareAddress = HardwareAddress([2, 9, 9, 9, 9, 9])
    try there.request(.setLink(index: right.index, change))
    let changed = try #require(try there.request(.getLink(name: "eth0")).first.flatMap { Link($0) })
    #expect(changed.index == right.index && changed.isUp && changed.mtu == 1300 && changed.hardwareAddress == [2, 9, 9, 9, 9, 9])
    #expect(try here.dump(.links).compactMap { Link($0) }.filter { $0.group == group }.count == 3)
    try here.request(.deleteLinks(group: group))
    #expect(try here.dump(.links).compactMap { Link($0)?.name }.contains { $0.hasPrefix("left") } == false)
    #expect(try there.dump(.links).compactMap { Link($0)?.name }.contains("eth0") == false)
  }

  @Test("a refusal names the request, its object and the kernel's own words; the others of the batch still count")
  func errors() throws {
    let (_, route, netfilter) = try sockets()
    let bad = Route(IPv4Prefix("10.0.0.0/24")!, gateway: IPv4Address("192.0.2.1"), link: 1)
    let results = try route.exchange([.getLink(name: "nothere"), .putRoute(bad), .setUp(index: 1)])
    guard case .failure(let absent) = results[0], case .failure(let refused) = results[1], case .success = results[2] else {
      Issue.record("\(results)")
      return
    }
    #expect(absent.isAbsence && absent.operation == "RTM_GETLINK" && absent.target == "nothere")
    #expect(!refused.explanation.isEmpty && refused.description.contains("10.0.0.0/24"))
    #expect(try #require(try route.request(.getLink(index: 1)).first.flatMap { Link($0) }).isUp)

    let table = Table(.ipv4, "t")
    do {
      try netfilter.commit(Transaction(table, [.addTable, .addRule(Rule("nochain", [.counter])), .addChain(Chain("c"))]))
      Issue.record("the chain is not there")
    } catch {
      #expect(error.isAbsence && error.target.contains("nochain"))
    }
    #expect(try netfilter.tables().isEmpty, "all or nothing")
  }

  @Test("every expression and kind of set is taken by the kernel")
  func ruleset() throws {
    let (_, _, netfilter) = try sockets()
    let table = Table(.ipv4, "t")
    let key = Element.concatenate([10, 96, 0, 1], [6], [1, 187])
    let changes: [Change] = [
      .addChain(Chain("a")), .addChain(Chain("nat", base: .init(.nat, .prerouting, priority: -100))),
      .addChain(Chain("out", base: .init(.nat, .postrouting, priority: 100))),
      .addChain(Chain("forward", base: .init(.filter, .forward, priority: 0))),
      .addSet(NamedSet("svc", key: [.ipv4Address, .protocolNumber, .port], value: .verdict)),
      .addElements(set: "svc", [Element(key, value: .verdict(.goto("a")))]),
      .addSet(NamedSet("aff", key: [.ipv4Address], flags: [.dynamic, .timeout], timeout: 60_000)),
      .addSet(NamedSet("blocks", key: [.ipv4Address], flags: .interval)),
      .addElements(set: "blocks", [Element([10, 1, 0, 0]), Element([10, 2, 0, 0], isIntervalEnd: true)]),
      .addSet(NamedSet("pick", key: [.mark], value: .verdict)),
      .addElements(set: "pick", (UInt8(0)..<2).map { Element([$0, 0, 0, 0], value: .verdict(.goto("a"))) }),
      .addRule(
        Rule(
          "a",
          [
            .immediate([10, 244, 0, 5], to: .word(0)), .immediate([0, 80], to: .word(1)),
            .nat(.destination, .ipv4, address: .word(0), port: .word(1), flags: []),
          ])),
      .addRule(Rule("nat", .loadDestinationProtocolPort + [.verdictMap("svc", key: .word(0))])),
      .addRule(Rule("nat", [.random(modulus: 2, offset: 0, to: .word(0)), .verdictMap("pick", key: .word(0))])),
      .addRule(Rule("out", .outputInterface("eth0") + [.masquerade([.fullyRandom])])),
      .addRule(
        Rule(
          "forward",
          [
            .conntrack(.state, to: .word(0)), .bitwise(from: .word(0), to: .word(0), mask: [6, 0, 0, 0], xor: [0, 0, 0, 0]),
            .compare(.word(0), .notEqual, [0, 0, 0, 0]), .counter, .verdict(.accept),
          ])),
      .addRule(
        Rule(
          "forward",
          [
            .payload(.network, offset: 12, length: 4, to: .word(0)), .update(set: "aff", key: .word(0), timeout: 5_000),
            .lookup(set: "blocks", key: .word(0), inverted: true), .immediate([0, 64, 0, 0], to: .word(4)), .setMeta(.mark, from: .word(4)),
            .reject(.icmp(code: 3)),
          ])),
    ]
    try netfilter.commit(.replacing(table, with: changes))
    #expect(try netfilter.keys(of: "svc", in: table) == [key])
    let many = (0..<20_000).map { Element([172, UInt8($0 >> 16), UInt8($0 >> 8 & 255), UInt8($0 & 255)]) }
    try netfilter.commit(Transaction(table, [.addSet(NamedSet("many", key: [.ipv4Address])), .addElements(set: "many", many)]))
    #expect(try netfilter.keys(of: "many", in: table).count == 20_000)
    try netfilter.commit(Transaction(table, [.deleteElements(set: "many", [many[5]]), .flushChain("forward")]))
    #expect(try netfilter.keys(of: "many", in: table).count == 19_999)
    try netfilter.commit(.replacing(table, with: [.addChain(Chain("only"))]))
    #expect(throws: NetlinkError.self) { try netfilter.keys(of: "svc", in: table) }
    try netfilter.commit(.deleting(table))
    #expect(try netfilter.tables().isEmpty)
  }

  @Test("a visit to another namespace ends where it began")
  func visiting() throws {
    let (thread, _, _) = try sockets()
    let (other, there, _) = try sockets()
    try there.request(.setUp(index: 1))
    let isUp: (NetlinkSocket) throws -> Bool = { try $0.request(.getLink(index: 1)).first.flatMap { Link($0) }?.isUp ?? false }
    let target = other.namespace.rawValue
    let (visited, home) = try thread.performBlocking {
      (try thread.visiting(target) { try NetlinkSocket(.route) }, try NetlinkSocket(.route))
    }
    #expect(try isUp(visited) && !isUp(home))
    #expect(throws: KernelError.self) { try thread.performBlocking { try thread.visiting(9_999) { 0 } } }
  }

  @Test("dumps of many entries are whole")
  func bigDump() throws {
    let (_, route, _) = try sockets()
    try route.request(.setUp(index: 1))
    for start in stride(from: UInt32(0), to: 3_000, by: 500) {
      try route.requestAll(
        (start..<start + 500).map { .putRoute(Route(IPv4Prefix(IPv4Address(0x0a00_0000 + $0), length: 32), scope: .link, link: 1)) })
    }
    #expect(Set(try route.dump(.routes).compactMap { Route($0)?.destination }).count == 3_000)
  }
}
