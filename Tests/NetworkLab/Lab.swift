import LinuxKernel
import NFTables
import Netlink
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

package struct LabFailure: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// A machine of a test: a network namespace that goes with it. Nothing touches the host's own.
package final class Machine: Sendable {
  package let name: String
  package let thread: NamespaceThread

  package init(_ name: String) throws {
    self.name = name
    thread = try NamespaceThread(.new)
    try run("ip link set lo up")
  }

  /// Runs a shell command inside and answers what it printed; throws where it fails.
  @discardableResult
  package func run(_ command: String) throws -> String {
    try thread.performBlocking {
      guard let pipe = popen(command + " 2>&1", "r") else { throw LabFailure("popen: \(errno)") }
      var output: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = fread(&buffer, 1, buffer.count, pipe)
        if count == 0 { break }
        output += buffer[..<count]
      }
      let status = pclose(pipe)
      let text = String(decoding: output, as: UTF8.self)
      guard status == 0 else { throw LabFailure("\(command): status \(status): \(text)") }
      return text
    }
  }

  package func write(_ setting: String, _ value: String) throws { try thread.performBlocking { try Sysctl.write(setting, value) } }
}

/// A node with two pods, and a client outside that routes services' and pods' addresses to the node.
///
///     a (10.244.0.11), b (10.244.0.12) -- node (192.0.2.1) -- outside (192.0.2.2)      and the same with fd00:: addresses
package final class Lab: Sendable {
  package let node: Machine
  package let outside: Machine
  package let pods: [Machine]

  package init(pods names: [String] = ["a", "b"]) throws {
    node = try Machine("node")
    outside = try Machine("outside")
    pods = try names.map { try Machine($0) }
    try node.write("net/ipv4/ip_forward", "1")
    try node.write("net/ipv6/conf/all/forwarding", "1")
    try connect(outside, "uplink")
    try node.run("ip addr add 192.0.2.1/24 dev uplink && ip -6 addr add fd00:2::1/64 dev uplink nodad")
    try outside.run("ip addr add 192.0.2.2/24 dev eth0 && ip -6 addr add fd00:2::2/64 dev eth0 nodad")
    try node.run("ip route add default via 192.0.2.2 && ip -6 route add default via fd00:2::2")
    for range in ["10.96.0.0/16", "10.244.0.0/16", "203.0.113.0/24"] { try outside.run("ip route add \(range) via 192.0.2.1") }
    for range in ["fd00:96::/112", "fd00:244::/64"] { try outside.run("ip -6 route add \(range) via fd00:2::1") }
    for (index, pod) in pods.enumerated() {
      try connect(pod, "pod\(index)")
      let (v4, v6) = (Self.address(index), Self.address6(index))
      try node.run(
        "ip addr add 169.254.1.1/32 dev pod\(index) scope link && ip route add \(v4)/32 dev pod\(index) && ip -6 route add \(v6)/128 dev pod\(index)"
      )
      try pod.run("ip addr add \(v4)/32 dev eth0 && ip route add 169.254.1.1 dev eth0 && ip route add default via 169.254.1.1")
      try pod.run("ip -6 addr add \(v6)/128 dev eth0 nodad && ip -6 route add default via fe80::1 dev eth0")
      try node.run("ip -6 addr add fe80::1/64 dev pod\(index) nodad")
    }
  }

  package static func address(_ pod: Int) -> String { "10.244.0.\(11 + pod)" }
  package static func address6(_ pod: Int) -> String { "fd00:244::\(11 + pod)" }

  private func connect(_ machine: Machine, _ name: String) throws {
    let route = try node.thread.performBlocking { try NetlinkSocket(.route) }
    try route.request(
      .newVeth(
        host: VethEnd(name: name, hardwareAddress: Self.hardwareAddress()),
        peer: VethEnd(name: "eth0", hardwareAddress: Self.hardwareAddress()),
        namespace: machine.thread.namespace.rawValue, mtu: 1500))
    try machine.run("ip link set eth0 up")
  }

  private static func hardwareAddress() -> HardwareAddress { HardwareAddress([2] + (0..<5).map { _ in UInt8.random(in: 0...255) }) }
}

package enum Transport: Sendable { case tcp, udp }

