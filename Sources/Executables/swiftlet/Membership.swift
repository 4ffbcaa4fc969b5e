import APIServer
import ClusterJoining
import FoundationEssentials
import KubernetesClient
import Logging
import NIOPosix
import Synchronization
import SystemPackage

/// A node's place in the cluster that it joined by token: its credential, kept in `<data-dir>/agent`, and renewed in time.
final class Membership: Sendable {
  /// Seconds between two messages that the server refuses the node.
  static let refusalSeconds = 300.0
  /// Seconds that a renewal waits for its signature, and between looks at the clock: it may be set.
  static let signatureSeconds = 120.0
  static let lookSeconds = 30.0
  static let userAgent = "swiftlet/\(APIServer.version["gitVersion"].string ?? "")"

  private struct State {
    var credential: NodeCredential
    var renewal: Renewal
    var toldRefusal: Date?
  }

  let transport: RotatingTransport
  private let files: MembershipFiles
  private let join: JoinOptions
  private let group: MultiThreadedEventLoopGroup
  private let log: Logger
  private let state: Mutex<State>

  private init(
    _ credential: NodeCredential, _ transport: RotatingTransport, _ files: MembershipFiles, _ join: JoinOptions,
    _ group: MultiThreadedEventLoopGroup, _ log: Logger, _ refusals: Refusals
  ) {
    (self.transport, self.files, self.join, self.group, self.log) = (transport, files, join, group, log)
    state = Mutex(State(credential: credential, renewal: credential.renewal))
    refusals.tell = { [weak self] in self?.refused($0) }
  }

  /// Carries refusals from the transport, which is there first.
  private final class Refusals: Sendable {
    private let action = Mutex<(@Sendable (String) -> Void)?>(nil)
    var tell: (@Sendable (String) -> Void)? {
      get { action.withLock { $0 } }
      set { action.withLock { $0 = newValue } }
    }
  }

  // MARK: - Entering

  /// Uses the credential that is there, or joins.
  static func enter(
    data: FilePath, join: JoinOptions, nodeName: String?, group: MultiThreadedEventLoopGroup, log: Logger
  ) async throws -> Membership {
    let files = try MembershipFiles(data: data)
    let token = try join.joinToken()
    let stored = try files.credential()
    var credential = try await usable(stored, token, nodeName, data, group, log)
    if var known = credential?.kubeconfig, let server = join.server, server != known.server {
      known.server = server
      credential = NodeCredential(known)
    }
    if credential == nil {
      guard let token else {
        throw StartFailure("this machine has joined no cluster yet. Give --server URL and --token TOKEN (on the server: swiftlet token create).")
      }
      // Who comes back is who it was.
      let name = nodeName ?? stored?.nodeName ?? Machine.hostname
      let joined = try await joined(join, token, server: join.server ?? stored?.kubeconfig.server, name, group, log)
      try files.keep(joined)
      credential = joined
    }
    guard let credential else { throw StartFailure("the credential in \(files.path) cannot be used") }
    let refusals = Refusals()
    let transport = try RotatingTransport(credential.kubeconfig, userAgent: userAgent, group: group) { refusals.tell?($0) }
    return Membership(credential, transport, files, join, group, log, refusals)
  }

  /// The stored credential where it is still good; nil where a token is to get another.
  private static func usable(
    _ stored: NodeCredential?, _ token: JoinToken?, _ nodeName: String?, _ data: FilePath, _ group: MultiThreadedEventLoopGroup, _ log: Logger
  ) async throws -> NodeCredential? {
    guard let stored else { return nil }
    if let nodeName, nodeName != stored.nodeName {
      throw StartFailure(
        "this machine has joined \(stored.kubeconfig.server) as \(stored.nodeName), not as \(nodeName). "
          + "Leave --node-name out, or leave that cluster first: swiftlet node reset --data-dir \(data)")
    }
    var problem: String?
    if stored.isOver(.now) {
      problem = "the certificate of node \(stored.nodeName) ended on \(Self.text(stored.notAfter))"
    } else if let refusal = try await refusal(of: stored, group) {
      problem = "the cluster no longer takes the certificate of node \(stored.nodeName): \(refusal)"
    }
    guard let problem else { return stored }
    guard token != nil else {
      throw StartFailure("\(problem). To join again, start with --server \(stored.kubeconfig.server) and a new --token (on the server: swiftlet token create).")
    }
    log.warning("\(problem); joining again with the token")
    return nil
  }

