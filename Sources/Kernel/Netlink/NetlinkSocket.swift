import LinuxKernel
import NFTables
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// A netlink socket in the network namespace of the thread that opened it. It stays there whoever uses it later.
///
/// Calls block, each for as long as the kernel works on it: rtnetlink answers inside `send`. Use it on a `NamespaceThread`.
package final class NetlinkSocket: Sendable {
  package enum Family: Int32, Sendable { case route = 0, netfilter = 12, generic = 16 }

  /// The kernel fills dump datagrams up to 32 KiB; a reply that is larger is an error.
  static let receiveBytesMax = 65_536
  /// Room for a transaction of tens of thousands of elements.
  static let sendBytesMax: Int32 = 16 << 20
  /// Room for the answers to one batch and for bursts of events.
  static let queueBytesMax: Int32 = 4 << 20
  /// A kernel that has not answered by then is broken: it answers inside `send` or within a lock's wait.
  static let answerSecondsMax = 20
  /// How often a dump is begun again because the table changed under it.
  static let dumpAttemptsMax = 20

  private let descriptor: SharedDescriptor
  private let sequence = Mutex<UInt32>(1)
  private let conversation = Mutex<Void>(())

  /// `groups`: multicast groups by bit, such as RTMGRP_LINK (1).
  package init(_ family: Family, groups: UInt32 = 0) throws(NetlinkError) {
    let raw = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), family.rawValue)
    guard raw >= 0 else { throw NetlinkError("socket(AF_NETLINK)", errno: Errno(rawValue: Glibc.errno)) }
    descriptor = SharedDescriptor(OwnedDescriptor(owning: raw))
    Self.set(raw, SOL_SOCKET, 32, Self.sendBytesMax)  // SO_SNDBUFFORCE
    Self.set(raw, SOL_SOCKET, 33, Self.queueBytesMax)  // SO_RCVBUFFORCE
    Self.set(raw, 270, 11, 1)  // SOL_NETLINK, NETLINK_EXT_ACK
    Self.set(raw, 270, 10, 1)  // NETLINK_CAP_ACK: errors without the whole request
    Self.set(raw, 270, 12, 1)  // NETLINK_GET_STRICT_CHK: dumps filter in the kernel
    var patience = timeval(tv_sec: Self.answerSecondsMax, tv_usec: 0)
    _ = setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    var address = NetlinkAddress(groups: groups)
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, $0, socklen_t(MemoryLayout<NetlinkAddress>.size)) }
    }
    guard bound == 0 else { throw NetlinkError("bind(AF_NETLINK)", errno: Errno(rawValue: Glibc.errno)) }
    var length = socklen_t(MemoryLayout<NetlinkAddress>.size)
    let named = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(raw, $0, &length) }
    }
    guard named == 0 else { throw NetlinkError("getsockname(AF_NETLINK)", errno: Errno(rawValue: Glibc.errno)) }
    port = address.port
  }

  /// What the kernel calls this socket, also in what it tells others about this socket's requests.
  package let port: UInt32

  /// For poll(2).
  package var rawDescriptor: Int32 { descriptor.rawValue }

  private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    _ = setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Sends all requests at once; the kernel takes them one after the other, also after one that failed.
  /// - Returns: for each request, what it answered before its acknowledgement, or why it failed.
  package func exchange(_ requests: [NetlinkRequest]) throws(NetlinkError) -> [Result<[NetlinkMessage], NetlinkError>] {
    guard let last = requests.last else { return [] }
    return try locked { () throws(NetlinkError) in
      let first = reserve(requests.count)
      var writer = NetlinkWriter()
      for (index, request) in requests.enumerated() {
        request.write(into: &writer, sequence: first &+ UInt32(index), flags: MessageFlags.request | MessageFlags.acknowledge)
      }
      try send(writer.bytes, operation: last.operation)
      var collected = [[NetlinkMessage]](repeating: [], count: requests.count)
      var results = [Result<[NetlinkMessage], NetlinkError>?](repeating: nil, count: requests.count)
      var open = requests.count
      while open > 0 {
        for message in try receive(operation: last.operation) {
          let index = Int(message.sequence &- first)
          guard index < requests.count, results[index] == nil else { continue }
          guard message.type == NetlinkMessage.errorType else {
            collected[index].append(message)
            continue
          }
          let request = requests[index]
          results[index] =
            message.failure(operation: request.operation, target: request.target).map { .failure($0) }
            ?? .success(collected[index])
          open -= 1
        }
      }
      return results.compactMap { $0 }
    }
  }

  /// One request that must succeed.
  @discardableResult
  package func request(_ request: NetlinkRequest) throws(NetlinkError) -> [NetlinkMessage] {
    try exchange([request])[0].get()
  }

  /// Several requests that must all succeed; the first failure is thrown, after all were tried.
  package func requestAll(_ requests: [NetlinkRequest]) throws(NetlinkError) {
    for result in try exchange(requests) { _ = try result.get() }
  }

  /// Everything of a kind, from one consistent state of the kernel's table.
  package func dump(_ request: NetlinkRequest) throws(NetlinkError) -> [NetlinkMessage] {
    try locked { () throws(NetlinkError) in
      for _ in 0..<Self.dumpAttemptsMax {
        if let messages = try dumpOnce(request) { return messages }
      }
      throw NetlinkError(
        request.operation, request.target, errno: .resourceTemporarilyUnavailable,
        explanation: "the table changed during each of \(Self.dumpAttemptsMax) dumps")
    }
  }

  /// Nil: the kernel says that the table changed meanwhile (NLM_F_DUMP_INTR).
  private func dumpOnce(_ request: NetlinkRequest) throws(NetlinkError) -> [NetlinkMessage]? {
    let sequence = reserve(1)
    var writer = NetlinkWriter()
    request.write(into: &writer, sequence: sequence, flags: MessageFlags.request | MessageFlags.dump)
    try send(writer.bytes, operation: request.operation)
    var messages: [NetlinkMessage] = []
    var isInterrupted = false
    while true {
      for message in try receive(operation: request.operation) where message.sequence == sequence {
        if message.flags & MessageFlags.dumpInterrupted != 0 { isInterrupted = true }
        switch message.type {
        case NetlinkMessage.doneType, NetlinkMessage.errorType:
          if let failure = message.failure(operation: request.operation, target: request.target) { throw failure }
          return isInterrupted ? nil : messages
        default: messages.append(message)
        }
      }
    }
  }

  /// The next events on a socket with groups. Errors: `.noBufferSpace` when events were lost; look at everything again then.
  package func events() throws(NetlinkError) -> [NetlinkMessage] { try receive(operation: "recv(AF_NETLINK)") }

  /// Makes the transaction's changes, or none of them.
  package func commit(_ transaction: Transaction) throws(NetlinkError) {
    guard !transaction.changes.isEmpty else { return }
    try locked { () throws(NetlinkError) in
      let first = reserve(transaction.changes.count)
      let encoded = transaction.encode(firstSequence: first)
      reserveUpTo(first &+ UInt32(encoded.changeOfMessage.count))
      try send(encoded.bytes, operation: "nf_tables transaction")
      // nfnetlink queues all its answers before `send` returns, so an empty queue ends them.
      var isAcknowledged = false
      while let messages = try receive(operation: "nf_tables transaction", waits: false) {
        for message in messages where message.type == NetlinkMessage.errorType {
          let position = Int(message.sequence &- first)
          guard position < encoded.changeOfMessage.count else { continue }
          if message.isAcknowledgement {
            isAcknowledged = true
            continue
          }
          let change = encoded.changeOfMessage[position].map { transaction.changes[$0].summary } ?? "commit"
          if let failure = message.failure(operation: "nf_tables \(transaction.table.name)", target: change) {
            drainAnswers()
            throw failure
          }
        }
      }
      guard isAcknowledged else {
        throw NetlinkError("nf_tables \(transaction.table.name)", errno: .ioError, explanation: "the kernel did not acknowledge")
      }
    }
  }

  private func drainAnswers() {
    while let messages = try? receive(operation: "drain", waits: false), !messages.isEmpty {}
  }

  /// One conversation at a time: answers of two would mix.
  private func locked<Value: Sendable>(_ body: () throws(NetlinkError) -> Value) throws(NetlinkError) -> Value {
    try conversation.withLock { _ throws(NetlinkError) in try body() }
  }

  private func reserve(_ count: Int) -> UInt32 {
    sequence.withLock { value in
      defer { value &+= UInt32(count) }
      return value
    }
  }

  private func reserveUpTo(_ end: UInt32) { sequence.withLock { if Int32(bitPattern: end &- $0) > 0 { $0 = end } } }
}

