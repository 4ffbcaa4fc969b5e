import LinuxKernel
import NFTables
import Netlink
import PodNetwork
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Machines of a test: each a network namespace that the test made, and that goes with it. Nothing touches the host's own.
struct Machine: Sendable {
  let thread: NamespaceThread
  let route: NetlinkSocket

  init() throws {
    let thread = try NamespaceThread(.new)
    self.thread = thread
    route = try thread.performBlocking {
      let route = try NetlinkSocket(.route)
      try route.request(.setUp(index: 1))
      return route
    }
  }

  var namespace: Int32 { thread.namespace.rawValue }

  func links() throws -> [Link] { try route.dump(.links).compactMap { Link($0) } }
  func link(_ name: String) throws -> Link { try links().first { $0.name == name }.orThrow("no link \(name)") }
  func routes() throws -> [Route] { try route.dump(.routes).compactMap { Route($0) } }
  func tables() throws -> [Table] { try thread.performBlocking { try NetlinkSocket(.netfilter).tables() } }
  func keys(_ set: String, table: String = "swiftlet") throws -> [[UInt8]] {
    try thread.performBlocking { try NetlinkSocket(.netfilter).keys(of: set, in: Table(.ipv4, table)) }
  }
  func sysctl(_ name: String) throws -> String { try thread.performBlocking { try Sysctl.read(name) } }
  func setSysctl(_ name: String, _ value: String) throws { try thread.performBlocking { try Sysctl.write(name, value) } }

  func address(_ text: String, on name: String) throws {
    let prefix = try IPv4Prefix(text).orThrow("no prefix")
    let full = try IPv4Address(text.prefix { $0 != "/" }).orThrow("no address")
    try route.request(.putAddress(prefix, full: full, link: link(name).index))
  }
}

struct TestFailure: Error, CustomStringConvertible {
  let description: String
}

extension Optional {
  func orThrow(_ text: @autoclosure () -> String) throws -> Wrapped {
    guard let self else { throw TestFailure(description: text()) }
    return self
  }
}

/// A node, and somebody outside who knows the node's address but no pod's.
///
///     pods -- node (192.0.2.1) -- outside (192.0.2.2)
final class Cluster: Sendable {
  let node: Machine
  let outside: Machine
  let directory: FilePath
  let clusterCIDR: String

  init(mtu: UInt32 = 1500, clusterCIDR: String = "10.244.0.0/16") throws {
    node = try Machine()
    outside = try Machine()
    self.clusterCIDR = clusterCIDR
    directory = try Self.makeDirectory()
    try node.route.request(
      .newVeth(
        host: VethEnd(name: "uplink", hardwareAddress: HardwareAddress([2, 0, 0, 0, 0, 1])),
        peer: VethEnd(name: "uplink", hardwareAddress: HardwareAddress([2, 0, 0, 0, 0, 2])),
        namespace: outside.namespace, mtu: mtu))
    try outside.route.request(.setUp(index: outside.link("uplink").index))
    try node.address("192.0.2.1/24", on: "uplink")
    try outside.address("192.0.2.2/24", on: "uplink")
    try node.route.request(
      .putRoute(
        Route(
          IPv4Prefix(IPv4Address(0), length: 0), gateway: IPv4Address("192.0.2.2"), link: node.link("uplink").index, origin: 4)))
  }

  /// The other end of that one's link as a node.
  init(other: Cluster) throws {
    node = other.outside
    outside = other.node
    clusterCIDR = other.clusterCIDR
    directory = try Self.makeDirectory()
  }

  /// A node on a segment of its own, whose default route is a router on it.
  init(router: Machine, _ name: String, _ address: String, _ gateway: String) throws {
    node = try Machine()
    outside = router
    clusterCIDR = "10.244.0.0/16"
    directory = try Self.makeDirectory()
    let last = UInt8(name.utf8.first ?? 0)
    try node.route.request(
      .newVeth(
        host: VethEnd(name: "uplink", hardwareAddress: HardwareAddress([2, 0, 0, 0, 1, last])),
        peer: VethEnd(name: name, hardwareAddress: HardwareAddress([2, 0, 0, 0, 2, last])), namespace: router.namespace, mtu: 1500))
    try router.route.request(.setUp(index: router.link(name).index))
    try node.address("\(address)/24", on: "uplink")
    try router.address("\(gateway)/24", on: name)
    try node.route.request(
      .putRoute(
        Route(IPv4Prefix(IPv4Address(0), length: 0), gateway: IPv4Address(gateway), link: node.link("uplink").index, origin: 4)))
  }

