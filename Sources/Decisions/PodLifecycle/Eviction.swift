import KubernetesAPI

/// What a node runs short of, by the names of upstream's eviction signals.
package enum EvictionSignal: String, Sendable, CaseIterable {
  case memory = "memory.available"
  case nodefs = "nodefs.available"
  case nodefsInodes = "nodefs.inodesFree"
  case imagefs = "imagefs.available"
  case imagefsInodes = "imagefs.inodesFree"
  case pids = "pid.available"

  /// As the messages of evictions name it.
  package var resource: String {
    switch self {
    case .memory: "memory"
    case .nodefs, .imagefs: "ephemeral-storage"
    case .nodefsInodes, .imagefsInodes: "inodes"
    case .pids: "pids"
    }
  }

  package var isOfDisk: Bool { self != .memory && self != .pids }

  /// Less than this is pressure: upstream's defaults, and one in twenty of the process ids.
  package func threshold(capacity: Int64) -> Int64 {
    switch self {
    case .memory: 100 << 20
    case .nodefs: capacity / 10
    case .imagefs: capacity * 15 / 100
    case .nodefsInodes, .imagefsInodes, .pids: capacity / 20
    }
  }
}

/// How much of something is left, of how much.
package struct ResourceLevel: Sendable, Equatable {
  package var available: Int64
  package var capacity: Int64
  package init(available: Int64, capacity: Int64) {
    self.available = available
    self.capacity = capacity
  }
}

/// A signal whose threshold is met.
package struct MetThreshold: Sendable, Equatable {
  package let signal: EvictionSignal
  package let level: ResourceLevel
  package var threshold: Int64 { signal.threshold(capacity: level.capacity) }
}

/// The signals whose thresholds are met, in the order in which they are dealt with. What is not known is no pressure.
package func metThresholds(_ levels: [EvictionSignal: ResourceLevel]) -> [MetThreshold] {
  EvictionSignal.allCases.compactMap { signal in
    guard let level = levels[signal], level.capacity > 0, level.available < signal.threshold(capacity: level.capacity) else { return nil }
    return MetThreshold(signal: signal, level: level)
  }
}

/// The node's pressure conditions: they hold on for a while after their cause has gone, lest they swing.
package struct PressureConditions: Sendable, Equatable {
  package static let holdSeconds: Double = 300

  private var lastMet: [String: Timestamp] = [:]
  package private(set) var active: Set<String> = []

  package init() {}

  /// `MemoryPressure`, `DiskPressure`, `PIDPressure`.
  static func condition(of signal: EvictionSignal) -> String {
    signal == .memory ? "MemoryPressure" : signal == .pids ? "PIDPressure" : "DiskPressure"
  }

  package mutating func update(_ met: [MetThreshold], now: Timestamp) {
    for one in met { lastMet[Self.condition(of: one.signal)] = now }
    lastMet = lastMet.filter { now.seconds(since: $0.value) < Self.holdSeconds }
    active = Set(lastMet.keys)
  }
}

/// Whether a node under pressure takes another pod. Critical pods always; with too little memory only those that ask for none are refused.
package func pressureRejection(of pod: Pod, conditions: Set<String>) -> PodRejection? {
  guard !conditions.isEmpty, !pod.isCritical else { return nil }
  if conditions == ["MemoryPressure"] {
    if pod.qosClass != .bestEffort { return nil }
    let tolerates = pod.spec.tolerations.contains {
      let key = $0["key"].string ?? ""
      let effect = $0["effect"].string ?? ""
      return (key == "node.kubernetes.io/memory-pressure" || key.isEmpty && $0["operator"].string == "Exists")
        && (effect.isEmpty || effect == "NoSchedule")
    }
    if tolerates { return nil }
  }
  return PodRejection(reason: "Evicted", message: "The node had condition: [\(conditions.sorted().joined(separator: " "))]. ")
}

extension Pod {
  /// A static pod, or one of the system's priorities: never evicted.
  package var isCritical: Bool {
    spec.priority >= 2_000_000_000 || isMirror || !metadata.annotations["kubernetes.io/config.source"].isNull
  }
}

// MARK: - Who goes

/// What a pod uses and has asked for.
package struct PodUsage: Sendable, Equatable {
  package struct Container: Sendable, Equatable {
    package var name: String
    package var used: Int64
    package var requested: Int64
    package init(name: String, used: Int64, requested: Int64) {
      self.name = name
      self.used = used
      self.requested = requested
    }
  }
  package var uid: String
  package var priority: Int
  package var isCritical: Bool
  /// Of the resource that is short; processes and inodes are not asked for.
  package var used: Int64
  package var requested: Int64
  package var containers: [Container]
  package init(uid: String, priority: Int, isCritical: Bool, used: Int64, requested: Int64, containers: [Container] = []) {
    self.uid = uid
    self.priority = priority
    self.isCritical = isCritical
    self.used = used
    self.requested = requested
    self.containers = containers
  }

  var exceeds: Bool { used > requested }
}

/// The pod to evict for a resource that is short: of those that use more than they asked for, else of all, the least important,
/// and among equals the one furthest above its request. Nil: none may go.
package func podToEvict(_ pods: [PodUsage], for signal: EvictionSignal) -> PodUsage? {
  pods.filter { !$0.isCritical }.min { a, b in
    if signal != .pids, a.exceeds != b.exceeds { return a.exceeds }
    if a.priority != b.priority { return a.priority < b.priority }
    return a.used - a.requested > b.used - b.requested
  }
}