  /// The server's message where it refuses the credential; nil where it takes it, or does not answer.
  private static func refusal(of credential: NodeCredential, _ group: MultiThreadedEventLoopGroup) async throws -> String? {
    let transport = try HTTPTransport(credential.kubeconfig, userAgent: userAgent, group: group)
    let request = APIRequest(
      "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body: ["apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"])
    let answer = try? await transport.send(request)
    await transport.shutdown()
    guard let answer, answer.status == 401 else { return nil }
    return APIStatusError(answer).message
  }

  private static func joined(
    _ join: JoinOptions, _ token: JoinToken, server: String?, _ nodeName: String, _ group: MultiThreadedEventLoopGroup, _ log: Logger
  ) async throws -> NodeCredential {
    guard let server else { throw StartFailure("--token needs --server, the URL of the cluster's API server") }
    do {
      let credential = try await Joining(server: server, token: token, userAgent: userAgent, group: group, log: log).join(as: nodeName)
      log.info("joined \(server) as node \(nodeName); the certificate is good until \(text(credential.notAfter))")
      return credential
    } catch let error as StartFailure {
      throw error
    } catch {
      throw StartFailure("\(server) was not joined: \(error)")
    }
  }

  // MARK: - Staying

  var credential: NodeCredential { state.withLock { $0.credential } }

  /// Renews the client certificate until the task is cancelled; connections use the new one at once.
  func keepClient() async {
    var failures = 0
    while !Task.isCancelled {
      let (credential, renewal) = state.withLock { ($0.credential, $0.renewal) }
      let now = Date.now
      guard renewal.isDue(now) else {
        try? await Task.sleep(for: .seconds(min(renewal.due.timeIntervalSince(now), Self.lookSeconds)))
        continue
      }
      do {
        let next = renewal.isOver(now) ? try await rejoined(credential) : try await renewed(credential)
        try files.keep(next)
        try transport.replace(next.kubeconfig)
        state.withLock { ($0.credential, $0.renewal, $0.toldRefusal) = (next, next.renewal, nil) }
        failures = 0
        log.info("the certificate of node \(next.nodeName) was renewed; it is good until \(Self.text(next.notAfter))")
      } catch {
        if Task.isCancelled { return }
        failures += 1
        let pause = renewal.pause(failures: failures, now: .now)
        log.warning("the certificate of node \(credential.nodeName) ends on \(Self.text(credential.notAfter)) and was not renewed: \(error)")
        try? await Task.sleep(for: .seconds(pause))
      }
    }
  }

  private func renewed(_ credential: NodeCredential) async throws -> NodeCredential {
    let asker = CertificateAsker(client: KubernetesClient(transport: transport), nodeName: credential.nodeName, log: log)
    let left = max(1, credential.notAfter.timeIntervalSince(.now))
    return try credential.renewed(try await asker.ask(.client, within: min(Self.signatureSeconds, left)))
  }

  private func rejoined(_ credential: NodeCredential) async throws -> NodeCredential {
    guard let token = try join.joinToken() else {
      throw StartFailure("it is over; start the agent with --server \(credential.kubeconfig.server) and a new --token")
    }
    return try await Self.joined(join, token, server: credential.kubeconfig.server, credential.nodeName, group, log)
  }

  private func refused(_ message: String) {
    let name = state.withLock { state -> String? in
      if let told = state.toldRefusal, Date.now.timeIntervalSince(told) < Self.refusalSeconds { return nil }
      state.toldRefusal = .now
      return state.credential.nodeName
    }
    guard let name else { return }
    let remedy = "To join again, start the agent with --token (on the server: swiftlet token create); to leave for good: swiftlet node reset"
    log.error("the cluster no longer takes the certificate of node \(name): \(message). Pods go on running as they are. \(remedy)")
  }

  // MARK: - The node's own endpoint

  /// A certificate for the node's endpoint, from the cluster where it signs one: the stored one, or a new one.
  func serving(_ address: String, _ fallback: () throws -> Credential) async throws -> Credential {
    if let stored = files.serving(nodeName: credential.nodeName, address: address) { return stored }
    do {
      let asker = CertificateAsker(client: KubernetesClient(transport: transport), nodeName: credential.nodeName, log: log)
      return try files.keep(serving: try await asker.ask(.serving(addresses: Self.bytes(address)), within: CertificateAsker.patience))
    } catch let error as IdentityError {
      throw error
    } catch {
      log.warning("the node's endpoint has a certificate of its own for now, so logs and exec may be refused: \(error)")
      return try fallback()
    }
  }

  /// Renews the certificate of the node's endpoint until the task is cancelled.
  func keepServing(_ first: Credential, _ address: String, _ changed: (Credential) -> Void) async {
    var current = first
    var renewal = files.renewal(of: current)
    var failures = 0
    while !Task.isCancelled {
      let now = Date.now
      if let renewal, !renewal.isDue(now) {
        try? await Task.sleep(for: .seconds(min(renewal.due.timeIntervalSince(now), Self.lookSeconds)))
        continue
      }
      do {
        let asker = CertificateAsker(client: KubernetesClient(transport: transport), nodeName: credential.nodeName, log: log)
        current = try files.keep(serving: try await asker.ask(.serving(addresses: Self.bytes(address))))
        renewal = files.renewal(of: current)
        failures = 0
        changed(current)
        log.info("the certificate of the node's endpoint was renewed")
      } catch {
        if Task.isCancelled { return }
        failures += 1
        log.warning("the certificate of the node's endpoint was not renewed: \(error)")
        let longest = Renewal(from: now, to: now.addingTimeInterval(3600))
        try? await Task.sleep(for: .seconds((renewal ?? longest).pause(failures: failures, now: .now)))
      }
    }
  }

  private static func bytes(_ address: String) -> [[UInt8]] { [Machine.addressBytes(address)].compactMap { $0 } }

  static func text(_ date: Date) -> String { "\(date)" }
}
