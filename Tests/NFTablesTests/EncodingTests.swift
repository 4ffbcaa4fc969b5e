import NFTables
import Testing

/// Bytes from text: hexadecimal digits; `#` begins a remark to the end of the line. The expected bytes are what nft 1.0.6 sends for the
/// phrase named in each test (strace of sendmsg), so they are not this encoder's own opinion. NFTA_LOOKUP_SET_ID and NFTA_SET_USERDATA
/// are left out: the first names sets by number where a name will do, the second is nft's notes to itself.
private func hex(_ text: String) -> [UInt8] {
  let digits = text.split(separator: "\n").flatMap { $0.prefix { $0 != "#" }.filter(\.isHexDigit) }.map { UInt8($0.hexDigitValue!) }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// The message of the only change, between BATCH_BEGIN and BATCH_END (20 bytes each).
private func message(_ change: Change, table: String = "t") -> [UInt8] {
  let bytes = Transaction(Table(.ipv4, table), [change]).encode(firstSequence: 7).bytes
  return [UInt8](bytes[20..<(bytes.count - 20)])
}

/// The expressions of a rule: behind nlmsghdr 16, nfgenmsg 4, table "t" 8, chain "c" 8, attribute header 4.
private func expressions(_ list: [Expression]) -> [UInt8] { [UInt8](message(.addRule(Rule("c", list)))[40...]) }

private let loadSource = """
  34000180                         # NFTA_LIST_ELEM, nested, 52 bytes
    0c000100 7061796c6f616400      #   NFTA_EXPR_NAME "payload"
    24000280                       #   NFTA_EXPR_DATA, nested
      08000100 00000001            #     DREG: NFT_REG_1
      08000200 00000001            #     BASE: network header
      08000300 0000000c            #     OFFSET 12: source address
      08000400 00000004            #     LEN
  """

@Suite("Expressions, byte for byte as nft sends them")
struct ExpressionEncodingTests {
  @Test("ip saddr 10.244.0.0/24 ip daddr != 10.244.0.0/16 masquerade")
  func masquerade() throws {
    let rule: [Expression] =
      .source(in: try #require(IPv4Prefix("10.244.0.0/24"))) + .destination(notIn: try #require(IPv4Prefix("10.244.0.0/16")))
      + [.masquerade([])]
    #expect(
      expressions(rule)
        == hex(
          """
          34000180 0c000100 7061796c6f616400 24000280 08000100 00000001 08000200 00000001 08000300 0000000c
            08000400 00000003                # three whole bytes of the source address
          2c000180 08000100 636d7000         # "cmp"
            20000280 08000100 00000001
            08000200 00000000                # NFT_CMP_EQ
            0c000380 07000100 0af40000       # NFTA_CMP_DATA { NFTA_DATA_VALUE 10.244.0 }, padded
          34000180 0c000100 7061796c6f616400 24000280 08000100 00000001 08000200 00000001
            08000300 00000010                # OFFSET 16: destination address
            08000400 00000002
          2c000180 08000100 636d7000 20000280 08000100 00000001
            08000200 00000001                # NFT_CMP_NEQ
            0c000380 06000100 0af40000
          14000180 09000100 6d617371 00000000 04000280   # "masq" without attributes
          """))
  }

  @Test("fib daddr type local dnat ip to meta l4proto . th dport map @hostports")
  func hostPortMap() {
    let rule: [Expression] =
      .destinationIsLocal + .loadProtocolPort
      + [
        .map("hostports", key: .word(0), to: .word(0)),
        .nat(.destination, .ipv4, address: .word(0), port: .word(1), flags: []),
      ]
    #expect(
      expressions(rule)
        == hex(
          """
          28000180 08000100 66696200 1c000280             # "fib"
            08000300 00000002  08000200 00000003  08000100 00000001   # FLAGS daddr, RESULT addrtype, DREG
          2c000180 08000100 636d7000 20000280 08000100 00000001 08000200 00000000
            0c000380 08000100 02000000                    # RTN_LOCAL, machine order
          24000180 09000100 6d657461 00000000 14000280    # "meta"
            08000200 00000010  08000100 00000001          # KEY l4proto, DREG word 0
          34000180 0c000100 7061796c6f616400 24000280
            08000100 00000009                             # DREG word 1
            08000200 00000002  08000300 00000002  08000400 00000002   # transport header + 2, two bytes
          34000180 0b000100 6c6f6f6b75700000 24000280     # "lookup"
            08000200 00000001  08000300 00000001          # SREG, DREG
            0e000100 686f7374706f7274 73000000            # SET "hostports"
          30000180 08000100 6e617400 24000280             # "nat"
            08000100 00000001  08000200 00000002          # TYPE dnat, FAMILY ipv4
            08000300 00000001  08000500 00000009          # REG_ADDR_MIN, REG_PROTO_MIN
          """))
  }

  @Test("ct status dnat ... masquerade fully-random")
  func conntrackStatus() {
    let rule: [Expression] = [
      .conntrack(.status, to: .word(0)), .bitwise(from: .word(0), to: .word(0), mask: [0x20, 0, 0, 0], xor: [0, 0, 0, 0]),
      .compare(.word(0), .notEqual, [0, 0, 0, 0]), .masquerade(.fullyRandom),
    ]
    #expect(
      expressions(rule)
        == hex(
          """
          20000180 07000100 63740000 14000280 08000200 00000002 08000100 00000001    # "ct": KEY status, DREG
          44000180 0c000100 6269747769736500 34000280                                # "bitwise"
            08000100 00000001  08000200 00000001  08000300 00000004                  # SREG, DREG, LEN
            0c000480 08000100 20000000                                               # MASK
            0c000580 08000100 00000000                                               # XOR
          2c000180 08000100 636d7000 20000280 08000100 00000001 08000200 00000001 0c000380 08000100 00000000
          1c000180 09000100 6d617371 00000000 0c000280 08000100 00000010             # "masq": FLAGS fully-random
          """))
  }

  @Test("ip daddr . meta l4proto . th dport vmap @svc")
  func verdictMap() {
    #expect(
      expressions(.loadDestinationProtocolPort + [.verdictMap("svc", key: .word(0))])
        == hex(
          """
          34000180 0c000100 7061796c6f616400 24000280 08000100 00000001 08000200 00000001 08000300 00000010 08000400 00000004
          24000180 09000100 6d657461 00000000 14000280 08000200 00000010 08000100 00000009
          34000180 0c000100 7061796c6f616400 24000280 08000100 0000000a 08000200 00000002 08000300 00000002 08000400 00000002
          2c000180 0b000100 6c6f6f6b75700000 1c000280
            08000200 00000001  08000300 00000000          # SREG word 0, DREG verdict
            08000100 73766300                             # SET "svc"
          """))
  }

  @Test("iifname \"swl*\" counter accept; meta mark set 0x4000")
  func interfaceAndMark() {
    #expect(
      expressions(.inputInterface("swl*") + [.counter, .verdict(.accept)])
        == hex(
          """
          24000180 09000100 6d657461 00000000 14000280 08000200 00000006 08000100 00000001   # "meta": KEY iifname
          2c000180 08000100 636d7000 20000280 08000100 00000001 08000200 00000000
            0c000380 07000100 73776c00                                                       # "swl", three bytes
          14000180 0c000100 636f756e74657200 04000280                                        # "counter"
          30000180 0e000100 696d6d656469617465000000 1c000280                                # "immediate"
            08000100 00000000  10000280 0c000280 08000100 00000001                           # DREG verdict, DATA { VERDICT { CODE accept } }
          """))
    #expect(
      expressions([.immediate([0, 0x40, 0, 0], to: .word(0)), .setMeta(.mark, from: .word(0))])
        == hex(
          """
          2c000180 0e000100 696d6d656469617465000000 18000280 08000100 00000001 0c000280 08000100 00400000
          24000180 09000100 6d657461 00000000 14000280 08000200 00000003 08000300 00000001   # KEY mark, SREG
          """))
  }

  @Test("numgen random mod 2 offset 1; reject; update @aff { ip saddr timeout 1h }; ip saddr != @blocks")
  func others() {
    let source = Expression.payload(.network, offset: 12, length: 4, to: .word(0))
    #expect(
      expressions([.random(modulus: 2, offset: 1, to: .word(0))])
        == hex(
          """
          34000180 0b000100 6e756d67656e0000 24000280
            08000100 00000001  08000200 00000002  08000300 00000001  08000400 00000001       # DREG, MODULUS, TYPE random, OFFSET
          """))
    #expect(
      expressions([.reject(.tcpReset), .reject(.icmp(code: 10))])
        == hex(
          """
          24000180 0b000100 72656a6563740000 14000280 08000100 00000001 05000200 00000000
          24000180 0b000100 72656a6563740000 14000280 08000100 00000000 05000200 0a000000
          """))
    #expect(
      expressions([source, .update(set: "aff", key: .word(0), timeout: 3_600_000)])
        == hex(
          loadSource
            + """

            38000180 0b000100 64796e7365740000 28000280                                      # "dynset"
              08000400 00000001  08000300 00000001                                           # SREG_KEY, OP update
              0c000600 000000000036ee80  08000100 61666600                                   # TIMEOUT in ms, SET_NAME
            """))
    #expect(
      expressions([source, .lookup(set: "blocks", key: .word(0), inverted: true)])
        == hex(
          loadSource
            + """

            30000180 0b000100 6c6f6f6b75700000 20000280 08000200 00000001
              0b000100 626c6f636b730000  08000500 00000001                                   # SET, FLAGS inverted
            """))
  }

  @Test("a prefix that ends inside a byte is masked: ip saddr 10.1.2.0/23")
  func oddPrefix() throws {
    #expect(
      expressions(.source(in: try #require(IPv4Prefix("10.1.2.0/23"))))
        == hex(
          loadSource
            + """

            44000180 0c000100 6269747769736500 34000280 08000100 00000001 08000200 00000001 08000300 00000004
              0c000480 08000100 fffffe00  0c000580 08000100 00000000
            2c000180 08000100 636d7000 20000280 08000100 00000001 08000200 00000000 0c000380 08000100 0a010200
            """))
  }
}

