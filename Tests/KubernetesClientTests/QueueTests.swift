import FoundationEssentials
import JSONCodec
import Logging
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(2))) struct QueueTests {
  @Test func aKeyIsThereOnceAndNotWorkedOnTwice() async {
    let queue = WorkQueue<String>()
    for key in ["a", "b", "a"] { queue.add(key) }
    #expect(await queue.next() == "a")
    queue.add("a")
    queue.add("a")
    #expect(await queue.next() == "b")
    #expect(!queue.isIdle)
    queue.done("a")
    #expect(await queue.next() == "a", "what was added meanwhile comes again, once")
    queue.done("a")
    queue.done("b")
    #expect(queue.isIdle)
    queue.close()
    #expect(await queue.next() == nil)
  }

  @Test func failuresComeBackLaterAndLater() async {
    let clock = ManualClock()
    let queue = WorkQueue<String>(time: clock.source)
    var paused = 0.005
    for _ in 0..<5 {
      queue.retry("k")
      await eventually { clock.sleeperCount == 1 }
      clock.advance(paused * 0.9)
      #expect(queue.isIdle)
      clock.advance(paused * 0.11)
      #expect(await queue.next() == "k")
      queue.done("k")
      paused *= 2
    }
    queue.forget("k")
    queue.retry("k")
    await eventually { clock.sleeperCount == 1 }
    clock.advance(0.0051)
    #expect(await queue.next() == "k", "after a success it begins anew")
    queue.close()
  }

  @Test func theEarlierTimeCounts() async {
    let clock = ManualClock()
    let queue = WorkQueue<Int>(time: clock.source)
    queue.add(1, after: 100)
    queue.add(1, after: 10)
    queue.add(1, after: 50)
    await eventually { clock.sleeperCount == 1 }
    clock.advance(11)
    #expect(await queue.next() == 1)
    queue.done(1)
    clock.advance(200)
    #expect(queue.isIdle)
    queue.close()
  }

  /// Who leads at the moment.
  private final class Leaders: Sendable {
    private let names = Mutex<[String]>([])
    var all: [String] { names.withLock { $0 } }
    func begin(_ name: String) { names.withLock { $0.append(name) } }
    func end(_ name: String) { names.withLock { $0.removeAll { $0 == name } } }
  }

  private func candidate(_ identity: String, _ server: FakeServer, _ clock: ManualClock, _ leaders: Leaders) -> Task<Void, Never> {
    let (client, time) = (KubernetesClient(transport: server), clock.source)
    return Task {
      await LeaderElection(client: client, name: "it", identity: identity, time: time, log: Logger(label: "test")).run {
        leaders.begin(identity)
        try? await time.sleep(1e6)
        leaders.end(identity)
      }
    }
  }

  @Test func oneLeadsAndAnotherTakesOver() async throws {
    let (server, clock, leaders) = (FakeServer(), ManualClock(), Leaders())
    let first = candidate("one", server, clock, leaders)
    await eventually { leaders.all == ["one"] }
    let second = candidate("two", server, clock, leaders)
    // Time goes on for minutes; the leader renews.
    for _ in 0..<60 {
      clock.advance(2)
      try await Task.sleep(for: .milliseconds(3))
      #expect(leaders.all == ["one"])
    }
    first.cancel()
    await first.value
    let holder = server.state.withLock { $0.objects["it"]?["spec"]["holderIdentity"].string }
    #expect(holder == "" || holder == "two", "who ends lets go")
    await eventually {
      clock.advance(1)
      return leaders.all == ["two"]
    }
    second.cancel()
    await second.value
    #expect(leaders.all.isEmpty)
  }

  @Test func whoCannotRenewStopsBeforeAnotherBegins() async throws {
    let (server, clock, leaders) = (FakeServer(), ManualClock(), Leaders())
    let task = candidate("one", server, clock, leaders)
    await eventually { !leaders.all.isEmpty }
    server.state.withLock { $0.isAway = true }
    let began = clock.source.now()
    await eventually {
      clock.advance(0.5)
      try? await Task.sleep(for: .milliseconds(1))
      return leaders.all.isEmpty
    }
    #expect(clock.source.now().seconds(since: began) <= LeaderElection.Times().lease + 1)
    task.cancel()
    await task.value
  }
}

@Suite struct KubeconfigTests {
  private func read(_ text: String) throws -> Kubeconfig {
    let path = "/tmp/swiftlet-kubeconfig-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return try Kubeconfig(file: path)
  }

  @Test func whatWasWrittenIsRead() throws {
    var config = Kubeconfig(server: "https://10.0.0.1:6443")
    config.certificateAuthority = Array("CA".utf8)
    config.clientCertificate = Array("CERT".utf8)
    config.clientKey = [0, 1, 2]
    let back = try read(config.text(name: "c", user: "u"))
    #expect(back.server == config.server && back.clientKey == [0, 1, 2] && back.certificateAuthority == Array("CA".utf8))
  }

  @Test(arguments: [
    ("- a list", "not YAML with a map"), ("a: b", "no current-context"), ("current-context: x", "no context \"x\""),
    ("current-context: x\ncontexts: [{name: x, context: {cluster: c}}]", "names a cluster that is not there"),
    ("current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, cluster: {a: b}}]", "has no server"),
    (
      "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: s, certificate-authority-data: '%'}}]",
      "certificate-authority-data is not base64"
    ),
    (
      "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: s, certificate-authority: none.pem}}]",
      "none.pem cannot be read"
    ),
  ]) func whatIsWrongIsNamed(text: String, problem: String) throws {
    let error = #expect(throws: KubeconfigError.self) { try read(text) }
    #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
  }
}
