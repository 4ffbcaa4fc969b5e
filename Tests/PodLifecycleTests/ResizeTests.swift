import JSONCodec
import KubernetesAPI
import PodLifecycle
import Testing

private func resources(cpu: String, memory: String) -> JSON {
  ["requests": ["cpu": .string(cpu), "memory": .string(memory)], "limits": ["cpu": .string(cpu), "memory": .string(memory)]]
}

@Suite struct ResizeTests {
  static let small = resources(cpu: "100m", memory: "64Mi")
  static let large = resources(cpu: "200m", memory: "64Mi")

  private func node(cpu: String, memory: String = "1Gi") -> Node {
    Node(["status": ["allocatable": ["cpu": .string(cpu), "memory": .string(memory), "pods": "110"]]])
  }

  private func other(cpu: String) -> Pod {
    var pod = makePod([container("x", ["resources": ["requests": ["cpu": .string(cpu)]]])])
    pod.json["metadata"]["uid"] = "u-2"
    return pod
  }

  @Test func theNodeGrantsWhatItHas() {
    let pod = makePod([container("app", ["resources": Self.large])])
    #expect(resizeRefusal(of: pod, on: node(cpu: "1"), others: []) == nil)
    #expect(
      resizeRefusal(of: pod, on: node(cpu: "150m"), others: [])
        == ResizePending(.infeasible, "Node didn't have enough capacity: cpu, requested: 200, capacity: 150"))
    #expect(
      resizeRefusal(of: pod, on: node(cpu: "1", memory: "1Mi"), others: [])
        == ResizePending(.infeasible, "Node didn't have enough capacity: memory, requested: 67108864, capacity: 1048576"))
    #expect(
      resizeRefusal(of: pod, on: node(cpu: "1"), others: [other(cpu: "900m")])
        == ResizePending(.deferred, "Node didn't have enough resource: cpu, requested: 200, used: 900, capacity: 1000"))
    #expect(resizeRefusal(of: pod, on: node(cpu: "1"), others: [], isStatic: true)?.reason == .infeasible)
  }

  @Test func anOlderSpecAsksForNothing() {
    var pod = makePod([container("app", ["resources": Self.large])])
    var resize = ResizeObservation()
    resize.allocated = ["app": Self.small]
    resize.generation = 3
    pod.json["metadata"]["generation"] = 2
    #expect(!pod.wantsResize(resize), "a sandbox keeps the spec that it was made from")
    pod.json["metadata"]["generation"] = 4
    #expect(pod.wantsResize(resize))
  }

  private func observed(granted: JSON, running: JSON) -> PodObservation {
    var observed = standing(["app": .running().with { $0.run!.resources = running }])
    observed.resize.allocated = ["app": granted]
    observed.resize.enforced = ["app": running]
    return observed
  }

  @Test func grantedLimitsAreWritten() {
    let pod = makePod([container("app", ["resources": Self.large])])
    let seen = observed(granted: Self.large, running: Self.small)
    #expect(podActions(for: pod, observed: seen, now: at(10)) == [.resize(containers: ["app"])])
    var acting = seen
    acting.resize.isActing = true
    #expect(podActions(for: pod, observed: acting, now: at(10)).isEmpty)
    var failed = seen
    failed.resize.retryAt = at(15)
    #expect(podActions(for: pod, observed: failed, now: at(10)) == [.wake(at: at(15))])
    #expect(podActions(for: pod, observed: observed(granted: Self.large, running: Self.large), now: at(10)).isEmpty)
  }

  @Test func aPolicyMayWantARestart() {
    let policy: JSON = ["resources": Self.large, "resizePolicy": [["resourceName": "cpu", "restartPolicy": "RestartContainer"]]]
    let seen = observed(granted: Self.large, running: Self.small)
    #expect(
      podActions(for: makePod([container("app", policy)]), observed: seen, now: at(10)) == [
        .killContainer(name: "app", reason: .resized, deadline: at(40)), .resize(containers: []),
      ])
    var other = policy
    other["resizePolicy"] = [["resourceName": "memory", "restartPolicy": "RestartContainer"]]
    #expect(podActions(for: makePod([container("app", other)]), observed: seen, now: at(10)) == [.resize(containers: ["app"])])
  }

  @Test func whatWasStoppedForARestartStartsAtOnce() {
    let pod = makePod(restartPolicy: "OnFailure")
    var seen = standing(["app": .exited(0, at: 9, attempt: 1)])
    seen.containers["app"]!.run!.state = .exited(
      {
        var exit = ContainerExit(code: 0, finishedAt: at(9))
        exit.isForRestart = true
        return exit
      }())
    seen.containers["app"]!.crash = CrashBackoff(restarts: 3, lastStartedAt: at(0))
    #expect(podActions(for: pod, observed: seen, now: at(10)) == [.startContainer(name: "app", attempt: 2)])
  }

  @Test func theStatusTellsWhatIsGrantedAndWhatIsEnforced() {
    let pod = makePod([container("app", ["resources": Self.large])])
    let midway = podStatus(of: pod, observed: observed(granted: Self.large, running: Self.small), now: at(10))
    let container = midway["containerStatuses"][0]
    #expect(container["allocatedResources"] == Self.large["requests"])
    #expect(container["resources"] == Self.small)
    #expect(midway["conditions"].array?.first?["type"] == "PodResizeInProgress")
    var refused = observed(granted: Self.small, running: Self.small)
    refused.resize.pending = ResizePending(.deferred, "not now")
    let waiting = podStatus(of: pod, observed: refused, now: at(10))
    #expect(waiting["containerStatuses"][0]["allocatedResources"] == Self.small["requests"])
    #expect(waiting["conditions"].array?.first?["reason"] == "Deferred")
    let done = podStatus(of: pod, observed: observed(granted: Self.large, running: Self.large), now: at(10))
    #expect(done["containerStatuses"][0]["resources"] == Self.large)
    #expect(!(done["conditions"].array ?? []).contains { ($0["type"].string ?? "").hasPrefix("PodResize") })
  }

  @Test func whatThePodNamesAsAWholeCounts() {
    let whole: JSON = ["resources": ["requests": ["cpu": "500m"], "limits": ["cpu": "1", "memory": "256Mi"]]]
    let pod = makePod([container("app"), container("other")], spec: whole)
    let values = CgroupValues(pod: pod, nodeMemoryBytes: 1 << 30)
    #expect(values.cpuQuotaMicros == 100_000)
    #expect(values.memoryMax == 256 << 20)
    #expect(values.cpuWeight == CgroupValues.weight(shares: 512))
    #expect(podRequest(pod, "cpu") == Quantity("500m"))
    #expect(podRequest(pod, "memory") == Quantity("256Mi"))
  }

  @Test func theOverheadCountsInThePodsCgroup() {
    let pod = makePod([container("app", ["resources": Self.small])], spec: ["overhead": ["cpu": "100m", "memory": "16Mi"]])
    let values = CgroupValues(pod: pod, nodeMemoryBytes: 1 << 30)
    #expect(values.cpuQuotaMicros == 20_000)
    #expect(values.memoryMax == 80 << 20)
    #expect(values.cpuWeight == CgroupValues.weight(shares: 204))
  }
}
