import JSONCodec

/// A PriorityLevelConfiguration.
///
/// Source: flowcontrol.apiserver.k8s.io/v1, PriorityLevelConfigurationSpec.
package struct PriorityLevel: Sendable, Equatable {
  /// How the requests wait that find no seat.
  package struct Queuing: Sendable, Equatable {
    package var queues: Int
    package var handSize: Int
    package var lengthLimit: Int

    package init(queues: Int, handSize: Int, lengthLimit: Int) {
      self.queues = max(1, queues)
      self.handSize = max(1, min(handSize, self.queues))
      self.lengthLimit = max(1, lengthLimit)
    }
  }

  package let name: String
  package let uid: String
  /// Its requests wait for nobody and take nobody's seat.
  package let isExempt: Bool
  package let shares: Int
  /// Percent of its seats that others may use while it does not.
  package let lendablePercent: Int
  /// Percent of its seats that it may have from others; nil: all there are.
  package let borrowingLimitPercent: Int?
  /// Nil: who finds no seat is turned away.
  package let queuing: Queuing?

  package init(_ object: JSON) {
    name = object["metadata"]["name"].string ?? ""
    uid = object["metadata"]["uid"].string ?? ""
    let limited = object["spec"]["limited"]
    isExempt = object["spec"]["type"].string == "Exempt"
    let figures = isExempt ? object["spec"]["exempt"] : limited
    shares = max(0, figures["nominalConcurrencyShares"].int ?? (isExempt ? 0 : 30))
    lendablePercent = min(100, max(0, figures["lendablePercent"].int ?? 0))
    borrowingLimitPercent = limited["borrowingLimitPercent"].int
    let response = limited["limitResponse"]
    if response["type"].string == "Queue" {
      let queuing = response["queuing"]
      self.queuing = Queuing(
        queues: queuing["queues"].int ?? 64, handSize: queuing["handSize"].int ?? 8, lengthLimit: queuing["queueLengthLimit"].int ?? 50)
    } else {
      queuing = nil
    }
  }

  /// Seats of a level.
  package struct Seats: Sendable, Equatable {
    /// Its own part of all seats.
    package var nominal: Int
    /// What nobody else ever gets.
    package var reserved: Int
    package var most: Int
  }

  /// Shares out the server's seats among the limited levels; at least one for each that has any share.
  package static func seats(_ levels: [PriorityLevel], total: Int) -> [String: Seats] {
    let sum = levels.reduce(0) { $0 + $1.shares }
    var result: [String: Seats] = [:]
    for level in levels where !level.isExempt {
      let nominal = sum == 0 ? 0 : (total * level.shares + sum - 1) / sum
      // Rounded as upstream does: the lent part to the nearest.
      let lent = (nominal * level.lendablePercent + 50) / 100
      let most = level.borrowingLimitPercent.map { nominal + (nominal * $0 + 50) / 100 } ?? Int.max
      result[level.name] = Seats(nominal: nominal, reserved: nominal - lent, most: most)
    }
    return result
  }
}

/// What there is to decide with, from the stored objects.
package struct FlowConfiguration: Sendable, Equatable {
  /// In the order in which they are asked.
  package let schemas: [FlowSchema]
  package let levels: [String: PriorityLevel]

  /// The mandatory objects are there whether they are stored or not. A schema whose level is not there matches nothing.
  package init(schemas: [JSON], levels: [JSON]) {
    var byName = Dictionary(uniqueKeysWithValues: DefaultFlows.mandatoryLevels.map(PriorityLevel.init).map { ($0.name, $0) })
    for level in levels.map(PriorityLevel.init) { byName[level.name] = level }
    let stored = schemas.map(FlowSchema.init)
    let names = Set(stored.map(\.name))
    let all = stored + DefaultFlows.mandatorySchemas.map(FlowSchema.init).filter { !names.contains($0.name) }
    self.levels = byName
    self.schemas = all.filter { byName[$0.level] != nil }.sorted(by: FlowSchema.precedes)
  }

  /// The first schema that takes a request. The last of them takes all.
  package func schema(for request: FlowRequest) -> FlowSchema? { schemas.first { $0.matches(request) } }
}
