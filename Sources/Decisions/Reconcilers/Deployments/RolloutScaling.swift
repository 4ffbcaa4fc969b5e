import JSONCodec
import KubernetesAPI

extension Rollout {
  /// Gives a set another size, and notes on it what the deployment wants.
  mutating func resized(_ set: Rollable, to size: Int) -> Rollable {
    let before = set.replicas
    var set = set
    var json = set.json
    json["spec"]["replicas"] = JSON(size)
    json["metadata"]["annotations"][Rollable.prefix + "desired-replicas"] = .string(String(replicas))
    json["metadata"]["annotations"][Rollable.prefix + "max-replicas"] = .string(String(replicas + fence.surge))
    guard json != set.json else { return set }
    set.json = json
    writes.append(.update(.replicaSet, json))
    guard size != before else { return set }
    let direction = size > before ? "up" : "down"
    writes.append(
      .event(.deployment, deployment.json, "ScalingReplicaSet", "Scaled \(direction) replica set \(set.name) from \(before) to \(size)"))
    return set
  }

  /// The size that the new set may have now.
  func sizeOfCurrent(_ size: Int, total: Int) -> Int {
    guard isRolling else { return replicas }
    let most = replicas + fence.surge
    return total >= most ? size : size + min(most - total, max(0, replicas - size))
  }

  /// True where the new set was given another size.
  mutating func growCurrent() -> Bool {
    guard let set = current, set.replicas != replicas else { return false }
    let total = all.reduce(0) { $0 + $1.replicas }
    let size = set.replicas > replicas ? replicas : sizeOfCurrent(set.replicas, total: total)
    guard size != set.replicas else { return false }
    current = resized(set, to: size)
    return true
  }

  /// Takes from the old sets what can be spared: first pods that are not available, then as many as availability
  /// allows. True where any was given another size.
  mutating func shrinkOld() -> Bool {
    let oldTotal = old.reduce(0) { $0 + $1.replicas }
    guard oldTotal > 0, let set = current else { return false }
    let least = replicas - fence.unavailable
    let spare = oldTotal + set.replicas - least - (set.replicas - set.available)
    guard spare > 0 else { return false }
    var sizes = old.map(\.replicas)
    var cleaned = 0
    for i in old.indices where cleaned < spare && sizes[i] > old[i].available {
      let surplus = min(spare - cleaned, sizes[i] - old[i].available)
      cleaned += surplus
      sizes[i] -= surplus
    }
    // A set's status may still count pods that its new size has given up: what `spare` allows is the most that may go.
    let available = zip(old, sizes).reduce(set.available) { $0 + min($1.0.available, $1.1) }
    var left = min(spare - cleaned, available - least)
    for i in old.indices where left > 0 && sizes[i] > 0 {
      let surplus = min(sizes[i], left)
      left -= surplus
      sizes[i] -= surplus
    }
    let before = old.map(\.replicas)
    for i in old.indices where sizes[i] != before[i] { old[i] = resized(old[i], to: sizes[i]) }
    return sizes != before
  }

  /// Follows a change of the wanted number: the only active set takes all of it, several share it by their size.
  mutating func scaleInProportion() {
    let active = all.filter { $0.replicas > 0 }
    if active.count <= 1 {
      let latest = active.first ?? current ?? old.max { $0.json.created < $1.json.created }
      if let latest, latest.replicas != replicas || latest.annotated("desired-replicas") != replicas {
        resize([latest.json.uid: replicas])
      }
      return
    }
    if let set = current, set.replicas == replicas, set.annotated("desired-replicas") == replicas, set.available == replicas {
      return resize(Dictionary(uniqueKeysWithValues: old.filter { $0.replicas > 0 }.map { ($0.json.uid, 0) }))
    }
    guard isRolling else { return }
    let total = active.reduce(0) { $0 + $1.replicas }
    let toAdd = (replicas > 0 ? replicas + fence.surge : 0) - total
    let grows = toAdd > 0
    let order = active.sorted {
      if $0.replicas != $1.replicas { return $0.replicas > $1.replicas }
      return grows ? $0.json.created > $1.json.created : $0.json.created < $1.json.created
    }
    var sizes: [String: Int] = [:]
    var added = 0
    for set in order {
      let share = proportion(of: set, toAdd: toAdd, added: added)
      sizes[set.json.uid] = set.replicas + share
      added += share
    }
    // What rounding left over goes to the largest.
    if let first = order.first, toAdd != 0 { sizes[first.json.uid] = max(0, sizes[first.json.uid]! + toAdd - added) }
    resize(sizes)
  }

  private func proportion(of set: Rollable, toAdd: Int, added: Int) -> Int {
    guard set.replicas > 0, toAdd != 0, toAdd != added else { return 0 }
    let allowed = toAdd - added
    let share: Int
    if replicas == 0 {
      share = -set.replicas
    } else {
      let before = set.annotated("max-replicas").flatMap { $0 > 0 ? $0 : nil } ?? max(1, deployment.count("replicas"))
      share = Int((Double(set.replicas * (replicas + fence.surge)) / Double(before)).rounded()) - set.replicas
    }
    return toAdd > 0 ? min(share, allowed) : max(share, allowed)
  }

  private mutating func resize(_ sizes: [String: Int]) {
    if let set = current, let size = sizes[set.json.uid] { current = resized(set, to: size) }
    for i in old.indices {
      guard let size = sizes[old[i].json.uid] else { continue }
      old[i] = resized(old[i], to: size)
    }
  }
}