@Suite("Changes and transactions, byte for byte as nft sends them")
struct ChangeEncodingTests {
  @Test("a transaction: begin, table, end")
  func transaction() {
    let encoded = Transaction(Table(.ipv4, "swiftlet"), [.addTable]).encode(firstSequence: 0)
    #expect(
      encoded.bytes
        == hex(
          """
          14000000 1000 0100 00000000 00000000    # nlmsghdr: 20 bytes, NFNL_MSG_BATCH_BEGIN, REQUEST, seq 0
            00 00 000a                            # nfgenmsg: NFNL_SUBSYS_NFTABLES
          2c000000 000a 0504 01000000 00000000    # NFT_MSG_NEWTABLE, REQUEST | ACK | CREATE, seq 1
            02 00 0000                            # AF_INET
            0d000100 73776966746c657400 000000    # NFTA_TABLE_NAME "swiftlet"
            08000200 00000000                     # NFTA_TABLE_FLAGS
          14000000 1100 0100 02000000 00000000 00 00 000a   # NFNL_MSG_BATCH_END
          """))
    #expect(encoded.changeOfMessage == [nil, 0, nil])
  }

  @Test("chain postrouting { type nat hook postrouting priority srcnat; policy accept; }")
  func chain() {
    #expect(
      message(.addChain(Chain("postrouting", base: .init(.nat, .postrouting, priority: 100))))
        == hex(
          """
          50000000 030a 0504 08000000 00000000 02000000
            06000100 74000000                     # table "t"
            10000300 706f7374726f7574696e6700     # NFTA_CHAIN_NAME
            08000700 6e617400                     # TYPE "nat"
            08000500 00000001                     # POLICY accept
            14000480 08000100 00000004 08000200 00000064   # HOOK { HOOKNUM postrouting, PRIORITY 100 }
          """))
  }

  @Test("map hostports { type inet_proto . inet_service : ipv4_addr . inet_service; }")
  func map() {
    #expect(
      message(.addSet(NamedSet("hostports", key: [.protocolNumber, .port], value: .data([.ipv4Address, .port]))))
        == hex(
          """
          5c000000 090a 0504 08000000 00000000 02000000
            06000100 74000000  0e000200 686f7374706f727473000000
            08000300 00000008                     # FLAGS: map
            08000400 0000030d  08000500 00000008  # KEY_TYPE 12 << 6 | 13, KEY_LEN
            08000600 000001cd  08000700 00000008  # DATA_TYPE 7 << 6 | 13, DATA_LEN
            08000a00 00000001                     # ID
          """))
  }

  @Test("map svc { type ipv4_addr . inet_proto . inet_service : verdict; } with 10.96.0.1 . tcp . 443 : goto a")
  func verdictMap() {
    #expect(
      message(.addSet(NamedSet("svc", key: [.ipv4Address, .protocolNumber, .port], value: .verdict)))
        == hex(
          """
          54000000 090a 0504 08000000 00000000 02000000
            06000100 74000000  08000200 73766300  08000300 00000008
            08000400 0000730d  08000500 0000000c  # 7 << 12 | 12 << 6 | 13
            08000600 ffffff00  08000700 00000000  # NFT_DATA_VERDICT
            08000a00 00000001
          """))
    let key = Element.concatenate([10, 96, 0, 1], [6], [0x01, 0xbb])
    #expect(
      message(.addElements(set: "svc", [Element(key, value: .verdict(.goto("a")))]))
        == hex(
          """
          58000000 0c0a 0504 08000000 00000000 02000000
            06000100 74000000  08000200 73766300
            34000380 30000180                     # NFTA_SET_ELEM_LIST_ELEMENTS { NFTA_LIST_ELEM
              14000180 10000100 0a600001 06000000 01bb0000        # KEY { VALUE }
              18000280 14000280 08000100 fffffffc 06000200 61000000   # DATA { VERDICT { CODE goto, CHAIN "a" } }
          """))
  }

  @Test("tcp . 8080 : 10.244.0.5 . 80")
  func element() {
    let element = Element(
      Element.concatenate([6], [0x1f, 0x90]), value: .data(Element.concatenate([10, 244, 0, 5], [0, 80])))
    #expect(
      message(.addElements(set: "svc", [element]))
        == hex(
          """
          4c000000 0c0a 0504 08000000 00000000 02000000 06000100 74000000 08000200 73766300
            28000380 24000180 10000180 0c000100 06000000 1f900000  10000280 0c000100 0af40005 00500000
          """))
  }

  @Test("sets with time-out and with intervals: flags dynamic,timeout; timeout 3h; elements = { 10.1.0.0/16 }")
  func otherSets() {
    #expect(
      message(.addSet(NamedSet("aff", key: [.ipv4Address], flags: [.dynamic, .timeout], timeout: 10_800_000)))
        == hex(
          """
          50000000 090a 0504 08000000 00000000 02000000 06000100 74000000 08000200 61666600
            08000300 00000030  08000400 00000007  08000500 00000004  08000a00 00000001  0c000b00 0000000000a4cb80
          """))
    let elements = [
      Element([0, 0, 0, 0], isIntervalEnd: true), Element([10, 1, 0, 0]), Element([10, 2, 0, 0], isIntervalEnd: true),
    ]
    #expect(
      [UInt8](message(.addElements(set: "aff", elements))[36...])
        == hex(
          """
          44000380
            18000180 08000300 00000001 0c000180 08000100 00000000
            10000180 0c000180 08000100 0a010000
            18000180 08000300 00000001 0c000180 08000100 0a020000
          """))
  }

  @Test("many elements go in several messages of one transaction, all of the same change")
  func manyElements() {
    let elements = (0..<5_000).map { Element([UInt8($0 >> 8), UInt8($0 & 255), 0, 0]) }
    let encoded = Transaction(Table(.ipv4, "t"), [.addTable, .addElements(set: "s", elements), .flushSet("s")])
      .encode(firstSequence: 1)
    #expect(encoded.changeOfMessage.count > 5)
    #expect(encoded.changeOfMessage.first == .some(nil) && encoded.changeOfMessage.last == .some(nil))
    #expect(encoded.changeOfMessage.dropFirst(2).dropLast(2).allSatisfy { $0 == 1 })
  }
}