/// Answers every connection, or datagram, with its name and the client's address, until it is stopped.
package final class Echo: Sendable {
  private let isStopped = Mutex(false)
  private let thread: NamespaceThread
  private let socket: SharedDescriptor

  package init(on machine: Machine, _ transport: Transport = .tcp, port: UInt16, name: String? = nil) throws {
    let text = name ?? machine.name
    thread = try NamespaceThread(.existing(machine.thread.namespace))
    socket = try thread.performBlocking {
      let raw = Glibc.socket(
        AF_INET6, Int32(transport == .tcp ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      guard raw >= 0 else { throw LabFailure("socket: \(errno)") }
      let descriptor = SharedDescriptor(OwnedDescriptor(owning: raw))
      var one: Int32 = 1
      setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &one, 4)
      setTimeout(raw, milliseconds: 50)
      guard withAddress6("::", port, { bind(raw, $0, $1) }) == 0, transport == .udp || listen(raw, 128) == 0 else {
        throw LabFailure("bind \(port): \(errno)")
      }
      return descriptor
    }
    Task.detached { [self] in
      try? await thread.perform { [self] in serve(transport, text) }
    }
  }

  private func serve(_ transport: Transport, _ text: String) {
    while !isStopped.withLock({ $0 }) {
      var from = sockaddr_in6()
      var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
      var buffer = [UInt8](repeating: 0, count: 512)
      let result = withUnsafeMutablePointer(to: &from) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          transport == .tcp ? accept(socket.rawValue, $0, &length) : Int32(recvfrom(socket.rawValue, &buffer, buffer.count, 0, $0, &length))
        }
      }
      if result < 0 { continue }
      let address = withUnsafeBytes(of: from.sin6_addr) { IPv6Address(bytes: Array($0)) }
      let answer = Array("\(text) \(address.map(Self.text) ?? "?")".utf8)
      if transport == .tcp {
        send(result, answer, answer.count, Int32(MSG_NOSIGNAL))
        close(result)
      } else {
        _ = withUnsafePointer(to: &from) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(socket.rawValue, answer, answer.count, 0, $0, length) }
        }
      }
    }
  }

  /// IPv4 addresses come mapped.
  private static func text(_ address: IPv6Address) -> String {
    address.high == 0 && address.low >> 32 == 0xffff
      ? IPv4Address(UInt32(truncatingIfNeeded: address.low)).description : address.description
  }

  package func stop() { isStopped.withLock { $0 = true } }
  deinit { stop() }
}

/// What a client met.
package enum Answer: Equatable, Sendable {
  /// The server's name and whom it saw.
  case from(String, seen: String)
  case refused, nothing

  package var server: String? { if case .from(let name, _) = self { name } else { nil } }
}

extension Machine {
  /// Connects (or sends a datagram) and reads the answer. `port` of the client: 0 chooses one.
  package func call(_ address: String, _ port: UInt16, _ transport: Transport = .tcp, from clientPort: UInt16 = 0) async throws -> Answer {
    try await thread.perform {
      let isV6 = address.contains(":")
      let raw = socket(
        isV6 ? AF_INET6 : AF_INET, Int32(transport == .tcp ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      guard raw >= 0 else { throw LabFailure("socket: \(errno)") }
      defer { close(raw) }
      setTimeout(raw, milliseconds: 700)
      if clientPort != 0 {
        var one: Int32 = 1
        setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        guard withAddress("0.0.0.0", clientPort, { bind(raw, $0, $1) }) == 0 else { throw LabFailure("bind: \(errno)") }
      }
      let connected = isV6 ? withAddress6(address, port) { connect(raw, $0, $1) } : withAddress(address, port) { connect(raw, $0, $1) }
      guard connected == 0 else { return errno == ECONNREFUSED ? .refused : .nothing }
      if transport == .udp { send(raw, [UInt8(42)], 1, 0) }
      var buffer = [UInt8](repeating: 0, count: 256)
      let count = recv(raw, &buffer, buffer.count, 0)
      guard count > 0 else { return errno == ECONNREFUSED ? .refused : .nothing }
      let words = String(decoding: buffer[..<count], as: UTF8.self).split(separator: " ")
      return .from(String(words[0]), seen: String(words[1]))
    }
  }
}

private func setTimeout(_ descriptor: Int32, milliseconds: Int) {
  var patience = timeval(tv_sec: 0, tv_usec: milliseconds * 1000)
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
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

private func withAddress6(_ text: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
  var address = sockaddr_in6()
  address.sin6_family = sa_family_t(AF_INET6)
  address.sin6_port = port.bigEndian
  let bytes = IPv6Address(text)?.bytes ?? [UInt8](repeating: 0, count: 16)
  withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
  return withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in6>.size)) }
  }
}

package let isRoot = geteuid() == 0
