import NFTables
import Netlink
import SystemPackage
import Testing

/// Bytes from text: hexadecimal digits; `#` begins a remark to the end of the line. Expected bytes follow what iproute2 6.1 sends for the
/// command named in each test (strace of sendmsg), attributes in this encoder's order.
private func hex(_ text: String) -> [UInt8] {
  let digits = text.split(separator: "\n").flatMap { $0.prefix { $0 != "#" }.filter(\.isHexDigit) }.map { UInt8($0.hexDigitValue!) }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

@Suite("rtnetlink requests, byte for byte")
struct RequestTests {
  let pod = IPv4Address("10.244.0.5")!

  @Test("ip link add swlabc up address ... mtu 1400 numtxqueues 1 numrxqueues 1 group 9 type veth peer name eth0 address ... netns <fd 5>")
  func veth() {
    let request = NetlinkRequest.newVeth(
      host: VethEnd(name: "swlabc", hardwareAddress: HardwareAddress([2, 0x53, 0x57, 0x4c, 0, 1]), group: 9),
      peer: VethEnd(name: "eth0", hardwareAddress: HardwareAddress([2, 0x53, 10, 244, 0, 5])), namespace: 5, mtu: 1400)
    #expect(
      request.encoded(sequence: 3)
        == hex(
          """
          b8000000 1000 0506 03000000 00000000      # RTM_NEWLINK, REQUEST | ACK | EXCL | CREATE, seq 3
            0000 0000 00000000 01000000 01000000    # ifinfomsg: flags UP, change UP
            0b000300 73776c61626300 00              # IFLA_IFNAME "swlabc"
            08000400 78050000                       # IFLA_MTU 1400
            0a000100 0253574c0001 0000              # IFLA_ADDRESS
            08001f00 01000000  08002000 01000000    # IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES
            08001b00 09000000                       # IFLA_GROUP
            60001200                                # IFLA_LINKINFO
              09000100 7665746800 000000            #   IFLA_INFO_KIND "veth"
              50000200 4c000100                     #   IFLA_INFO_DATA { VETH_INFO_PEER
                0000 0000 00000000 00000000 00000000    #     ifinfomsg: nothing changes
                09000300 6574683000 000000          #     IFLA_IFNAME "eth0"
                08000400 78050000
                0a000100 02530af40005 0000
                08001f00 01000000  08002000 01000000
                08001c00 05000000                   #     IFLA_NET_NS_FD
          """))
  }

  @Test("ip link set #7 up; ip link del #7; ip link del group 9")
  func links() {
    #expect(
      NetlinkRequest.setUp(index: 7).encoded(sequence: 1)
        == hex("20000000 1300 0500 01000000 00000000  00000000 07000000 01000000 01000000"))
    #expect(
      NetlinkRequest.deleteLink(index: 7).encoded(sequence: 1)
        == hex("20000000 1100 0500 01000000 00000000  00000000 07000000 00000000 00000000"))
    #expect(
      NetlinkRequest.deleteLinks(group: 9).encoded(sequence: 1)
        == hex("28000000 1100 0500 01000000 00000000  00000000 00000000 00000000 00000000 08001b00 09000000"))
  }

  @Test("ip route replace 10.244.0.5/32 dev #7 scope link proto 83; unreachable 10.244.0.0/24; default via 169.254.1.1 dev #7 onlink")
  func routes() {
    #expect(
      NetlinkRequest.putRoute(Route(IPv4Prefix(pod, length: 32), scope: .link, link: 7)).encoded(sequence: 1)
        == hex(
          """
          2c000000 1800 0505 01000000 00000000       # RTM_NEWROUTE, REQUEST | ACK | REPLACE | CREATE
            02 20 00 00 fe 53 fd 01 00000000         # rtmsg: AF_INET /32 main, proto 83, scope link, unicast
            08000100 0af40005  08000400 07000000     # RTA_DST, RTA_OIF
          """))
    #expect(
      NetlinkRequest.putRoute(Route(IPv4Prefix("10.244.0.0/24")!, kind: .unreachable)).encoded(sequence: 1)
        == hex("24000000 1800 0505 01000000 00000000  02 18 00 00 fe 53 00 07 00000000  08000100 0af40000"))
    let standard = Route(IPv4Prefix("0.0.0.0/0")!, gateway: IPv4Address("169.254.1.1"), link: 7, isGatewayOnLink: true)
    #expect(
      NetlinkRequest.putRoute(standard).encoded(sequence: 1)
        == hex(
          """
          2c000000 1800 0505 01000000 00000000
            02 00 00 00 fe 53 00 01 04000000         # RTNH_F_ONLINK
            08000500 a9fe0101  08000400 07000000     # RTA_GATEWAY, RTA_OIF
          """))
  }

  @Test("ip addr replace 10.244.0.5/32 dev #7; ip neigh replace 10.244.0.5 lladdr ... dev #7 nud permanent")
  func addresses() {
    #expect(
      NetlinkRequest.putAddress(IPv4Prefix(pod, length: 32), full: pod, link: 7).encoded(sequence: 1)
        == hex(
          """
          28000000 1400 0505 01000000 00000000  02 20 00 00 07000000     # RTM_NEWADDR, ifaddrmsg
            08000200 0af40005  08000100 0af40005                         # IFA_LOCAL, IFA_ADDRESS
          """))
    #expect(
      NetlinkRequest.putPermanentNeighbour(pod, at: HardwareAddress([2, 0x53, 10, 244, 0, 5]), link: 7).encoded(sequence: 1)
        == hex(
          """
          30000000 1c00 0505 01000000 00000000  02 00 0000 07000000 8000 00 00   # RTM_NEWNEIGH, ndmsg: NUD_PERMANENT
            08000100 0af40005  0a000200 02530af40005 0000                        # NDA_DST, NDA_LLADDR
          """))
  }

  @Test("torn and lying attributes are not read past their end")
  func damaged() {
    #expect(Link(NetlinkMessage(type: 16, flags: 0, sequence: 0, payload: [0, 0, 0])) == nil)
    let short = hex("00000000 07000000 00000000 00000000  ff000300 6574")
    #expect(Link(NetlinkMessage(type: 16, flags: 0, sequence: 0, payload: short))?.name == "")
    let zero = hex("00000000 07000000 00000000 00000000  00000300 65746800")
    #expect(Link(NetlinkMessage(type: 16, flags: 0, sequence: 0, payload: zero))?.index == 7)
  }
}
