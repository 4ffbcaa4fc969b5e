import JSONCodec
import KubernetesAPI

extension PodObservation {
  /// The sandbox attempt of runs that are known from the API's status alone.
  package static let lostSandbox = -1

  /// Takes over what the API's status tells of containers that the runtime does not know (any more): ended ones keep
  /// their exit and restart count; those said to run have been lost, with a reboot for example.
  package mutating func adopt(statusOf pod: Pod, now: Timestamp) {
    if startTime == nil { startTime = pod.status["startTime"].timestamp }
    if podIPs.isEmpty { podIPs = (pod.status["podIPs"].array ?? []).compactMap { $0["ip"].string } }
    adoptVolumeImages(pod.status)
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
      for status in pod.status[list].array ?? [] {
        guard let name = status["name"].string else { continue }
        adopt(name, status, now)
      }
    }
  }

  /// Which images the volumes show, as a status tells it.
  package mutating func adoptVolumeImages(_ status: JSON) {
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
      for mount in (status[list].array ?? []).flatMap({ $0["volumeMounts"].array ?? [] }) {
        guard let volume = mount["name"].string, let image = mount["volumeStatus"]["image"]["imageRef"].string else { continue }
        volumeImages[volume] = image
      }
    }
  }

  private mutating func adopt(_ name: String, _ status: JSON, _ now: Timestamp) {
    let attempt = status["restartCount"].int ?? 0
    var seen = self[name]
    if seen.run != nil {
      // The runtime's word counts, but a restart count never goes down.
      seen.run!.attempt = max(seen.run!.attempt, attempt)
      if seen.previousRun == nil { seen.previousRun = Self.run(status, status["lastState"], attempt: attempt - 1) }
    } else if let ended = Self.run(status, status["state"], attempt: attempt) {
      seen.run = ended
      seen.previousRun = Self.run(status, status["lastState"], attempt: attempt - 1)
    } else if let startedAt = status["state"]["running"]["startedAt"].timestamp {
      let exit = ContainerExit(
        code: 137, finishedAt: now, reason: "ContainerStatusUnknown",
        message: "The container could not be located when the node came back")
      seen.run = Self.run(status, attempt: attempt, exit: exit, startedAt: startedAt)
      seen.previousRun = Self.run(status, status["lastState"], attempt: attempt - 1)
    } else if let ended = Self.run(status, status["lastState"], attempt: attempt) {
      seen.run = ended
    } else {
      return
    }
    if let run = seen.run, run.attempt > 0 { seen.crash = CrashBackoff(restarts: run.attempt, lastStartedAt: run.startedAt) }
    self[name] = seen
  }

  private static func run(_ status: JSON, _ state: JSON, attempt: Int) -> ContainerRun? {
    let ended = state["terminated"]
    guard let code = ended["exitCode"].int else { return nil }
    let finishedAt = ended["finishedAt"].timestamp ?? Timestamp(secondsSinceEpoch: 0)
    let exit = ContainerExit(
      code: code, signal: ended["signal"].int ?? 0, isOutOfMemory: ended["reason"].string == "OOMKilled", finishedAt: finishedAt,
      reason: ended["reason"].string, message: ended["message"].string)
    let startedAt = ended["startedAt"].timestamp ?? finishedAt
    var run = run(status, attempt: attempt, exit: exit, startedAt: startedAt)
    run.id = bareID(ended["containerID"].string ?? "")
    return run
  }

  private static func run(_ status: JSON, attempt: Int, exit: ContainerExit, startedAt: Timestamp) -> ContainerRun {
    ContainerRun(
      id: bareID(status["containerID"].string ?? ""), attempt: max(0, attempt), sandboxAttempt: lostSandbox,
      state: .exited(exit), startedAt: startedAt, image: status["image"].string ?? "", imageID: status["imageID"].string ?? "",
      user: status["user"])
  }

  /// `swiftlet://abc` -> `abc`.
  private static func bareID(_ id: String) -> String {
    guard let scheme = id.firstIndex(of: ":"), id[scheme...].hasPrefix("://") else { return id }
    return String(id[id.index(scheme, offsetBy: 3)...])
  }
}
