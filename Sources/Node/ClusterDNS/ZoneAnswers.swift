import NFTables

/// What the cluster's zone says to a question.
package enum ZoneAnswer: Equatable, Sendable {
  case answer(DNSAnswer)
  /// These records, and whatever the last one's target has.
  case alias([DNSRecord], to: DNSName)
  /// Not the cluster's: others are asked.
  case foreign
}

extension ClusterZone {
  package func answer(_ question: DNSQuestion) -> ZoneAnswer {
    guard question.class == 1 || question.class == 255 else { return .answer(DNSAnswer(.refused)) }
    if question.type == RecordType.axfr || question.type == 251 { return .answer(DNSAnswer(.refused)) }  // IXFR
    if question.name.isWithin(domain) { return inside(question) }
    if let address = Self.reversed(question.name) { return reverse(question, address) }
    return .foreign
  }

  private func inside(_ question: DNSQuestion) -> ZoneAnswer {
    let parts = question.name.prefix(before: domain)
    switch (parts.last, parts.count) {
    case (nil, _): return apex(question)
    case ("svc", 1): return found(question, [])
    case ("svc", 2): return hasNamespace(parts[0]) ? found(question, []) : missing
    case ("svc", _): return service(question, Array(parts.dropLast()))
    case ("pod", let count): return pod(question, parts, count)
    case ("dns-version", 1):
      return found(question, [DNSRecord(question.name, RecordType.txt, ttl: Self.ttl, .text(Array("1.1.0".utf8)))])
    case ("dns", 1): return found(question, [])
    case ("dns", 2) where parts[0] == "ns": return found(question, [address(question.name, serverAddress)])
    default: return missing
    }
  }

  private func apex(_ question: DNSQuestion) -> ZoneAnswer {
    var records = [authority]
    if let server = DNSName(labels: [Array("ns".utf8), Array("dns".utf8)] + domain.labels) {
      records.append(DNSRecord(domain, RecordType.ns, ttl: Self.ttl, .name(server)))
    }
    return found(question, records)
  }

  /// `parts`: labels before `.svc.<domain>`, the namespace last.
  private func service(_ question: DNSQuestion, _ parts: [String]) -> ZoneAnswer {
    let key = ServiceKey(parts[parts.count - 1], parts[parts.count - 2])
    guard let service = service(key) else { return missing }
    if case .externalName(let target) = service.kind {
      guard parts.count == 2 else { return missing }
      let alias = DNSRecord(question.name, RecordType.cname, ttl: Self.ttl, .name(target))
      return question.type == RecordType.cname ? found(question, [alias]) : .alias([alias], to: target)
    }
    let head = parts.dropLast(2)
    switch head.count {
    case 0: return found(question, serviceRecords(question.name, key, service))
    case 1 where head[0].hasPrefix("_"):
      return allPorts(key, service).contains { "_\($0.transport)" == head[0] } ? found(question, []) : missing
    case 1: return endpoint(question, key, service, label: head[0])
    case 2 where head[0].hasPrefix("_") && head[1].hasPrefix("_"):
      return ports(question, key, service, name: String(head[0].dropFirst()), transport: String(head[1].dropFirst()))
    default: return missing
    }
  }

  private func serviceRecords(_ owner: DNSName, _ key: ServiceKey, _ service: ServiceNames) -> [DNSRecord] {
    switch service.kind {
    case .clusterIPs(let addresses): addresses.map { address(owner, $0) }
    case .headless: unique(endpoints(key).map { address(owner, $0.address) })
    case .externalName: []
    }
  }

  private func allPorts(_ key: ServiceKey, _ service: ServiceNames) -> [ServiceNames.Port] {
    if case .headless = service.kind {
      endpoints(key).flatMap(\.ports).filter { !$0.name.isEmpty }
    } else {
      service.ports.filter { !$0.name.isEmpty }
    }
  }

  private func endpoint(_ question: DNSQuestion, _ key: ServiceKey, _ service: ServiceNames, label: String) -> ZoneAnswer {
    guard case .headless = service.kind else { return missing }
    let matching = endpoints(key).filter { $0.label.lowercased() == label }
    return matching.isEmpty ? missing : found(question, unique(matching.map { address(question.name, $0.address) }))
  }

