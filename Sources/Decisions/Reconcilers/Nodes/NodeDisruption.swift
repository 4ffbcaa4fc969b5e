import JSONCodec
import KubernetesAPI
import Synchronization

/// How much of a zone is out of order, and how fast its nodes may lose their pods then.
///
/// Source: Kubernetes' documentation "Nodes", section "Rate limits on eviction". Many nodes that fall silent at once have most likely lost
/// their network: to start all their pods elsewhere would make it worse.
struct NodeDisruption {
  enum State: Equatable { case normal, partial, full }

  /// The share of a zone's nodes from which on it counts as disturbed; two nodes are never too many.
  static let partialShare = 0.55
  static let partialLeast = 3
  /// Nodes up to which a disturbed zone loses no pods at all.
  static let smallZoneMax = 50
  /// Seconds between two nodes of a zone that lose their pods; of a disturbed one.
  static let pause = 10.0
  static let disturbedPause = 100.0

  private let zones: [String: (ready: Int, unready: Int)]

  init(_ nodes: [JSON]) {
    var zones: [String: (ready: Int, unready: Int)] = [:]
    for node in nodes {
      // One that has not told anything yet says nothing about its zone.
      guard let ready = node.condition("Ready")?["status"].string else { continue }
      let zone = Self.zone(node)
      if ready == "True" { zones[zone, default: (0, 0)].ready += 1 } else { zones[zone, default: (0, 0)].unready += 1 }
    }
    self.zones = zones
  }

  static func zone(_ node: JSON) -> String {
    let labels = node["metadata"]["labels"]
    return "\(labels["topology.kubernetes.io/region"].string ?? "")/\(labels["topology.kubernetes.io/zone"].string ?? "")"
  }

  func state(of zone: String) -> State {
    guard let (ready, unready) = zones[zone] else { return .normal }
    if ready == 0, unready > 0 { return .full }
    return unready >= Self.partialLeast && Double(unready) / Double(ready + unready) >= Self.partialShare ? .partial : .normal
  }

  /// No zone has a node that works: it is this side that lost its network.
  var isTotal: Bool { !zones.isEmpty && zones.keys.allSatisfy { state(of: $0) == .full } }

  /// Seconds between nodes of the zone that lose their pods; nil: none does.
  func pause(in zone: String) -> Double? {
    if isTotal { return nil }
    guard state(of: zone) == .partial else { return Self.pause }
    let (ready, unready) = zones[zone] ?? (0, 0)
    return ready + unready > Self.smallZoneMax ? Self.disturbedPause : nil
  }
}

/// When a node of each zone lost its pods the last time.
final class EvictionPace: Sendable {
  private let last = Mutex<[String: (node: String, at: Timestamp)]>([:])

  /// 0: the node may lose its pods now, and the next one later; else seconds until it may.
  func wait(_ node: String, zone: String, pause: Double, now: Timestamp) -> Double {
    last.withLock { last in
      if let (known, at) = last[zone], known != node {
        let left = pause - now.seconds(since: at)
        if left > 0 { return left }
      }
      last[zone] = (node, now)
      return 0
    }
  }
}
