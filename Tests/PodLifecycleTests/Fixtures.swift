import JSONCodec
import KubernetesAPI
import PodLifecycle

let t0 = Timestamp(secondsSinceEpoch: 1_800_000_000)

func at(_ seconds: Double) -> Timestamp { t0.advanced(bySeconds: seconds) }

func container(_ name: String, _ fields: JSON = [:]) -> JSON {
  var json: JSON = ["name": .string(name), "image": "busybox:1"]
  for (key, value) in fields.object! { json[key] = value }
  return json
}

func makePod(
  _ containers: [JSON] = [container("app")], initial: [JSON] = [], ephemeral: [JSON] = [], restartPolicy: String = "Always",
  spec extra: JSON = [:], status: JSON = .null
) -> Pod {
  var spec: JSON = ["containers": .array(containers), "restartPolicy": .string(restartPolicy), "terminationGracePeriodSeconds": 30]
  if !initial.isEmpty { spec["initContainers"] = .array(initial) }
  if !ephemeral.isEmpty { spec["ephemeralContainers"] = .array(ephemeral) }
  for (key, value) in extra.object! { spec[key] = value }
  return Pod([
    "metadata": ["name": "web", "namespace": "default", "uid": "u-1", "generation": 3],
    "spec": spec, "status": status,
  ])
}

extension ContainerObservation {
  /// The image is here and nothing has run.
  static var fresh: ContainerObservation {
    var seen = ContainerObservation()
    seen.image = .ready
    return seen
  }

  static func running(since seconds: Double = 0, attempt: Int = 0, isReady: Bool = true, isStarted: Bool = true) -> ContainerObservation {
    var seen = fresh
    seen.run = ContainerRun(id: "c\(attempt)", attempt: attempt, startedAt: at(seconds), image: "busybox:1", imageID: "sha256:1")
    seen.isReady = isReady
    seen.isStarted = isStarted
    return seen
  }

  static func exited(_ code: Int, at seconds: Double = 5, attempt: Int = 0, sandbox: Int = 0) -> ContainerObservation {
    var seen = running(attempt: attempt)
    seen.run!.state = .exited(ContainerExit(code: code, finishedAt: at(seconds)))
    seen.run!.sandboxAttempt = sandbox
    return seen
  }

  func with(_ change: (inout ContainerObservation) -> Void) -> ContainerObservation {
    var copy = self
    change(&copy)
    return copy
  }
}

/// A pod whose sandbox and volumes stand.
func standing(_ containers: [String: ContainerObservation] = ["app": .fresh]) -> PodObservation {
  var observed = PodObservation()
  observed.sandbox = .ready(attempt: 0)
  observed.sandboxesMade = 1
  observed.volumes = .ready
  observed.containers = containers
  observed.podIPs = ["10.244.0.5"]
  observed.hostIPs = ["192.168.1.2"]
  observed.startTime = t0
  return observed
}