/// struct sockaddr_nl. Port 0 is the kernel, or "choose one for me" in bind.
struct NetlinkAddress {
  var family = UInt16(AF_NETLINK)
  var padding: UInt16 = 0
  var port: UInt32 = 0
  var groups: UInt32 = 0
  init(groups: UInt32 = 0) { self.groups = groups }
}

extension NetlinkSocket {
  private func send(_ bytes: [UInt8], operation: String) throws(NetlinkError) {
    while true {
      if Glibc.send(rawDescriptor, bytes, bytes.count, 0) >= 0 { return }
      guard Glibc.errno == EINTR else { throw NetlinkError(operation, errno: Errno(rawValue: Glibc.errno)) }
    }
  }

  private func receive(operation: String) throws(NetlinkError) -> [NetlinkMessage] {
    try receive(operation: operation, waits: true) ?? []
  }

  /// One datagram of the kernel. Nil only without waiting: nothing is there.
  private func receive(operation: String, waits: Bool) throws(NetlinkError) -> [NetlinkMessage]? {
    let result = withUnsafeTemporaryAllocation(byteCount: Self.receiveBytesMax, alignment: 8) {
      buffer -> Result<[NetlinkMessage]?, NetlinkError> in
      while true {
        var sender = NetlinkAddress()
        var length = socklen_t(MemoryLayout<NetlinkAddress>.size)
        let count = withUnsafeMutablePointer(to: &sender) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            recvfrom(
              rawDescriptor, buffer.baseAddress, buffer.count,
              Int32(MSG_TRUNC) | (waits ? 0 : Int32(MSG_DONTWAIT)), $0, &length)
          }
        }
        if count < 0 {
          if Glibc.errno == EINTR { continue }
          if Glibc.errno == EAGAIN, !waits { return .success(nil) }
          return .failure(NetlinkError(operation, errno: Errno(rawValue: Glibc.errno)))
        }
        guard sender.port == 0 else { continue }  // another process, not the kernel
        guard count <= buffer.count else {
          return .failure(NetlinkError(operation, errno: .messageTooLong, explanation: "a reply of \(count) bytes"))
        }
        return .success(NetlinkMessage.parse(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])))
      }
    }
    return try result.get()
  }
}