  /// `_port._protocol.<service>`: SRV records, with the addresses of their targets.
  private func ports(_ question: DNSQuestion, _ key: ServiceKey, _ service: ServiceNames, name port: String, transport: String)
    -> ZoneAnswer
  {
    var records: [DNSRecord] = []
    var additional: [DNSRecord] = []
    func add(_ target: DNSName?, _ number: UInt16, _ addresses: [IPAddress]) {
      guard let target else { return }
      records.append(
        DNSRecord(question.name, RecordType.srv, ttl: Self.ttl, .service(priority: 0, weight: 100, port: number, target: target)))
      additional += addresses.map { address(target, $0) }
    }
    func fits(_ candidate: ServiceNames.Port) -> Bool { candidate.name.lowercased() == port && candidate.transport == transport }
    switch service.kind {
    case .clusterIPs(let addresses): for match in service.ports where fits(match) { add(name(key), match.port, addresses) }
    case .headless:
      for endpoint in endpoints(key) {
        for match in endpoint.ports where fits(match) { add(name(key, endpoint.label), match.port, [endpoint.address]) }
      }
    case .externalName: break
    }
    if records.isEmpty { return missing }
    guard case .answer(var answer) = found(question, unique(records)) else { return missing }
    if !answer.answers.isEmpty { answer.additional = unique(additional) }
    return .answer(answer)
  }

  /// `10-244-0-7.<namespace>.pod`: the address that the name tells, if it can be a pod's.
  private func pod(_ question: DNSQuestion, _ parts: [String], _ count: Int) -> ZoneAnswer {
    if count == 1 || count == 2 && hasNamespace(parts[0]) { return found(question, []) }
    guard count == 3 else { return missing }
    let text = parts[0]
    let dotted = String(decoding: text.utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: ".") : $0 }, as: UTF8.self)
    let coloned = String(decoding: text.utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: ":") : $0 }, as: UTF8.self)
    guard let pod = IPAddress(dotted) ?? IPAddress(coloned), pods.contains(where: { $0.contains(pod) }) else { return missing }
    return found(question, [address(question.name, pod)])
  }

  private func reverse(_ question: DNSQuestion, _ address: IPAddress) -> ZoneAnswer {
    let owners = owners(of: address)
    if owners.isEmpty { return ranges.contains { $0.contains(address) } ? missing : .foreign }
    return found(question, owners.map { DNSRecord(question.name, RecordType.ptr, ttl: Self.ttl, .name($0)) })
  }

  /// The name exists: those of its records that were asked for, or the zone's SOA where there are none.
  private func found(_ question: DNSQuestion, _ records: [DNSRecord]) -> ZoneAnswer {
    let wanted = question.type == RecordType.any ? records : records.filter { $0.type == question.type }
    return .answer(wanted.isEmpty ? DNSAnswer(.noError, authority: [authority]) : DNSAnswer(.noError, answers: wanted))
  }

  private var missing: ZoneAnswer { .answer(DNSAnswer(.nameError, authority: [authority])) }

  /// The negative time to live is the last number (RFC 2308).
  private var authority: DNSRecord {
    let server = DNSName(labels: [Array("ns".utf8), Array("dns".utf8)] + domain.labels) ?? domain
    let mailbox = DNSName(labels: [Array("hostmaster".utf8)] + domain.labels) ?? domain
    return DNSRecord(
      domain, RecordType.soa, ttl: Self.ttl,
      .authority(server: server, mailbox: mailbox, serial: 1, refresh: 7200, retry: 1800, expire: 86_400, minimum: Self.ttl))
  }

  private func address(_ owner: DNSName, _ address: IPAddress) -> DNSRecord {
    DNSRecord(owner, address.family == .ipv6 ? RecordType.aaaa : RecordType.a, ttl: Self.ttl, .address(address.bytes))
  }

  private func unique(_ records: [DNSRecord]) -> [DNSRecord] {
    var seen: Set<DNSRecord> = []
    return records.filter { seen.insert($0).inserted }
  }

  /// The address that a name of in-addr.arpa or ip6.arpa stands for.
  static func reversed(_ name: DNSName) -> IPAddress? {
    let words = name.words
    if words.count == 6, words.suffix(2) == ["in-addr", "arpa"] {
      return IPv4Address(words.prefix(4).reversed().joined(separator: ".")).map { .v4($0) }
    }
    guard words.count == 34, words.suffix(2) == ["ip6", "arpa"] else { return nil }
    let digits = words.prefix(32).reversed().compactMap { $0.utf8.count == 1 ? UInt8($0, radix: 16) : nil }
    guard digits.count == 32 else { return nil }
    return IPAddress(bytes: stride(from: 0, to: 32, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
  }
}
