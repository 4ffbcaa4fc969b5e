import NFTables
import ServiceRules

/// A table that obeys changes as the kernel does and sends packets through its rules.
package struct FakeTable {
  package struct Failure: Error { let what: String }

  package struct Packet {
    package var source: IPAddress
    package var destination: IPAddress
    package var transport: TransportProtocol
    package var port: UInt16

    package init(source: IPAddress, destination: IPAddress, transport: TransportProtocol, port: UInt16) {
      (self.source, self.destination, self.transport, self.port) = (source, destination, transport, port)
    }
  }

  package enum Outcome: Hashable { case untouched, accepted, sent(Backend), refused, dropped }

  package private(set) var sets: [String: [[UInt8]: Element]] = [:]
  package private(set) var chains: [String: [[Expression]]] = [:]
  private var intervals: Set<String> = []
  /// This machine's addresses, for `fib`.
  package var own: Set<IPAddress> = []

  package init() {}

  package mutating func apply(_ changes: [Change]) throws {
    for change in changes {
      switch change {
      case .addTable: continue
      case .deleteTable: (sets, chains, intervals) = ([:], [:], [])
      case .addSet(let set):
        sets[set.name] = sets[set.name] ?? [:]
        if set.flags.contains(.interval), set.key.count == 1 { intervals.insert(set.name) }
      case .addChain(let chain): chains[chain.name] = chains[chain.name] ?? []
      case .addRule(let rule):
        guard chains[rule.chain] != nil else { throw Failure(what: "no chain \(rule.chain)") }
        if let missing = rule.expressions.compactMap(\.set).first(where: { sets[$0] == nil }) { throw Failure(what: "no set \(missing)") }
        chains[rule.chain]?.append(rule.expressions)
      case .flushChain(let name): chains[name] = []
      case .deleteChain(let name):
        let isUsed = sets.values.contains { $0.values.contains { [.verdict(.goto(name)), .verdict(.jump(name))].contains($0.value) } }
        guard !isUsed, chains.removeValue(forKey: name) != nil else { throw Failure(what: "chain \(name) cannot go") }
      case .addElements(let set, let elements):
        for element in elements {
          let key = element.key + (element.keyEnd ?? [])
          switch element.value {
          case .verdict(.goto(let chain)), .verdict(.jump(let chain)):
            if chains[chain] == nil { throw Failure(what: "no chain \(chain)") }
          default: break
          }
          if let old = sets[set]?[key], old.value != element.value { throw Failure(what: "\(set) has \(key) with another value") }
          guard sets[set] != nil else { throw Failure(what: "no set \(set)") }
          sets[set]?[key] = element
        }
      case .deleteElements(let set, let elements):
        for element in elements {
          guard sets[set]?.removeValue(forKey: element.key + (element.keyEnd ?? [])) != nil else {
            throw Failure(what: "\(set) lacks \(element.key)")
          }
        }
      case .deleteSet(let name):
        let isUsed = chains.values.contains { $0.contains { $0.contains { $0.set == name } } }
        guard !isUsed, sets.removeValue(forKey: name) != nil else { throw Failure(what: "set \(name) cannot go") }
      default: throw Failure(what: "\(change)")
      }
    }
  }

  /// What becomes of the first packet of a connection that comes in.
  package mutating func trace(
    _ packet: Packet, from chain: String = "prerouting", _ dice: inout some RandomNumberGenerator
  ) throws -> Outcome {
    try run(chain, packet, &dice) ?? .untouched
  }

  private enum Step { case next, endOfRule, endOfChain, end(Outcome), chain(String, returns: Bool) }

  private mutating func run(_ chain: String, _ packet: Packet, _ dice: inout some RandomNumberGenerator) throws -> Outcome? {
    for rule in chains[chain] ?? [] {
      var registers = [UInt8](repeating: 0, count: 64)
      expressions: for expression in rule {
        switch try step(expression, packet, &registers, &dice) {
        case .next: continue
        case .endOfRule: break expressions
        case .endOfChain: return nil
        case .end(let outcome): return outcome
        case .chain(let name, let returns):
          if let outcome = try run(name, packet, &dice) { return outcome }
          if !returns { return nil }
        }
      }
    }
    return nil
  }

  private mutating func step(
    _ expression: Expression, _ packet: Packet, _ registers: inout [UInt8], _ dice: inout some RandomNumberGenerator
  ) throws -> Step {
    func put(_ bytes: [UInt8], _ register: Register) {
      let padded = bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
      registers.replaceSubrange(register.offset..<(register.offset + padded.count), with: padded)
    }
    func get(_ register: Register, _ count: Int) -> [UInt8] { Array(registers[register.offset..<(register.offset + count)]) }
    func find(_ set: String, _ register: Register) -> Element? {
      guard let elements = sets[set] else { return nil }
      guard let first = elements.first else { return nil }
      if intervals.contains(set) {
        // The last boundary at or below the key says whether it is inside.
        let key = get(register, first.value.key.count)
        let below = elements.values.filter { !key.lexicographicallyPrecedes($0.key) }
        return below.max { $0.key.lexicographicallyPrecedes($1.key) }.flatMap { $0.isIntervalEnd ? nil : $0 }
      }
      if first.value.keyEnd != nil {
        let key = get(register, first.value.key.count)
        return elements.values.first { element in
          zip(stride(from: 0, to: key.count, by: 4), stride(from: 4, through: key.count, by: 4)).allSatisfy { low, high in
            let part = Array(key[low..<high])
            return !part.lexicographicallyPrecedes(element.key[low..<high])
              && !(element.keyEnd ?? [])[low..<high].lexicographicallyPrecedes(part)
          }
        }
      }
      return elements[get(register, first.key.count)]
    }
    switch expression {
    case .payload(.network, let offset, _, let register):
      put((offset == 12 || offset == 8 ? packet.source : packet.destination).bytes, register)
    case .payload(.transport, _, _, let register): put([UInt8(packet.port >> 8), UInt8(packet.port & 0xff)], register)
    case .meta(.transportProtocol, let register): put([packet.transport.rawValue], register)
    // Packets that are traced begin a connection.
    case .conntrack(.state, let register): put(nativeBytes(ConntrackState.new.rawValue), register)
    case .fib(_, let flags, let register):
      put(nativeBytes(own.contains(flags.contains(.source) ? packet.source : packet.destination) ? 2 : 1), register)
    case .compare(let register, let comparison, let value):
      if (get(register, value.count) == value) != (comparison == .equal) { return .endOfRule }
    case .bitwise(let from, let to, let mask, let xor):
      put(zip(zip(get(from, mask.count), mask), xor).map { $0.0 & $0.1 ^ $1 }, to)
    case .immediate(let value, let register): put(value, register)
    case .random(let modulus, let offset, let register): put(nativeBytes(offset + UInt32.random(in: 0..<modulus, using: &dice)), register)
    case .lookup(let set, let register, let inverted): if (find(set, register) != nil) == inverted { return .endOfRule }
    case .map(let map, let key, let register):
      guard case .data(let value) = find(map, key)?.value else { return .endOfRule }
      put(value, register)
    case .verdictMap(let map, let key):
      guard case .verdict(let verdict) = find(map, key)?.value else { return .endOfRule }
      return try obey(verdict)
    case .updateMap(let map, let key, let data, _):
      let words = packet.destination.bytes.count
      let bytes = get(key, words * 2 + 8)
      if sets[map]?[bytes] == nil { sets[map]?[bytes] = Element(bytes, value: .data(get(data, words + 4))) }
    case .removeKey(let map, let key, _): sets[map]?[get(key, packet.destination.bytes.count * 2 + 8)] = nil
    case .nat(.destination, _, let address, let port, _):
      guard let address, let port, let target = IPAddress(bytes: get(address, packet.destination.bytes.count)) else {
        throw Failure(what: "nat")
      }
      let number = get(port, 2)
      return .end(.sent(Backend(target, UInt16(number[0]) << 8 | UInt16(number[1]))))
    case .reject: return .end(.refused)
    case .verdict(let verdict): return try obey(verdict)
    default: throw Failure(what: "\(expression)")
    }
    return .next
  }

  private func obey(_ verdict: Verdict) throws -> Step {
    switch verdict {
    case .drop: .end(.dropped)
    case .accept: .end(.accepted)
    case .return: .endOfChain
    case .jump(let chain): .chain(chain, returns: true)
    case .goto(let chain): .chain(chain, returns: false)
    }
  }
}

extension Expression {
  /// The set or map that it looks something up in.
  fileprivate var set: String? {
    switch self {
    case .lookup(let set, _, _), .map(let set, _, _), .verdictMap(let set, _): set
    case .update(let set, _, _), .updateMap(let set, _, _, _), .removeKey(let set, _, _): set
    default: nil
    }
  }
}

private func nativeBytes(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value) { [UInt8]($0) } }

extension Register {
  /// Bytes before it.
  fileprivate var offset: Int {
    for word in 0..<16 where Register.word(word) == self { return word * 4 }
    return 0
  }
}
