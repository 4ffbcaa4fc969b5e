import NFTables
import Netlink
import Testing

/// As in RequestTests: what iproute2 6.1 sends, in this encoder's order of attributes. WireGuard's by include/uapi/linux/wireguard.h.
private func hex(_ text: String) -> [UInt8] {
  let digits = text.split(separator: "\n").flatMap { $0.prefix { $0 != "#" }.filter(\.isHexDigit) }.map { UInt8($0.hexDigitValue!) }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

@Suite("Requests of tunnels and routes to other nodes, byte for byte")
struct OverlayRequestTests {
  let hardware = HardwareAddress([6, 0x53, 10, 244, 3, 0])

  @Test("ip link add swl.vxlan up mtu 1450 address ... group 9 type vxlan id 5461836 local 192.0.2.1 nolearning dstport 8472")
  func vxlan() {
    let device = VXLANDevice(
      name: "swl.vxlan", identifier: 0x53574c, port: 8472, local: IPAddress("192.0.2.1")!, hardwareAddress: hardware, mtu: 1450, group: 9)
    #expect(
      NetlinkRequest.newVXLAN(device).encoded(sequence: 3)
        == hex(
          """
          80000000 1000 0506 03000000 00000000      # RTM_NEWLINK, REQUEST | ACK | EXCL | CREATE
            0000 0000 00000000 01000000 01000000
            0e000300 73776c2e76786c616e00 0000      # IFLA_IFNAME "swl.vxlan"
            08000400 aa050000                       # IFLA_MTU 1450
            0a000100 06530af40300 0000              # IFLA_ADDRESS
            08001b00 09000000                       # IFLA_GROUP
            34001200                                # IFLA_LINKINFO
              0a000100 76786c616e00 0000            #   IFLA_INFO_KIND "vxlan"
              24000200                              #   IFLA_INFO_DATA
                08000100 4c575300                   #     IFLA_VXLAN_ID
                08000400 c0000201                   #     IFLA_VXLAN_LOCAL
                05000700 00 000000                  #     IFLA_VXLAN_LEARNING
                06000f00 2118 0000                  #     IFLA_VXLAN_PORT, network order
          """))
  }

  @Test("bridge fdb replace 06:53:... dev #7 dst 203.0.113.3 self permanent; ip neigh replace 10.244.3.1 ...; ip neigh del")
  func entries() {
    #expect(
      NetlinkRequest.putForwarding(ForwardingEntry(hardware, at: IPAddress("203.0.113.3")!), link: 7).encoded(sequence: 1)
        == hex(
          """
          30000000 1c00 0505 01000000 00000000  07 00 0000 07000000 c000 02 00
            0a000200 06530af40300 0000  08000100 cb007103
          """))
    #expect(
      NetlinkRequest.putNeighbour(PermanentNeighbour(IPAddress("10.244.3.1")!, at: hardware), link: 7).encoded(sequence: 1)
        == hex(
          """
          30000000 1c00 0505 01000000 00000000  02 00 0000 07000000 8000 00 00
            08000100 0af40301  0a000200 06530af40300 0000
          """))
    #expect(
      NetlinkRequest.deleteNeighbour(IPAddress("10.244.3.1")!, link: 7).encoded(sequence: 1)
        == hex("24000000 1d00 0500 01000000 00000000  02 00 0000 07000000 8000 00 00  08000100 0af40301"))
  }

  @Test("ip route add 10.244.3.0/24 via 10.244.3.1 dev #7 onlink proto 83; ip -6 route add fd00:2::/64 via 2001:db8::2 dev #7")
  func routes() {
    let route = GatewayRoute(IPPrefix("10.244.3.0/24")!, gateway: IPAddress("10.244.3.1"), link: 7, isGatewayOnLink: true)
    #expect(
      NetlinkRequest.addRoute(route).encoded(sequence: 1)
        == hex(
          """
          34000000 1800 0506 01000000 00000000  02 18 00 00 fe 53 00 01  04000000
            08000100 0af40300  08000500 0af40301  08000400 07000000
          """))
    let six = GatewayRoute(IPPrefix("fd00:2::/64")!, gateway: IPAddress("2001:db8::2"), link: 7)
    #expect(
      NetlinkRequest.replaceRoute(six).encoded(sequence: 1)
        == hex(
          """
          4c000000 1800 0505 01000000 00000000  0a 40 00 00 fe 53 00 01  00000000
            14000100 fd000002000000000000000000000000  14000500 20010db8000000000000000000000002  08000400 07000000
          """))
  }

  @Test("a tunnel's peers: one to set, one to remove")
  func wireGuard() {
    let peer = WireGuardDevice.Peer(
      publicKey: [UInt8](repeating: 0xaa, count: 32), endpoint: IPAddress("192.0.2.2"), port: 51820, allowed: [IPPrefix("10.244.2.0/24")!])
    let request = NetlinkRequest.setWireGuard(
      0x1f, link: 7, privateKey: nil, port: 51820, peers: [peer], gone: [[UInt8](repeating: 0xbb, count: 32)])
    let keys = (String(repeating: "aa", count: 32), String(repeating: "bb", count: 32))
    #expect(
      request.encoded(sequence: 1)
        == hex(
          """
          bc000000 1f00 0500 01000000 00000000  01 01 0000       # genlmsghdr: WG_CMD_SET_DEVICE
            08000100 07000000  06000600 6cca 0000                # WGDEVICE_A_IFINDEX, WGDEVICE_A_LISTEN_PORT
            98000880                                             # WGDEVICE_A_PEERS
              30000080 24000100 \(keys.1)  08000300 01000000     #   the one that is gone: WGPEER_F_REMOVE_ME
              64000080 24000100 \(keys.0)  08000300 02000000     #   WGPEER_F_REPLACE_ALLOWEDIPS
                14000400 0200ca6c c0000202 0000000000000000      #     WGPEER_A_ENDPOINT: struct sockaddr_in
                20000980 1c000080                                #     WGPEER_A_ALLOWEDIPS
                  06000100 0200 0000  08000200 0af40200  05000300 18 000000
          """))
  }

  @Test("what the kernel tells of a tunnel, in two messages, is one device")
  func wireGuardAnswer() {
    let key = [UInt8](repeating: 0xaa, count: 32)
    var first = NetlinkWriter()
    first.append([0, 1, 0, 0])
    first.attribute(3, [UInt8](repeating: 9, count: 32))
    first.attribute(6, native: UInt16(51820))
    var second = NetlinkWriter()
    second.append([0, 1, 0, 0])
    for (index, range) in [[UInt8](arrayLiteral: 10, 244, 2, 0), [10, 244, 3, 0]].enumerated() {
      let peers = { (writer: inout NetlinkWriter) in
        writer.nested(8) {
          $0.nested(0) {
            $0.attribute(1, key)
            if index == 0 { $0.attribute(4, [2, 0, 0xca, 0x6c, 192, 0, 2, 2] + [UInt8](repeating: 0, count: 8)) }
            $0.nested(9) {
              $0.nested(0) {
                $0.attribute(1, native: UInt16(2))
                $0.attribute(2, range)
                $0.attribute(3, [24])
              }
            }
          }
        }
      }
      if index == 0 { peers(&first) } else { peers(&second) }
    }
    let messages = [first, second].map { NetlinkMessage(type: 0x1f, flags: 0, sequence: 0, payload: $0.bytes) }
    let peer = WireGuardDevice.Peer(
      publicKey: key, endpoint: IPAddress("192.0.2.2"), port: 51820, allowed: [IPPrefix("10.244.2.0/24")!, IPPrefix("10.244.3.0/24")!])
    #expect(WireGuardDevice(messages) == WireGuardDevice(privateKey: [UInt8](repeating: 9, count: 32), port: 51820, peers: [key: peer]))
  }

  @Test("torn messages make no devices, routes or entries")
  func damaged() {
    let message = { (type: UInt16, payload: String) in NetlinkMessage(type: type, flags: 0, sequence: 0, payload: hex(payload)) }
    #expect(GatewayRoute(message(24, "0240")) == nil)
    #expect(GatewayRoute(message(24, "02ff0000 fe530001 00000000  08000400 07000000")) == nil)
    #expect(VXLANDevice(message(16, "00000000 07000000 00000000 00000000")) == nil)
    #expect(ForwardingEntry(message(28, "07000000 07000000 c0000200 0a000200 0653"), link: 7) == nil)
    #expect(PermanentNeighbour(message(28, "02000000 07000000 80000000"), link: 7) == nil)
    #expect(FamilyAddress(message(20, "02180000 07000000 06000200 0a00")) == nil)
    #expect(WireGuardDevice([message(0x1f, "00010000 ffff0880 ffffffff")]) == WireGuardDevice())
  }
}
