import ContainerRuntime
import Foundation
import JSONCodec
import Kubelet
import KubernetesAPI
import KubernetesClient
import PodLifecycle
import Testing

@Suite(.serialized) struct PodLifeTests {
  @Test func aPodRunsAndIsReady() async throws {
    try await withKubelet { cluster in
      let created = try await cluster.create(cluster.pod("web"))
      let pod = try await cluster.waitReady("web")
      #expect(pod.status["podIP"] == "10.244.0.2")
      #expect(pod.status["hostIP"] == "192.168.7.1")
      #expect(pod.containerStatus("app")["restartCount"] == 0)
      #expect(pod.containerStatus("app")["imageID"] == "docker.io/library/busybox@sha256:2")
      #expect(pod.status["observedGeneration"] == 1)
      let spec = try #require(cluster.runtime.sandboxes[created.uid]?.specs.values.first)
      #expect(spec.argv == ["/bin/sh", "-c", "sleep 1"])
      #expect(spec.capabilities.count == 9)
      #expect(spec.environment.contains("HOSTNAME=web"))
      try await eventually("events") {
        let reasons = try await cluster.eventReasons(of: "web")
        return ["Pulled", "Created", "Started"].allSatisfy(reasons.contains)
      }
    }
  }

  @Test func deletionIsGracefulAndLeavesNothing() async throws {
    try await withKubelet { cluster in
      let pod = try await cluster.create(cluster.pod("web"))
      try await cluster.waitReady("web")
      _ = try await cluster.client.delete(.pods("default"), name: "web")
      try await cluster.waitGone("web")
      #expect(cluster.runtime.journal.withLock { $0 } == ["start app", "TERM app"])
      #expect(cluster.runtime.sandboxes[pod.uid] == nil)
      #expect(cluster.network.leases.isEmpty)
      #expect(cluster.volumes.prepared.isEmpty)
      try await eventually("image lease ended") { cluster.images.leases.isEmpty }
    }
  }

  @Test func aProcessThatIgnoresTermIsKilledAtTheEndOfItsGrace() async throws {
    try await withKubelet { cluster in
      cluster.runtime.behave("app", .init(onTerm: nil))
      try await cluster.create(cluster.pod("web", ["terminationGracePeriodSeconds": 1]))
      try await cluster.waitReady("web")
      let began = Date()
      _ = try await cluster.client.delete(.pods("default"), name: "web")
      try await cluster.waitGone("web")
      #expect(Date().timeIntervalSince(began) > 0.9)
      #expect(cluster.runtime.journal.withLock { $0 } == ["start app", "TERM app", "KILL app"])
    }
  }

  @Test func aSecondDeletionShortensTheGrace() async throws {
    try await withKubelet { cluster in
      cluster.runtime.behave("app", .init(onTerm: nil))
      try await cluster.create(cluster.pod("web", ["terminationGracePeriodSeconds": 60]))
      try await cluster.waitReady("web")
      _ = try await cluster.client.delete(.pods("default"), name: "web")
      try await eventually("TERM") { cluster.runtime.journal.withLock { $0.contains("TERM app") } }
      _ = try await cluster.client.delete(.pods("default"), name: "web", gracePeriodSeconds: 1)
      try await cluster.waitGone("web", seconds: 4)
    }
  }

  @Test func preStopRunsBeforeTerm() async throws {
    try await withKubelet { cluster in
      let hook: JSON = ["preStop": ["exec": ["command": ["/bin/drain"]]]]
      try await cluster.create(
        cluster.pod("web", containers: [["name": "app", "image": "busybox:1", "imagePullPolicy": "IfNotPresent", "lifecycle": hook]]))
      try await cluster.waitReady("web")
      _ = try await cluster.client.delete(.pods("default"), name: "web")
      try await cluster.waitGone("web")
      #expect(cluster.runtime.journal.withLock { $0 } == ["start app", "run app: /bin/drain", "TERM app"])
    }
  }