/// The text of the eviction, as upstream writes it.
package func evictionMessage(_ met: MetThreshold, _ pod: PodUsage) -> String {
  func text(_ value: Int64) -> String {
    met.signal == .memory || met.signal == .nodefs || met.signal == .imagefs ? binaryQuantity(value) : "\(value)"
  }
  var message = "The node was low on resource: \(met.signal.resource). "
  message += "Threshold quantity: \(text(met.threshold)), available: \(text(met.level.available)). "
  for container in pod.containers where container.used > container.requested {
    message += "Container \(container.name) was using \(text(container.used)), request is \(text(container.requested)), "
    message += "has larger consumption of \(met.signal.resource). "
  }
  return message
}

/// Bytes as a quantity in its shortest binary form: `100Mi`, `1025Ki`, `7`.
package func binaryQuantity(_ bytes: Int64) -> String {
  var value = bytes
  var units = ["", "Ki", "Mi", "Gi", "Ti", "Pi"][...]
  while value != 0, value % 1024 == 0, units.count > 1 {
    value /= 1024
    units = units.dropFirst()
  }
  return "\(value)\(units.first!)"
}

// MARK: - A pod's own storage limits

/// Bytes of local storage that a pod takes.
package struct PodStorage: Sendable, Equatable {
  /// Volumes of type emptyDir on the disk, by name.
  package var emptyDirs: [String: Int64]
  /// Writable layer and logs, by container.
  package var containers: [String: Int64]
  package init(emptyDirs: [String: Int64] = [:], containers: [String: Int64] = [:]) {
    self.emptyDirs = emptyDirs
    self.containers = containers
  }
  package var total: Int64 { emptyDirs.values.reduce(0, +) + containers.values.reduce(0, +) }
}

extension Pod {
  /// Whether its local storage has limits, and so needs to be measured.
  package var limitsStorage: Bool {
    containersWithRoles.contains { $0.container.limit("ephemeral-storage") != nil }
      || spec.volumes.contains { !$0["emptyDir"]["sizeLimit"].isNull && $0["emptyDir"]["medium"].string != "Memory" }
  }
}

/// Why a pod is to go for the storage it uses: the message of its eviction. Nil: it keeps its limits.
package func storageEviction(of pod: Pod, _ storage: PodStorage) -> String? {
  for volume in pod.spec.volumes where volume["emptyDir"]["medium"].string != "Memory" {
    guard let name = volume["name"].string, let limit = volume["emptyDir"]["sizeLimit"].quantity, limit.value > 0,
      let used = storage.emptyDirs[name], used > limit.value
    else { continue }
    return "Usage of EmptyDir volume \"\(name)\" exceeds the limit \"\(limit.text)\". "
  }
  let containers = pod.spec.containers + pod.spec.initContainers.filter(\.isSidecar)
  let limits = containers.compactMap { $0.limit("ephemeral-storage") }
  if limits.count == containers.count, let first = limits.first {
    let total = limits.dropFirst().reduce(first) { $0 + $1 }
    if storage.total > total.value {
      return "Pod ephemeral local storage usage exceeds the total limit of containers \(total.text). "
    }
  }
  for container in containers {
    guard let limit = container.limit("ephemeral-storage"), let used = storage.containers[container.name], used > limit.value else {
      continue
    }
    return "Container \(container.name) exceeded its local ephemeral storage limit \"\(limit.text)\". "
  }
  return nil
}

// MARK: - Images

/// An image of the node and whether a container has it.
package struct ImageUse: Sendable, Equatable {
  package var id: String
  package var bytes: Int64
  package var isUsed: Bool
  /// When it came, and when a container had it last.
  package var cameAt: Timestamp
  package var usedAt: Timestamp?
  package init(id: String, bytes: Int64, isUsed: Bool, cameAt: Timestamp, usedAt: Timestamp? = nil) {
    self.id = id
    self.bytes = bytes
    self.isUsed = isUsed
    self.cameAt = cameAt
    self.usedAt = usedAt
  }
}

package enum ImageCollection {
  /// Percent of the file system: above the first, images go until the second is reached.
  package static let highPercent: Int64 = 85
  package static let lowPercent: Int64 = 80
  /// Seconds that an image is left alone after it came.
  package static let ageMin: Double = 120

  /// Bytes to free; nil: enough is free.
  package static func excess(_ level: ResourceLevel) -> Int64? {
    guard level.capacity > 0, (level.capacity - level.available) * 100 >= level.capacity * highPercent else { return nil }
    return max(0, level.capacity * (100 - lowPercent) / 100 - level.available)
  }

  /// Which images go so that so many bytes are freed: those unused for longest first.
  package static func toRemove(_ images: [ImageUse], freeing bytes: Int64, now: Timestamp) -> [ImageUse] {
    var result: [ImageUse] = []
    var freed: Int64 = 0
    let candidates = images.filter { !$0.isUsed && now.seconds(since: $0.cameAt) >= ageMin }
    for image in candidates.sorted(by: { ($0.usedAt ?? $0.cameAt, $0.id) < ($1.usedAt ?? $1.cameAt, $1.id) }) where freed < bytes {
      result.append(image)
      freed += image.bytes
    }
    return result
  }
}
