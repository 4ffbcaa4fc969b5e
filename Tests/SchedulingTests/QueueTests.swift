import JSONCodec
import KubernetesAPI
import Testing

@testable import Scheduling

@Suite struct QueueTests {
  private let cluster = Cluster()

  private func item(_ name: String, priority: Int = 0, _ change: (inout JSON) -> Void = { _ in }) -> PodRecord {
    cluster.record(pod(name, priority: priority, change))
  }

  private func names(_ queue: inout SchedulingQueue, at now: Timestamp) -> [String] {
    var names: [String] = []
    while let item = queue.pop(now: now) { names.append(item.pod.reference.name) }
    return names
  }

  @Test func byPriorityThenByTime() {
    var queue = SchedulingQueue()
    queue.add(item("a"), now: t0)
    queue.add(item("b", priority: 5), now: t0.advanced(bySeconds: 1))
    queue.add(item("c", priority: 5), now: t0.advanced(bySeconds: 1))
    queue.add(item("d"), now: t0.advanced(bySeconds: -1))
    #expect(names(&queue, at: t0.advanced(bySeconds: 2)) == ["b", "c", "d", "a"])
    #expect(queue.nextTurn == nil)
  }

  @Test func pausesDouble() {
    #expect([1, 2, 3, 4, 5, 60].map { SchedulingQueue.pause(attempts: $0) } == [1, 2, 4, 8, 10, 10])
    var queue = SchedulingQueue()
    queue.add(item("a"), now: t0)
    queue.pause(queue.pop(now: t0)!, now: t0)
    #expect(queue.nextTurn == t0.advanced(bySeconds: 1))
    #expect(names(&queue, at: t0.advanced(bySeconds: 0.9)).isEmpty)
    let again = queue.pop(now: t0.advanced(bySeconds: 1))
    #expect(again?.attempts == 1)
    queue.pause(again!, now: t0.advanced(bySeconds: 1))
    #expect(queue.nextTurn == t0.advanced(bySeconds: 3))
  }

  @Test func parkedPodsWaitForNews() {
    var queue = SchedulingQueue()
    queue.add(item("a"), now: t0)
    queue.park(queue.pop(now: t0)!, filters: [.resources], message: "m", now: t0)
    #expect(names(&queue, at: t0.advanced(bySeconds: 100)).isEmpty)
    // What is left of its pause is kept.
    queue.wake("uid-default-a", now: t0.advanced(bySeconds: 0.5))
    #expect(names(&queue, at: t0.advanced(bySeconds: 0.6)).isEmpty)
    #expect(names(&queue, at: t0.advanced(bySeconds: 1)) == ["a"])
  }

  @Test func wokenAfterItsPauseAtOnce() {
    var queue = SchedulingQueue()
    queue.add(item("a"), now: t0)
    queue.park(queue.pop(now: t0)!, filters: [.resources], message: "m", now: t0)
    queue.wake("uid-default-a", now: t0.advanced(bySeconds: 5))
    #expect(names(&queue, at: t0.advanced(bySeconds: 5)) == ["a"])
  }

  @Test func parkedForTooLong() {
    var queue = SchedulingQueue()
    queue.add(item("a"), now: t0)
    queue.park(queue.pop(now: t0)!, filters: [.resources], message: "m", now: t0)
    #expect(queue.nextTurn == t0.advanced(bySeconds: 30))
    var now = t0
    var found: [String] = []
    while found.isEmpty, let next = queue.nextTurn {
      now = next
      found = names(&queue, at: now)
    }
    #expect(found == ["a"])
    #expect(now == t0.advanced(bySeconds: 300))
  }

  @Test func gatesHoldPods() {
    var queue = SchedulingQueue()
    queue.add(item("a") { $0["spec"]["schedulingGates"] = [["name": "g"]] }, now: t0)
    #expect(names(&queue, at: t0.advanced(bySeconds: 1_000)).isEmpty)
    queue.update(item("a"), isNews: true, now: t0.advanced(bySeconds: 1_000))
    #expect(names(&queue, at: t0.advanced(bySeconds: 1_000)) == ["a"])
  }

  @Test func removedPodsNeverCome() {
    var queue = SchedulingQueue()
    queue.add(item("a"), now: t0)
    queue.add(item("b"), now: t0)
    #expect(queue.remove("uid-default-a") != nil)
    #expect(names(&queue, at: t0) == ["b"])
  }

  @Test func theHeapSorts() {
    var dice = Dice(state: 5)
    for size in [0, 1, 2, 7, 100] {
      var heap = Heap<Int>()
      let numbers = (0..<size).map { _ in dice.roll(50) }
      for number in numbers { heap.insert(number) }
      var sorted: [Int] = []
      while let least = heap.popLeast() { sorted.append(least) }
      #expect(sorted == numbers.sorted())
    }
  }
}
