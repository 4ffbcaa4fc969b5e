import AsyncHTTPClient
import FoundationEssentials
import JSONCodec
import KubernetesAPI
import NIOCore
import NIOPosix
import NIOSSL
import PodLifecycle

/// What a probe found.
package struct ProbeOutcome: Sendable, Equatable, Error {
  package let result: ProbeResult
  package let message: String
  /// A success that somebody should look at.
  package let isWarning: Bool
  package init(_ result: ProbeResult, _ message: String = "", isWarning: Bool = false) {
    self.result = result
    self.message = message
    self.isWarning = isWarning
  }
}

/// An HTTP client fit for probes: certificates are not verified, as a probe only asks whether somebody answers, and redirects
/// are left to it. It closes with its last user.
package final class ProbeClient: Sendable {
  let client: HTTPClient

  package init(group: any EventLoopGroup) {
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.certificateVerification = .none
    configuration.tlsConfiguration = tls
    // A new connection for each probe finds a listener that has gone.
    configuration.connectionPool.idleTimeout = .milliseconds(1)
    configuration.httpVersion = .http1Only
    client = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
  }

  deinit { client.shutdown { _ in } }
}

/// Carries out probes and lifecycle hooks: HTTP, TCP and gRPC from the node to the pod's address, commands by the pod's
/// supervisor. Nothing here is a process of the node's.
package struct Prober: Sendable {
  /// Bytes of output or body that are read; what follows is dropped.
  static let outputBytesMax = 10 << 10
  /// Bytes of them that go into an event.
  static let messageBytesMax = 512
  /// Redirects that a request follows.
  static let redirectsMax = 10

  let runtime: any PodRuntime
  let http: ProbeClient
  let group: any EventLoopGroup
  let clock: KubeletClock
  let version: String

  package init(runtime: any PodRuntime, http: ProbeClient, group: any EventLoopGroup, clock: KubeletClock, version: String) {
    self.runtime = runtime
    self.http = http
    self.group = group
    self.clock = clock
    self.version = version
  }

  package func probe(_ spec: ProbeSpec, container: Container, id: String, pod: Pod, podIP: String) async -> ProbeOutcome {
    let deadline = clock.now().advanced(bySeconds: spec.timeout)
    let handler = spec.handler
    let outcome = await withDeadline(deadline, clock: clock) { () -> ProbeOutcome in
      if !handler["exec"].isNull { return await exec(handler["exec"], id: id, pod: pod) }
      if !handler["httpGet"].isNull { return await httpGet(handler["httpGet"], container, podIP, timeout: spec.timeout) }
      if !handler["tcpSocket"].isNull { return await tcp(handler["tcpSocket"], container, podIP, timeout: spec.timeout) }
      if !handler["grpc"].isNull { return await grpc(handler["grpc"], podIP, timeout: spec.timeout) }
      return ProbeOutcome(.unknown, "missing probe handler for \(container.name)")
    }
    switch outcome {
    case .finished(let outcome): return outcome
    case .timedOut:
      let command = handler["exec"]["command"].array?.compactMap(\.string).joined(separator: " ")
      if let command {
        return ProbeOutcome(.failure, "command timed out: \"\(command)\" timed out after \(goDuration(seconds: spec.timeout))")
      }
      return ProbeOutcome(.failure, "context deadline exceeded")
    }
  }

  /// Runs a postStart or preStop hook; nil where it succeeded, else what went wrong. The caller bounds its time.
  package func runHook(_ hook: JSON, container: Container, id: String, pod: Pod, podIP: String) async -> String? {
    if !hook["exec"].isNull {
      let outcome = await exec(hook["exec"], id: id, pod: pod)
      guard outcome.result != .success else { return nil }
      let command = (hook["exec"]["command"].array ?? []).compactMap(\.string)
      return
        "Exec lifecycle hook (\(command)) for Container \"\(container.name)\" in Pod \"\(pod.name)_\(pod.namespace)(\(pod.uid))\" failed - \(outcome.message)"
    }
    if !hook["httpGet"].isNull {
      // Whatever the answer's status: the hook has been told.
      switch await fetch(hook["httpGet"], container, podIP, timeout: 3600) {
      case .success: return nil
      case .failure(let outcome): return "HTTP lifecycle hook failed - \(outcome.message)"
      }
    }
    if let seconds = hook["sleep"]["seconds"].int {
      try? await clock.sleep(clock.now().advanced(bySeconds: Double(seconds)))
      return nil
    }
    return "invalid handler: a hook wants exec, httpGet or sleep"
  }

  // MARK: - Commands

  private func exec(_ action: JSON, id: String, pod: Pod) async -> ProbeOutcome {
    let argv = (action["command"].array ?? []).compactMap(\.string)
    do {
      let result = try await runtime.run(argv, container: id, in: pod.uid, outputMax: Self.outputBytesMax)
      let text = String(decoding: result.output, as: UTF8.self)
      if result.exitCode == 0 { return ProbeOutcome(.success, text) }
      return ProbeOutcome(.failure, text.isEmpty ? "command terminated with exit code \(result.exitCode)" : text)
    } catch {
      // A command that is not there has failed; the container is not healthy by being unable to say so.
      return ProbeOutcome(.failure, "\(error)")
    }
  }

  // MARK: - Network

  /// A port's number: itself, or that of the container's port with this name.
  static func port(_ json: JSON, of container: Container) -> Int? {
    if let number = json.int { return (1...65535).contains(number) ? number : nil }
    guard let name = json.string else { return nil }
    if let number = Int(name) { return (1...65535).contains(number) ? number : nil }
    return container.ports.first { $0["name"].string == name }?["containerPort"].int
  }

  private func httpGet(_ action: JSON, _ container: Container, _ podIP: String, timeout: Double) async -> ProbeOutcome {
    switch await fetch(action, container, podIP, timeout: timeout) {
    case .failure(let outcome): return outcome
    case .success(let response):
      let code = response.status.code
      guard (200..<400).contains(code) else { return ProbeOutcome(.failure, "HTTP probe failed with statuscode: \(code)") }
      guard code >= 300 else { return ProbeOutcome(.success) }
      let body = try? await response.body.collect(upTo: Self.outputBytesMax)
      let text = body.map { String(decoding: $0.readableBytesView.prefix(Self.messageBytesMax), as: UTF8.self) } ?? ""
      return ProbeOutcome(.success, "Probe terminated redirects, Response body: \(text)", isWarning: true)
    }
  }

  /// The answer to an `httpGet` action. A redirect is followed on the same host only: elsewhere another's health would be told.
  private func fetch(
    _ action: JSON, _ container: Container, _ podIP: String, timeout: Double
  ) async -> Result<HTTPClientResponse, ProbeOutcome> {
    guard let port = Self.port(action["port"], of: container) else {
      return .failure(ProbeOutcome(.unknown, "couldn't find port: \(action["port"].text()) for container \(container.name)"))
    }
    let scheme = action["scheme"].string == "HTTPS" ? "https" : "http"
    let host = action["host"].string.flatMap { $0.isEmpty ? nil : $0 } ?? podIP
    let path = action["path"].string ?? "/"
    var url = "\(scheme)://\(bracketed(host)):\(port)\(path.hasPrefix("/") ? path : "/\(path)")"
    let deadline = NIODeadline.now() + .milliseconds(Int64(timeout * 1000))
    do {
      for _ in 0...Self.redirectsMax {
        let response = try await http.client.execute(request(url, action), deadline: deadline)
        guard let next = Self.redirect(response, from: url, host: host) else { return .success(response) }
        url = next
      }
      return .failure(ProbeOutcome(.failure, "Get \"\(url)\": stopped after \(Self.redirectsMax) redirects"))
    } catch let error as HTTPClientError where error == .deadlineExceeded || error == .connectTimeout || error == .readTimeout {
      return .failure(ProbeOutcome(.failure, "Get \"\(url)\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))
    } catch {
      return .failure(ProbeOutcome(.failure, "Get \"\(url)\": \(Self.connectionText(error, host, port))"))
    }
  }

  private func request(_ url: String, _ action: JSON) -> HTTPClientRequest {
    var request = HTTPClientRequest(url: url)
    request.headers.add(name: "User-Agent", value: "kube-probe/\(version)")
    request.headers.add(name: "Accept", value: "*/*")
    for header in action["httpHeaders"].array ?? [] {
      guard let name = header["name"].string, let value = header["value"].string else { continue }
      if ["host", "user-agent", "accept"].contains(name.lowercased()) {
        request.headers.replaceOrAdd(name: name, value: value)
      } else {
        request.headers.add(name: name, value: value)
      }
    }
    return request
  }

  /// Where an answer sends its reader, if that is on the same host.
  private static func redirect(_ response: HTTPClientResponse, from url: String, host: String) -> String? {
    guard [301, 302, 303, 307, 308].contains(response.status.code), let location = response.headers.first(name: "Location"),
      let next = URL(string: location, relativeTo: URL(string: url)), ["http", "https"].contains(next.scheme?.lowercased() ?? "")
    else { return nil }
    let target = next.host(percentEncoded: false).map { $0.hasPrefix("[") ? String($0.dropFirst().dropLast()) : $0 }
    return target == host ? next.absoluteString : nil
  }

  private func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

  private func tcp(_ action: JSON, _ container: Container, _ podIP: String, timeout: Double) async -> ProbeOutcome {
    guard let port = Self.port(action["port"], of: container) else {
      return ProbeOutcome(.unknown, "couldn't find port: \(action["port"].text()) for container \(container.name)")
    }
    let host = action["host"].string.flatMap { $0.isEmpty ? nil : $0 } ?? podIP
    do {
      let channel = try await ClientBootstrap(group: group).connectTimeout(.milliseconds(Int64(timeout * 1000)))
        .connect(host: host, port: port).get()
      try? await channel.close()
      return ProbeOutcome(.success)
    } catch {
      return ProbeOutcome(.failure, Self.connectionText(error, host, port))
    }
  }

  private func grpc(_ action: JSON, _ podIP: String, timeout: Double) async -> ProbeOutcome {
    guard let port = action["port"].int else { return ProbeOutcome(.unknown, "a grpc probe wants a port") }
    let service = action["service"].string ?? ""
    do {
      let status = try await HealthCheck.ask(host: podIP, port: port, service: service, timeout: timeout, group: group)
      if status == .serving { return ProbeOutcome(.success) }
      return ProbeOutcome(.failure, "service unhealthy (responded with \"\(status.title)\")")
    } catch {
      return ProbeOutcome(.failure, "error: \(Self.connectionText(error, podIP, port))")
    }
  }

  /// Go's words for what a connection came to.
  static func connectionText(_ error: any Error, _ host: String, _ port: Int) -> String {
    var text = "\(error)"
    if let error = error as? NIOConnectionError {
      text = error.connectionErrors.first.map { "\($0.error)" } ?? (error.dnsAError ?? error.dnsAAAAError).map { "\($0)" } ?? text
    } else if let error = error as? IOError {
      text = "\(error)"
    }
    if text.contains("errno: 111") || text.contains("Connection refused") {
      return "dial tcp \(host):\(port): connect: connection refused"
    }
    if text.contains("connectTimeout") { return "dial tcp \(host):\(port): i/o timeout" }
    return text
  }
}