  private static func makeDirectory() throws -> FilePath {
    var template = Array("/tmp/swiftlet-network-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure(description: "mkdtemp: \(errno)") }
    return FilePath(String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  deinit {
    for name in ["leases", "leases.new", "settings", "settings.new", "range", "range.new", "cluster", "cluster.new", "lock"] {
      unlink(directory.appending(name).string)
    }
    rmdir(directory.string)
  }

  func configuration(podCIDR: String = "10.244.7.0/24") -> PodNetworkConfiguration {
    PodNetworkConfiguration(stateDirectory: directory, podCIDR: podCIDR, clusterCIDR: clusterCIDR, hostNamespace: node.thread.namespace)
  }

  func network(podCIDR: String = "10.244.7.0/24") throws -> PodNetwork {
    let network = try PodNetwork(configuration(podCIDR: podCIDR))
    try network.start()
    return network
  }

  /// Host ends that are left.
  func hostEnds() throws -> [String] { try node.links().map(\.name).filter { $0.hasPrefix("swl") } }
}

extension Machine {
  /// Who the server in `to` saw when this machine called `address`:`port`; both have spoken then.
  func call(_ address: String, _ port: UInt16, server: Machine, serverPort: UInt16? = nil) throws -> String {
    let listener = try server.listen(serverPort ?? port)
    let client = try thread.performBlocking { try connectTCP(address, port) }
    var from = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let accepted = withUnsafeMutablePointer(to: &from) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { accept(listener.rawValue, $0, &length) }
    }
    guard accepted >= 0 else { throw TestFailure(description: "accept: errno \(errno)") }
    let conversation = OwnedDescriptor(owning: accepted)
    for (sender, receiver) in [(conversation.rawValue, client.rawValue), (client.rawValue, conversation.rawValue)] {
      var byte: UInt8 = 0
      guard send(sender, [UInt8(42)], 1, Int32(MSG_NOSIGNAL)) == 1, recv(receiver, &byte, 1, 0) == 1, byte == 42 else {
        throw TestFailure(description: "the connection to \(address):\(port) carries nothing: errno \(errno)")
      }
    }
    return IPv4Address(UInt32(bigEndian: from.sin_addr.s_addr)).description
  }

  private func listen(_ port: UInt16) throws -> SharedDescriptor {
    try thread.performBlocking {
      let descriptor = try newSocket()
      var one: Int32 = 1
      setsockopt(descriptor.rawValue, SOL_SOCKET, SO_REUSEADDR, &one, 4)
      guard withAddress("0.0.0.0", port, { bind(descriptor.rawValue, $0, $1) }) == 0, Glibc.listen(descriptor.rawValue, 8) == 0
      else { throw TestFailure(description: "listen \(port): errno \(errno)") }
      return descriptor
    }
  }
}

/// Gives up after two seconds.
private func connectTCP(_ address: String, _ port: UInt16) throws -> SharedDescriptor {
  let descriptor = try newSocket()
  guard withAddress(address, port, { connect(descriptor.rawValue, $0, $1) }) == 0 else {
    throw TestFailure(description: "connect \(address):\(port): errno \(errno)")
  }
  return descriptor
}

private func newSocket() throws -> SharedDescriptor {
  let raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
  guard raw >= 0 else { throw TestFailure(description: "socket: errno \(errno)") }
  var patience = timeval(tv_sec: 2, tv_usec: 0)
  setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  return SharedDescriptor(OwnedDescriptor(owning: raw))
}

private func withAddress(_ text: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = (IPv4Address(text)?.value ?? 0).bigEndian
  return withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
  }
}

/// Tries until `condition` holds or three seconds have passed: what the kernel does when a namespace goes takes its time.
func eventually(_ condition: () throws -> Bool) async throws -> Bool {
  for _ in 0..<300 {
    if try condition() { return true }
    try await Task.sleep(for: .milliseconds(10))
  }
  return false
}

let isRoot = geteuid() == 0

func unlinkLeases(_ directory: FilePath) -> Bool { unlink(directory.appending("leases").string) == 0 }