  @Test func restartsAndBackOff() async throws {
    try await withKubelet { cluster in
      let pod = try await cluster.create(cluster.pod("web"))
      try await cluster.waitReady("web")
      cluster.runtime.exit("app", in: pod.uid, code: 3, message: "bye")
      let second = try await cluster.wait("web", "restarted") {
        $0.containerStatus("app")["restartCount"].int == 1 && $0.containerStatus("app")["ready"].bool == true
      }
      #expect(second.containerStatus("app")["lastState"]["terminated"]["exitCode"] == 3)
      #expect(second.containerStatus("app")["lastState"]["terminated"]["message"] == "bye")
      cluster.runtime.exit("app", in: pod.uid, code: 4)
      let third = try await cluster.wait("web", "in back-off") {
        $0.containerStatus("app")["state"]["waiting"]["reason"].string == "CrashLoopBackOff"
      }
      #expect(third.containerStatus("app")["state"]["waiting"]["message"].string?.hasPrefix("back-off 10s restarting failed") == true)
      #expect(third.phase == "Running")
      try await eventually("BackOff event") { try await cluster.eventReasons(of: "web").contains("BackOff") }
    }
  }

  @Test func neverRestartedPodsEnd() async throws {
    try await withKubelet { cluster in
      let pod = try await cluster.create(cluster.pod("job", ["restartPolicy": "Never"]))
      try await cluster.waitReady("job")
      cluster.runtime.exit("app", in: pod.uid, code: 0)
      let ended = try await cluster.wait("job", "succeeded") { $0.phase == "Succeeded" }
      #expect(ended.condition("Ready")?["reason"] == "PodCompleted")
      #expect(ended.containerStatus("app")["state"]["terminated"]["reason"] == "Completed")
      try await eventually("sandbox gone") { cluster.runtime.sandboxes[pod.uid] == nil }
      _ = try await cluster.client.delete(.pods("default"), name: "job")
      try await cluster.waitGone("job")
    }
  }

  @Test func initContainersComeFirst() async throws {
    try await withKubelet { cluster in
      let initial: JSON = [["name": "setup", "image": "busybox:1", "imagePullPolicy": "IfNotPresent"]]
      let pod = try await cluster.create(cluster.pod("web", ["initContainers": initial]))
      let waiting = try await cluster.wait("web", "initializing") {
        !$0.containerStatus("setup", list: "initContainerStatuses")["state"]["running"].isNull
      }
      #expect(waiting.containerStatus("app")["state"]["waiting"]["reason"] == "PodInitializing")
      #expect(waiting.condition("Initialized")?["message"] == "containers with incomplete status: [setup]")
      cluster.runtime.exit("setup", in: pod.uid, code: 0)
      let ready = try await cluster.waitReady("web")
      #expect(ready.containerStatus("setup", list: "initContainerStatuses")["ready"] == true)
    }
  }

  @Test func imagesThatCannotBePulled() async throws {
    try await withKubelet { cluster in
      try await cluster.create(
        cluster.pod(
          "web", containers: [["name": "app", "image": "ghost:1"], ["name": "never", "image": "ghost:2", "imagePullPolicy": "Never"]]))
      let pod = try await cluster.wait("web", "ErrImagePull") {
        $0.containerStatus("app")["state"]["waiting"]["reason"].string == "ErrImagePull"
      }
      #expect(pod.phase == "Pending")
      try await cluster.wait("web", "ErrImageNeverPull") {
        $0.containerStatus("never")["state"]["waiting"]["reason"].string == "ErrImageNeverPull"
      }
      try await cluster.wait("web", "ImagePullBackOff") {
        $0.containerStatus("app")["state"]["waiting"]["reason"].string == "ImagePullBackOff"
      }
      // Another image in the spec is tried at once.
      cluster.images.publish("real:1")
      let patch: JSON = ["spec": ["containers": [["name": "app", "image": "real:1"], ["name": "never", "image": "busybox:1"]]]]
      _ = try await cluster.client.patch(.pods("default"), name: "web", patch)
      try await cluster.waitReady("web")
    }
  }

