import LinuxKernel
import NFTables
import NIOCore
import NIOPosix
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The server's sockets on one address. Each of `loops` has its own for datagrams, between which the kernel divides the clients.
final class DNSListener: Sendable {
  static let connectionsMax = 512
  /// A client that says nothing over TCP for so long is let go.
  static let idle = TimeAmount.seconds(10)
  /// Datagrams read at once.
  static let datagramsAtOnce = 32

  private let channels: [any Channel]
  let port: Int

  init(_ address: IPAddress, port: Int, resolver: Resolver, group: any EventLoopGroup, loops: Int, namespace: SharedDescriptor?)
    async throws
  {
    var channels: [any Channel] = []
    do {
      let stream = try await Self.socket(address, port, SOCK_STREAM, namespace)
      let tcp = try await ServerBootstrap(group: group)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers(
              IdleStateHandler(readTimeout: Self.idle), ByteToMessageHandler(DNSFrameDecoder(), maximumBufferSize: 70_000),
              StreamHandler(resolver))
          }
        }
        .withBoundSocket(stream).get()
      channels.append(tcp)
      let chosen = tcp.localAddress?.port ?? port
      for _ in 0..<loops {
        let datagram = try await Self.socket(address, chosen, SOCK_DGRAM, namespace)
        channels.append(
          try await DatagramBootstrap(group: group)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.datagramsAtOnce * 2048))
            .channelOption(.datagramVectorReadMessageCount, value: Self.datagramsAtOnce)
            .channelInitializer { channel in
              channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(DatagramHandler(resolver)) }
            }
            .withBoundSocket(datagram).get())
      }
      self.port = chosen
    } catch {
      for channel in channels { try? await channel.close() }
      throw error
    }
    self.channels = channels
  }

  func close() async { for channel in channels { try? await channel.close() } }

  /// A bound socket, in another network namespace if one is named.
  private static func socket(_ address: IPAddress, _ port: Int, _ kind: __socket_type, _ namespace: SharedDescriptor?) async throws -> Int32
  {
    let make: @Sendable () throws -> Int32 = {
      let isV6 = address.family == .ipv6
      let raw = Glibc.socket(isV6 ? AF_INET6 : AF_INET, Int32(kind.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
      guard raw >= 0 else { throw KernelError("socket", "\(address)", errno: Errno(rawValue: errno)) }
      var one: Int32 = 1
      setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &one, 4)
      if kind == SOCK_DGRAM { setsockopt(raw, SOL_SOCKET, SO_REUSEPORT, &one, 4) }
      let bound = try SocketAddress(ipAddress: address.description, port: port).withSockAddr { bind(raw, $0, socklen_t($1)) }
      guard bound == 0 else {
        let failure = Errno(rawValue: errno)
        Glibc.close(raw)
        throw KernelError("bind", "\(address) port \(port)", errno: failure)
      }
      return raw
    }
    guard let namespace else { return try make() }
    return try await NamespaceThreads.run(namespace, make)
  }
}

/// Questions by UDP.
private final class DatagramHandler: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  typealias OutboundOut = AddressedEnvelope<ByteBuffer>

  private let resolver: Resolver
  init(_ resolver: Resolver) { self.resolver = resolver }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let datagram = unwrapInboundIn(data)
    guard let client = datagram.remoteAddress.ip, resolver.isClient(client), datagram.remoteAddress.port != 0 else { return }
    switch resolver.answerAtOnce(Array(datagram.data.readableBytesView), isTCP: false) {
    case .silence: break
    case .bytes(let answer):
      context.write(
        wrapOutboundOut(AddressedEnvelope(remoteAddress: datagram.remoteAddress, data: ByteBuffer(bytes: answer))), promise: nil)
    case .later(let query):
      let channel = context.channel
      Task { [resolver] in
        let answer = await resolver.answer(query, isTCP: false)
        channel.writeAndFlush(AddressedEnvelope(remoteAddress: datagram.remoteAddress, data: ByteBuffer(bytes: answer)), promise: nil)
      }
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

  /// Such as "port unreachable" from a client that has left; the socket serves others.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

/// Questions over a connection, one after the other.
private final class StreamHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let resolver: Resolver
  private var isKnown = false
  init(_ resolver: Resolver) { self.resolver = resolver }

  func channelActive(context: ChannelHandlerContext) {
    isKnown = context.remoteAddress?.ip.map { resolver.isClient($0) } ?? false
    if isKnown { context.fireChannelActive() } else { context.close(promise: nil) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard isKnown else { return }
    switch resolver.answerAtOnce(Array(unwrapInboundIn(data).readableBytesView), isTCP: true) {
    case .silence: context.close(promise: nil)
    case .bytes(let answer): context.writeAndFlush(wrapOutboundOut(framed(answer)), promise: nil)
    case .later(let query):
      let channel = context.channel
      Task { [resolver] in
        let answer = await resolver.answer(query, isTCP: true)
        channel.writeAndFlush(framed(answer), promise: nil)
      }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

extension SocketAddress {
  var ip: IPAddress? {
    switch self {
    case .v4(let address): IPAddress(bytes: withUnsafeBytes(of: address.address.sin_addr) { Array($0) })
    case .v6(let address): IPAddress(bytes: withUnsafeBytes(of: address.address.sin6_addr) { Array($0) })
    case .unixDomainSocket: nil
    }
  }
}

/// Behind its length, as connections carry it.
private func framed(_ answer: [UInt8]) -> ByteBuffer {
  var buffer = ByteBuffer()
  buffer.writeInteger(UInt16(answer.count))
  buffer.writeBytes(answer)
  return buffer
}
