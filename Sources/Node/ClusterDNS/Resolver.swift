import NFTables
import Synchronization

/// Where the resolver's knowledge comes from, besides the zone.
package struct ResolverSettings: Sendable {
  /// Servers for names outside the cluster, in the order in which they are asked.
  package var upstream: [(host: String, port: Int)] = []
  /// Servers of single domains; the longest that fits a name is asked.
  package var stubDomains: [(domain: DNSName, servers: [(host: String, port: Int)])] = []
  /// Who gets answers; others are not even refused, so that nobody can point us at a victim.
  package var clients: [IPPrefix] = []

  package init() {}
}

/// Counts since the start.
package struct DNSStatistics: Sendable {
  package var queries = 0
  package var overTCP = 0
  package var foreignClients = 0
  package var malformed = 0
  package var forwarded = 0
  package var cacheHits = 0
  package var answersByCode = [Int](repeating: 0, count: 16)
}

/// Answers questions from the cluster's zone, from what others said before, or by asking them.
package final class Resolver: Sendable {
  /// Aliases followed from one question.
  static let aliasesMax = 8

  private let zone: Mutex<ClusterZone>
  private let cache = Mutex(AnswerCache())
  private let counts = Mutex(DNSStatistics())
  private let settings: ResolverSettings
  private let upstream: Upstream
  private let began = ContinuousClock.now

  init(zone: ClusterZone, settings: ResolverSettings, upstream: Upstream) {
    self.zone = Mutex(zone)
    self.settings = settings
    self.upstream = upstream
  }

  package var statistics: DNSStatistics { counts.withLock { $0 } }
  var cached: Int { cache.withLock { $0.count } }

  func change(_ body: (inout ClusterZone) -> Void) { zone.withLock { body(&$0) } }

  func isClient(_ address: IPAddress) -> Bool {
    let isKnown = settings.clients.contains { $0.contains(address) }
    if !isKnown { counts.withLock { $0.foreignClients += 1 } }
    return isKnown
  }

  enum Outcome {
    case bytes([UInt8])
    case silence
    /// Others must be asked.
    case later(DNSQuery)
  }

  /// What can be said at once. `bytesMax` nil: by TCP.
  func answerAtOnce(_ message: [UInt8], isTCP: Bool) -> Outcome {
    counts.withLock {
      $0.queries += 1
      if isTCP { $0.overTCP += 1 }
    }
    let query: DNSQuery
    do {
      query = try DNSWire.readQuery(message)
    } catch {
      counts.withLock { $0.malformed += 1 }
      guard case .answer(let identifier, let code) = error else { return .silence }
      return .bytes(DNSWire.writeFailure(identifier: identifier, code))
    }
    let bytesMax = Self.bytesMax(query, isTCP)
    if let extensions = query.extensions, extensions.version != 0 { return .bytes(finish(DNSAnswer(.badVersion), query, bytesMax)) }
    switch zone.withLock({ $0.answer(query.question) }) {
    case .answer(let answer): return .bytes(finish(answer, query, bytesMax))
    case .alias: return .later(query)
    case .foreign:
      if let kept = cache.withLock({ $0.answer(for: Self.key(query), now: now) }) {
        counts.withLock {
          $0.cacheHits += 1
          $0.answersByCode[Int(kept[3] & 0xf)] += 1
        }
        return .bytes(ForwardedAnswer.adapt(kept, to: query, bytesMax: bytesMax))
      }
      return .later(query)
    }
  }

  /// The answer to a question for which `answerAtOnce` said later.
  func answer(_ query: DNSQuery, isTCP: Bool) async -> [UInt8] {
    let bytesMax = Self.bytesMax(query, isTCP)
    guard case .alias(var records, var target) = zone.withLock({ $0.answer(query.question) }) else {
      guard let answer = await forward(query) else { return finish(DNSAnswer(.serverFailure), query, bytesMax) }
      counts.withLock { $0.answersByCode[Int(answer[3] & 0xf)] += 1 }
      return ForwardedAnswer.adapt(answer, to: query, bytesMax: bytesMax)
    }
    for _ in 0..<Self.aliasesMax {
      var next = query
      next.question.name = target
      switch zone.withLock({ $0.answer(next.question) }) {
      case .alias(let more, let further):
        records += more
        target = further
        continue
      case .answer(let answer):
        return finish(DNSAnswer(answer.code, answers: records + answer.answers, authority: answer.authority), query, bytesMax)
      case .foreign:
        // The alias is true although its target cannot be found out.
        let found = await forward(next).flatMap { DNSWire.answers($0) }
        let code = found.flatMap { ResponseCode(rawValue: $0.code) } ?? .serverFailure
        return finish(DNSAnswer(code, answers: records + (found?.records ?? [])), query, bytesMax)
      }
    }
    return finish(DNSAnswer(.serverFailure), query, bytesMax)
  }

  private func forward(_ query: DNSQuery) async -> [UInt8]? {
    let key = Self.key(query)
    if let kept = cache.withLock({ $0.answer(for: key, now: now) }) { return kept }
    let servers = servers(for: query.question.name)
    if servers.isEmpty { return nil }
    counts.withLock { $0.forwarded += 1 }
    guard let answer = await upstream.ask(query, servers), let summary = DNSWire.summary(answer) else { return nil }
    cache.withLock { $0.store(answer, summary, for: key, now: now) }
    return answer
  }

  private func servers(for name: DNSName) -> [Upstream.Server] {
    let stub = settings.stubDomains.filter { name.isWithin($0.domain) }.max { $0.domain.labels.count < $1.domain.labels.count }
    return (stub?.servers ?? settings.upstream).map { Upstream.Server(host: $0.host, port: $0.port) }
  }

  private func finish(_ answer: DNSAnswer, _ query: DNSQuery, _ bytesMax: Int) -> [UInt8] {
    counts.withLock { $0.answersByCode[Int(answer.code.rawValue & 0xf)] += 1 }
    return DNSWire.write(answer, to: query, bytesMax: bytesMax)
  }

  private static func bytesMax(_ query: DNSQuery, _ isTCP: Bool) -> Int { isTCP ? 65_535 : DNSWire.udpBytesMax(query) }

  private static func key(_ query: DNSQuery) -> AnswerCache.Key {
    AnswerCache.Key(
      question: query.question, wantsSecurity: query.extensions?.wantsSecurity ?? false, checkingDisabled: query.checkingDisabled)
  }

  private var now: Double {
    let passed = (ContinuousClock.now - began).components
    return Double(passed.seconds) + Double(passed.attoseconds) / 1e18
  }
}