  @Test func anInvalidImageName() async throws {
    try await withKubelet { cluster in
      try await cluster.create(cluster.pod("web", containers: [["name": "app", "image": "BAD//name"]]))
      try await cluster.wait("web", "InvalidImageName") {
        $0.containerStatus("app")["state"]["waiting"]["reason"].string == "InvalidImageName"
      }
      try await eventually("InspectFailed") { try await cluster.eventReasons(of: "web").contains("InspectFailed") }
      _ = try await cluster.client.delete(.pods("default"), name: "web")
      try await cluster.waitGone("web")
    }
  }

  @Test func anotherImageRestartsTheContainer() async throws {
    try await withKubelet { cluster in
      cluster.images.publish("busybox:2")
      try await cluster.create(cluster.pod("web"))
      try await cluster.waitReady("web")
      _ = try await cluster.client.patch(.pods("default"), name: "web", ["spec": ["containers": [["name": "app", "image": "busybox:2"]]]])
      let pod = try await cluster.wait("web", "restarted") {
        $0.containerStatus("app")["restartCount"].int == 1 && $0.containerStatus("app")["ready"].bool == true
      }
      #expect(pod.containerStatus("app")["image"] == "busybox:2")
      #expect(pod.status["observedGeneration"].int == pod.metadata.generation)
    }
  }

  @Test func whatCannotBeConfiguredWaitsForThePodToChange() async throws {
    try await withKubelet { cluster in
      let env: JSON = [["name": "A", "valueFrom": ["configMapKeyRef": ["name": "missing", "key": "a"]]]]
      try await cluster.create(
        cluster.pod("web", containers: [["name": "app", "image": "busybox:1", "imagePullPolicy": "IfNotPresent", "env": env]]))
      let pod = try await cluster.wait("web", "CreateContainerConfigError") {
        $0.containerStatus("app")["state"]["waiting"]["reason"].string == "CreateContainerConfigError"
      }
      #expect(pod.containerStatus("app")["state"]["waiting"]["message"] == "configmap \"missing\" not found")
    }
  }

  @Test func aProgramThatIsNotThere() async throws {
    try await withKubelet { cluster in
      cluster.runtime.behave("app", .init(cannotExec: "exec: \"nosuch\": not found"))
      try await cluster.create(cluster.pod("web", ["restartPolicy": "Never"]))
      let pod = try await cluster.wait("web", "failed") { $0.phase == "Failed" }
      #expect(pod.containerStatus("app")["state"]["terminated"]["reason"] == "StartError")
      #expect(pod.containerStatus("app")["state"]["terminated"]["exitCode"] == 128)
    }
  }

  @Test func aSandboxThatFailsIsMadeAgain() async throws {
    try await withKubelet { cluster in
      cluster.runtime.fail("createSandbox", times: 1)
      cluster.volumes.fail(times: 1)
      try await cluster.create(cluster.pod("web"))
      try await cluster.waitReady("web")
      try await eventually("events") {
        let reasons = try await cluster.eventReasons(of: "web")
        return reasons.contains("FailedCreatePodSandBox") && reasons.contains("FailedMount")
      }
    }
  }

  @Test func aDeadSupervisorCostsARestart() async throws {
    try await withKubelet { cluster in
      let pod = try await cluster.create(cluster.pod("web"))
      try await cluster.waitReady("web")
      cluster.runtime.killSupervisor(of: pod.uid)
      let again = try await cluster.wait("web", "restarted") {
        $0.containerStatus("app")["restartCount"].int == 1 && $0.containerStatus("app")["ready"].bool == true
      }
      #expect(again.containerStatus("app")["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown")
    }
  }

  @Test func deadlineExceeded() async throws {
    try await withKubelet { cluster in
      try await cluster.create(cluster.pod("web", ["activeDeadlineSeconds": 1]))
      try await cluster.waitReady("web")
      let pod = try await cluster.wait("web", "failed") { $0.phase == "Failed" }
      #expect(pod.status["reason"] == "DeadlineExceeded")
    }
  }

