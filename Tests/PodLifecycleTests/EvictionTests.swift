import JSONCodec
import KubernetesAPI
import PodLifecycle
import Testing

@Suite struct EvictionTests {
  private static func level(_ available: Int64, of capacity: Int64) -> ResourceLevel {
    ResourceLevel(available: available, capacity: capacity)
  }

  @Test(arguments: [
    (EvictionSignal.memory, Int64(99) << 20, Int64(1) << 30, true), (.memory, 100 << 20, 1 << 30, false), (.nodefs, 9, 100, true),
    (.nodefs, 10, 100, false), (.nodefsInodes, 4, 100, true), (.nodefsInodes, 5, 100, false), (.imagefs, 14, 100, true),
    (.imagefs, 15, 100, false), (.pids, 4, 100, true), (.pids, 5, 100, false), (.nodefs, 0, 0, false),
  ])
  func thresholds(signal: EvictionSignal, available: Int64, capacity: Int64, isMet: Bool) {
    #expect(!metThresholds([signal: Self.level(available, of: capacity)]).isEmpty == isMet)
  }

  @Test func aConditionHoldsForAWhile() {
    var conditions = PressureConditions()
    conditions.update(metThresholds([.nodefs: Self.level(1, of: 100)]), now: at(0))
    #expect(conditions.active == ["DiskPressure"])
    conditions.update([], now: at(299))
    #expect(conditions.active == ["DiskPressure"])
    conditions.update([], now: at(300))
    #expect(conditions.active.isEmpty)
  }

  private func usage(_ uid: String, _ used: Int64, _ requested: Int64, priority: Int = 0, critical: Bool = false) -> PodUsage {
    PodUsage(uid: uid, priority: priority, isCritical: critical, used: used, requested: requested)
  }

  @Test func whoGoesFirst() {
    func first(_ pods: [PodUsage], _ signal: EvictionSignal = .memory) -> String? { podToEvict(pods, for: signal)?.uid }
    #expect(first([usage("within", 90, 100), usage("above", 20, 10)]) == "above")
    #expect(first([usage("important", 90, 10, priority: 5), usage("other", 20, 10)]) == "other")
    #expect(first([usage("little", 20, 10), usage("much", 50, 10)]) == "much")
    #expect(first([usage("critical", 90, 0, critical: true)]) == nil)
    #expect(first([usage("important", 90, 10, priority: 5), usage("within", 9, 10)]) == "important")
    #expect(first([usage("few", 2, 0), usage("many", 20, 0), usage("important", 90, 0, priority: 1)], .pids) == "many")
  }

  @Test func whatIsSaid() throws {
    let met = try #require(metThresholds([.memory: Self.level(80 << 20, of: 1 << 30)]).first)
    var victim = usage("u", 200 << 20, 100 << 20)
    victim.containers = [
      .init(name: "app", used: 150 << 20, requested: 50 << 20), .init(name: "quiet", used: 1, requested: 50 << 20),
      .init(name: "free", used: 1537, requested: 0),
    ]
    #expect(
      evictionMessage(met, victim)
        == "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. "
        + "Container app was using 150Mi, request is 50Mi, has larger consumption of memory. Container free was using 1537, request is 0, has larger consumption of memory. "
    )
  }

  @Test func storageLimits() {
    let limited = container("app", ["resources": ["limits": ["ephemeral-storage": "1Ki"]]])
    let volumes: JSON = ["volumes": [["name": "v", "emptyDir": ["sizeLimit": "2Ki"]]]]
    let pod = makePod([limited], spec: volumes)
    #expect(pod.limitsStorage)
    #expect(
      !makePod(spec: ["volumes": [["name": "v", "emptyDir": [:]], ["name": "m", "emptyDir": ["medium": "Memory", "sizeLimit": "1Ki"]]]])
        .limitsStorage)
    #expect(storageEviction(of: pod, PodStorage(emptyDirs: ["v": 0], containers: ["app": 1024])) == nil)
    #expect(
      storageEviction(of: pod, PodStorage(emptyDirs: ["v": 2049])) == "Usage of EmptyDir volume \"v\" exceeds the limit \"2Ki\". ")
    #expect(
      storageEviction(of: pod, PodStorage(emptyDirs: ["v": 1], containers: ["app": 1024]))
        == "Pod ephemeral local storage usage exceeds the total limit of containers 1Ki. ")
    let two = makePod([limited, container("free")])
    #expect(
      storageEviction(of: two, PodStorage(containers: ["app": 1025, "free": 1 << 20]))
        == "Container app exceeded its local ephemeral storage limit \"1Ki\". ")
    #expect(storageEviction(of: two, PodStorage(containers: ["app": 10, "free": 1 << 20])) == nil)
  }

  @Test func aNodeUnderPressureTakesWhatMatters() {
    let frugal = makePod()
    let asking = makePod([container("app", ["resources": ["requests": ["memory": "1Mi"]]])])
    let critical = makePod(spec: ["priority": 2_000_000_000])
    let tolerant = makePod(spec: [
      "tolerations": [["key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"]]
    ])
    #expect(pressureRejection(of: frugal, conditions: []) == nil)
    #expect(
      pressureRejection(of: frugal, conditions: ["MemoryPressure"])
        == PodRejection(reason: "Evicted", message: "The node had condition: [MemoryPressure]. "))
    #expect(pressureRejection(of: asking, conditions: ["MemoryPressure"]) == nil)
    #expect(pressureRejection(of: tolerant, conditions: ["MemoryPressure"]) == nil)
    #expect(pressureRejection(of: asking, conditions: ["DiskPressure"])?.message == "The node had condition: [DiskPressure]. ")
    #expect(pressureRejection(of: critical, conditions: ["DiskPressure", "MemoryPressure"]) == nil)
  }

  @Test func imagesThatNobodyUsesGo() {
    #expect(ImageCollection.excess(Self.level(16, of: 100)) == nil)
    #expect(ImageCollection.excess(Self.level(15, of: 100)) == 5)
    func image(_ id: String, used: Bool = false, came: Double = -1000, last: Double? = nil) -> ImageUse {
      ImageUse(id: id, bytes: 10, isUsed: used, cameAt: at(came), usedAt: last.map(at))
    }
    let all = [image("used", used: true), image("new", came: -10), image("recent", last: -5), image("old", last: -500), image("never")]
    #expect(ImageCollection.toRemove(all, freeing: 15, now: at(0)).map(\.id) == ["never", "old"])
    #expect(ImageCollection.toRemove(all, freeing: .max, now: at(0)).map(\.id) == ["never", "old", "recent"])
  }
}