@Suite("IPv4 addresses and networks")
struct IPv4Tests {
  @Test("what is written is what is read", arguments: ["0.0.0.0", "10.244.0.5", "255.255.255.255"])
  func round(text: String) { #expect(IPv4Address(text)?.description == text) }

  @Test(
    "anything else is refused", arguments: ["", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.-4", "1.2.3.4 ", "::1", "1..2.3"])
  func refused(text: String) {
    #expect(IPv4Address(text) == nil)
    #expect(IPv4Prefix(text + "/24") == nil)
  }

  @Test("a network knows its members")
  func prefix() throws {
    let network = try #require(IPv4Prefix("10.244.7.9/24"))
    #expect(network.description == "10.244.7.0/24" && network.last == IPv4Address("10.244.7.255"))
    #expect(network.contains(IPv4Address("10.244.7.200")!) && !network.contains(IPv4Address("10.244.8.0")!))
    #expect(IPv4Prefix("0.0.0.0/0")!.contains(IPv4Address("203.0.113.1")!))
    #expect(IPv4Prefix("10.0.0.0/33") == nil && IPv4Prefix("10.0.0.0") == nil)
    #expect(network.overlaps(IPv4Prefix("10.244.0.0/16")!) && !network.overlaps(IPv4Prefix("10.245.0.0/16")!))
  }
}