  @Test func aStuckPodDelaysNobody() async throws {
    try await withKubelet { cluster in
      cluster.runtime.behave("slow", .init(commandSeconds: 30))
      let hook: JSON = ["postStart": ["exec": ["command": ["/bin/never-ends"]]]]
      try await cluster.create(
        cluster.pod("stuck", containers: [["name": "slow", "image": "busybox:1", "imagePullPolicy": "IfNotPresent", "lifecycle": hook]]))
      try await eventually("hook runs") { cluster.runtime.journal.withLock { $0.contains("run slow: /bin/never-ends") } }
      for i in 0..<10 { try await cluster.create(cluster.pod("web-\(i)")) }
      for i in 0..<10 { try await cluster.waitReady("web-\(i)") }
      let stuck = try await cluster.get("stuck")
      #expect(stuck.condition("Ready")?["status"].string != "True")
      _ = try await cluster.client.delete(.pods("default"), name: "stuck")
      try await cluster.waitGone("stuck")
    }
  }
}

@Suite(.serialized) struct ProbeTests {
  func app(_ fields: JSON) -> JSON {
    var json: JSON = ["name": "app", "image": "busybox:1", "imagePullPolicy": "IfNotPresent"]
    for (key, value) in fields.object! { json[key] = value }
    return json
  }

  @Test func livenessRestarts() async throws {
    try await withKubelet { cluster in
      cluster.runtime.behave("app", .init(commandExit: 1))
      let probe: JSON = ["exec": ["command": ["/bin/check"]], "periodSeconds": 1, "failureThreshold": 1]
      try await cluster.create(cluster.pod("web", containers: [app(["livenessProbe": probe])]))
      try await cluster.wait("web", "restarted") { ($0.containerStatus("app")["restartCount"].int ?? 0) >= 1 }
      try await eventually("Unhealthy") {
        let reasons = try await cluster.eventReasons(of: "web")
        return reasons.contains("Unhealthy") && reasons.contains("Killing")
      }
    }
  }

  @Test func readinessFollowsTheProbe() async throws {
    try await withKubelet { cluster in
      let probe: JSON = ["exec": ["command": ["/bin/check"]], "periodSeconds": 1, "failureThreshold": 1]
      try await cluster.create(cluster.pod("web", containers: [app(["readinessProbe": probe])]))
      try await cluster.waitReady("web")
      cluster.runtime.behave("app", .init(commandExit: 1))
      let pod = try await cluster.wait("web", "unready") { $0.condition("Ready")?["status"].string == "False" }
      #expect(pod.condition("Ready")?["reason"] == "ContainersNotReady")
      #expect(pod.containerStatus("app")["restartCount"] == 0)
    }
  }

  @Test func startupHoldsTheOthersBack() async throws {
    try await withKubelet { cluster in
      cluster.runtime.behave("app", .init(commandExit: 1))
      let probe: JSON = ["exec": ["command": ["/bin/check"]], "periodSeconds": 1, "failureThreshold": 30]
      let live: JSON = ["exec": ["command": ["/bin/live"]], "periodSeconds": 1, "failureThreshold": 1]
      try await cluster.create(cluster.pod("web", containers: [app(["startupProbe": probe, "livenessProbe": live])]))
      let pod = try await cluster.wait("web", "running") { $0.phase == "Running" }
      #expect(pod.containerStatus("app")["started"] == false)
      try await Task.sleep(for: .milliseconds(1200))
      #expect(!cluster.runtime.journal.withLock { $0.contains("run app: /bin/live") })
      cluster.runtime.behave("app", .init(commandExit: 0))
      let ready = try await cluster.waitReady("web")
      #expect(ready.containerStatus("app")["started"] == true)
      #expect(ready.containerStatus("app")["restartCount"] == 0)
    }
  }
}
