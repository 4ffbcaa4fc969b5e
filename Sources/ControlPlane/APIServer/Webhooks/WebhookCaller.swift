import APIMachinery
import AsyncHTTPClient
import JSONCodec
import NIOCore
import NIOHTTP1

/// Calls programs that people have registered with the server: admission and conversion webhooks.
struct WebhookCaller: Sendable {
  /// Bytes of an answer.
  static let answerBytesMax = 16 << 20

  let backends: BackendClients

  /// Why there is no answer, in upstream's words.
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// Posts a review to what a `clientConfig` names and returns the answer.
  func post(_ review: JSON, to config: JSON, timeoutSeconds: Int, _ resources: Resources) async throws -> JSON {
    let target = try await target(config, resources)
    let url = target.url + (target.url.contains("?") ? "&" : "?") + "timeout=\(timeoutSeconds)s"
    let client = try backends.client(name: target.name, address: target.address, trust: target.trust)
    var request = HTTPClientRequest(url: url)
    request.method = .POST
    request.headers = ["Content-Type": "application/json", "Accept": "application/json, */*", "User-Agent": "kube-apiserver-admission"]
    request.body = .bytes(ByteBuffer(bytes: review.serialized()))
    // The name that people wrote, not the address that was found for it.
    let shown = target.shown + "?timeout=\(timeoutSeconds)s"
    do {
      let answer = try await client.execute(request, timeout: .seconds(Int64(timeoutSeconds)))
      let body = Array((try await answer.body.collect(upTo: Self.answerBytesMax)).readableBytesView)
      guard (200..<300).contains(answer.status.code) else {
        throw Failure(
          description:
            "an error on the server (\"\(String(decoding: body.prefix(512), as: UTF8.self))\") has prevented the request from succeeding")
      }
      return try JSON.parse(body)
    } catch let error as HTTPClientError
      where [.deadlineExceeded, .connectTimeout, .readTimeout, .getConnectionFromPoolTimeout].contains(error)
    {
      throw Failure(description: "failed to call webhook: Post \"\(shown)\": context deadline exceeded")
    } catch let error as Failure {
      throw Failure(description: "failed to call webhook: \(error)")
    } catch {
      throw Failure(description: "failed to call webhook: Post \"\(shown)\": \(error)")
    }
  }

  private struct Target {
    var url, shown, name, address: String
    var trust: BackendClients.Trust
  }

  private func target(_ config: JSON, _ resources: Resources) async throws -> Target {
    let bundle = config["caBundle"].string.flatMap(Base64.decode)
    let trust: BackendClients.Trust = bundle.map { $0.isEmpty ? .system : .authorities($0) } ?? .system
    if let url = config["url"].string {
      let host = url.drop { $0 != "/" }.drop { $0 == "/" }.prefix { $0 != "/" && $0 != ":" }
      return Target(url: url, shown: url, name: String(host), address: String(host), trust: trust)
    }
    let service = config["service"]
    let (namespace, name, port) = (service["namespace"].string ?? "", service["name"].string ?? "", service["port"].int ?? 443)
    let path = service["path"].string ?? "/"
    let backend: Backend
    do {
      backend = try await ServiceBackends(resources: resources).resolve(namespace: namespace, name: name, port: String(port))
    } catch let failure as APIFailure {
      throw Failure(description: "failed to call webhook: Post \"https://\(name).\(namespace).svc:\(port)\(path)\": \(failure.message)")
    }
    let host = "\(name).\(namespace).svc"
    return Target(
      url: "https://\(host):\(backend.port)\(path)", shown: "https://\(host):\(port)\(path)", name: host, address: backend.host,
      trust: trust)
  }
}
