import JSONCodec
import SystemPackage

// What the state directory keeps of a sandbox and a container: enough to answer for them and to enter them after a restart.

extension SandboxSpec {
  var json: JSON {
    [
      "id": .string(id), "podName": .string(podName), "namespace": .string(namespace), "hostname": .string(hostname),
      "qos": .string(qos.rawValue), "hostNetwork": .bool(hostNetwork), "hostPID": .bool(hostPID), "hostIPC": .bool(hostIPC),
      "shareProcessNamespace": .bool(shareProcessNamespace), "logDirectory": .string(logDirectory.string), "labels": labels,
    ]
  }

  init?(json: JSON) {
    guard let id = json["id"].string, let qos = json["qos"].string.flatMap(PodQOS.init) else { return nil }
    self.init(
      id: id, podName: json["podName"].string ?? "", namespace: json["namespace"].string ?? "", hostname: json["hostname"].string ?? "",
      qos: qos, logDirectory: FilePath(json["logDirectory"].string ?? "/"))
    hostNetwork = json["hostNetwork"].bool ?? false
    hostPID = json["hostPID"].bool ?? false
    hostIPC = json["hostIPC"].bool ?? false
    shareProcessNamespace = json["shareProcessNamespace"].bool ?? false
    labels = json["labels"]
  }
}

extension ContainerSpec {
  /// Without what only a start needs: layers, mounts, limits.
  var json: JSON {
    [
      "id": .string(id), "name": .string(name), "attempt": JSON(attempt), "environment": JSON(environment),
      "workingDirectory": .string(workingDirectory), "uid": .int(Int64(uid)), "gid": .int(Int64(gid)),
      "supplementalGroups": .array(supplementalGroups.map { .int(Int64($0)) }), "umask": .int(Int64(umask)),
      "capabilities": JSON(capabilities), "privileged": .bool(privileged), "noNewPrivileges": .bool(noNewPrivileges),
      "seccomp": .string(seccomp.text), "oomScoreAdj": JSON(oomScoreAdj), "stdin": .bool(stdin), "tty": .bool(tty),
      "logPath": .string(logPath.string), "terminationMessagePath": .string(terminationMessagePath), "stopSignal": .int(Int64(stopSignal)),
      "rlimits": .array(rlimits.map { [.int(Int64($0.resource)), .int(Int64(bitPattern: $0.soft)), .int(Int64(bitPattern: $0.hard))] }),
    ]
  }

  init?(json: JSON) {
    guard let id = json["id"].string, let name = json["name"].string else { return nil }
    self.init(name: name, attempt: json["attempt"].int ?? 0, id: id, logPath: FilePath(json["logPath"].string ?? "/"))
    environment = strings(json["environment"])
    workingDirectory = json["workingDirectory"].string ?? "/"
    // Values that we wrote ourselves: a file that lost them is refused rather than read as root.
    guard let uid = json["uid"].int.flatMap(UInt32.init(exactly:)), let gid = json["gid"].int.flatMap(UInt32.init(exactly:)),
      let seccomp = json["seccomp"].string.flatMap(SeccompChoice.init(text:)), let noNewPrivileges = json["noNewPrivileges"].bool
    else { return nil }
    self.uid = uid
    self.gid = gid
    self.seccomp = seccomp
    self.noNewPrivileges = noNewPrivileges
    supplementalGroups = (json["supplementalGroups"].array ?? []).compactMap { $0.int.flatMap(UInt32.init(exactly:)) }
    umask = UInt32(json["umask"].int ?? 0o022)
    capabilities = strings(json["capabilities"])
    privileged = json["privileged"].bool ?? false
    oomScoreAdj = json["oomScoreAdj"].int ?? 0
    stdin = json["stdin"].bool ?? false
    tty = json["tty"].bool ?? false
    terminationMessagePath = json["terminationMessagePath"].string ?? ""
    stopSignal = Int32(json["stopSignal"].int ?? 15)
    rlimits = (json["rlimits"].array ?? []).compactMap { item in
      guard let resource = item[0].int, let soft = item[1].int, let hard = item[2].int else { return nil }
      return ResourceLimit(resource: UInt32(resource), soft: UInt64(bitPattern: Int64(soft)), hard: UInt64(bitPattern: Int64(hard)))
    }
  }

  private func strings(_ json: JSON) -> [String] { (json.array ?? []).compactMap(\.string) }
}

extension ContainerState {
  /// The record of an end.
  var json: JSON {
    [
      "pid": .int(Int64(pid)), "exitCode": .int(Int64(exitCode)), "signal": .int(Int64(signal)), "oomKilled": .bool(oomKilled),
      "startedAt": .int(startedAt), "finishedAt": .int(finishedAt), "message": JSON(message),
    ]
  }

  mutating func setExit(json: JSON) {
    phase = .exited
    pid = Int32(json["pid"].int ?? 0)
    exitCode = Int32(json["exitCode"].int ?? 0)
    signal = Int32(json["signal"].int ?? 0)
    oomKilled = json["oomKilled"].bool ?? false
    startedAt = Int64(json["startedAt"].int ?? 0)
    finishedAt = Int64(json["finishedAt"].int ?? 0)
    message = json["message"].string
  }
}
