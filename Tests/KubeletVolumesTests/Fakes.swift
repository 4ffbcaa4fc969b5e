import FoundationEssentials
import JSONCodec
import KubernetesAPI
import Logging
import Synchronization
import SystemPackage

@testable import Kubelet

#if canImport(Glibc)
  import Glibc
#endif

/// An API that holds objects, tells of changes, and issues tokens that count up.
final class FakeObjects: ObjectSource, ServiceSource {
  private struct State {
    var objects: [String: JSON] = [:]
    var readers: [String: [AsyncStream<Void>.Continuation]] = [:]
    var tokens = 0
    var tokensFail = false
    var services: [JSON] = []
  }
  private let state = Mutex(State())
  let clock: FakeClock

  init(clock: FakeClock = FakeClock()) { self.clock = clock }

  private static func key(_ kind: ObjectKind, _ namespace: String, _ name: String) -> String { "\(kind) \(namespace)/\(name)" }

  func set(_ kind: ObjectKind, _ name: String, _ object: JSON?, namespace: String = "ns") {
    let readers = state.withLock { state in
      state.objects[Self.key(kind, namespace, name)] = object
      return state.readers[Self.key(kind, namespace, name)] ?? []
    }
    for reader in readers { reader.yield() }
  }

  func setServices(_ services: [JSON]) { state.withLock { $0.services = services } }
  func failTokens(_ fail: Bool) { state.withLock { $0.tokensFail = fail } }

  func object(_ kind: ObjectKind, _ namespace: String, _ name: String) async throws -> JSON? {
    state.withLock { $0.objects[Self.key(kind, namespace, name)] }
  }

  func changes(_ kind: ObjectKind, _ namespace: String, _ name: String) -> AsyncStream<Void> {
    AsyncStream(bufferingPolicy: .bufferingNewest(1)) { reader in
      state.withLock { $0.readers[Self.key(kind, namespace, name), default: []].append(reader) }
    }
  }

  func token(_ spec: TokenSpec) async throws -> ServiceAccountToken {
    let number = try state.withLock { state in
      if state.tokensFail { throw ContainerConfigError("the API is away") }
      state.tokens += 1
      return state.tokens
    }
    let now = clock.now
    return ServiceAccountToken(
      token: "\(spec.serviceAccount) \(spec.audience) \(number)", issuedAt: now,
      expiresAt: now.advanced(bySeconds: Double(spec.expirationSeconds)))
  }

  func services() async throws -> [JSON] { state.withLock { $0.services } }
}

/// A clock that stands until it is moved; sleepers wake when their time has come.
final class FakeClock: Sendable {
  private struct Sleeper {
    let until: Timestamp
    let wake: CheckedContinuation<Void, Never>
  }
  private let state = Mutex<(now: Timestamp, sleepers: [Sleeper])>((Timestamp(secondsSinceEpoch: 1_700_000_000), []))

  var now: Timestamp { state.withLock { $0.now } }
  var sleeperCount: Int { state.withLock { $0.sleepers.count } }

  func advance(_ seconds: Double) {
    let due = state.withLock { state in
      state.now = state.now.advanced(bySeconds: seconds)
      let now = state.now
      let due = state.sleepers.filter { $0.until <= now }
      state.sleepers.removeAll { $0.until <= now }
      return due
    }
    for sleeper in due { sleeper.wake.resume() }
  }

  var kubelet: KubeletClock {
    KubeletClock(
      now: { [self] in now },
      sleep: { [self] until in
        await withCheckedContinuation { wake in
          let isDue = state.withLock { state in
            if until <= state.now { return true }
            state.sleepers.append(Sleeper(until: until, wake: wake))
            return false
          }
          if isDue { wake.resume() }
        }
        try Task.checkCancellation()
      })
  }
}

/// A node's directory that goes away with the test, and the manager on it.
final class VolumeNode: Sendable {
  let path: String
  let objects: FakeObjects
  let clock: FakeClock
  let manager: VolumeManager

  init(clusterDNS: [String] = ["10.96.0.10"]) {
    var template = Array("/tmp/swiftlet-volumes-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    clock = FakeClock()
    objects = FakeObjects(clock: clock)
    var settings = VolumeManager.Settings(
      dataDirectory: FilePath(path), clusterDNS: clusterDNS, clusterDomain: "cluster.local", hostIPs: ["192.0.2.7"],
      nodeHostname: "node-a")
    settings.hostResolvConf = path + "/host-resolv.conf"
    settings.hostHosts = path + "/host-hosts"
    try! HostFiles.write("nameserver 192.0.2.53\nsearch example.com\noptions rotate\n", to: settings.hostResolvConf)
    try! HostFiles.write("127.0.0.1 localhost host-line\n", to: settings.hostHosts)
    manager = VolumeManager(settings: settings, objects: objects, clock: clock.kubelet, log: Logger(label: "test"))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func volume(_ plugin: String, _ name: String) -> String { "\(path)/pods/uid-1/volumes/kubernetes.io~\(plugin)/\(name)" }
}

/// A pod with one container that mounts each of the volumes at /v/<name>.
func makePod(volumes: [JSON], spec: JSON = [:], mounts: [JSON]? = nil) -> Pod {
  var json: JSON = [
    "metadata": [
      "name": "web-0", "namespace": "ns", "uid": "uid-1", "labels": ["b": "2", "a": "one \"1\""], "annotations": ["k": "line\nbreak"],
    ]
  ]
  var body = spec
  body["volumes"] = .array(volumes)
  let all = mounts ?? volumes.map { ["name": $0["name"], "mountPath": .string("/v/\($0["name"].string ?? "")")] }
  body["containers"] = [["name": "app", "image": "i", "volumeMounts": .array(all)]]
  json["spec"] = body
  return Pod(json)
}

func mode(_ path: String) -> UInt32 {
  var status = stat()
  return stat(path, &status) == 0 ? UInt32(status.st_mode & 0o7777) : 0xFFFF
}

func group(_ path: String) -> UInt32 {
  var status = stat()
  return stat(path, &status) == 0 ? status.st_gid : UInt32.max
}

/// The text of the error that `body` throws, or "".
func message(_ body: () async throws -> Void) async -> String {
  do {
    try await body()
    return ""
  } catch { return "\(error)" }
}

/// Waits until it holds; false after five seconds.
func eventually(_ condition: () -> Bool) async -> Bool {
  for _ in 0..<1_000 {
    if condition() { return true }
    try? await Task.sleep(for: .milliseconds(5))
  }
  return condition()
}
