import Foundation
import HTTPServing
import JSONCodec
import KubernetesClient
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import RevisionStore
import SwiftASN1
import SystemPackage
import Testing
import X509

@testable import APIServer

/// The API server over a database of its own, asked as a program on the network would ask.
final class ServerUnderTest: Sendable {
  /// Seconds until something that must happen has happened.
  static let patienceSeconds = 60.0

  let directory: String
  let store: SQLiteRevisionStore
  let authority: CertificateAuthority
  let frontProxyAuthority: CertificateAuthority
  let server: APIServer
  let admin: KubernetesClient
  private let controllers: Task<Void, any Error>

  init(_ adjust: (inout APIServerConfiguration) throws -> Void = { _ in }) async throws {
    directory = NSTemporaryDirectory() + "swl-api-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory + "/pki", withIntermediateDirectories: true)
    let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    store = try SQLiteRevisionStore(path: directory + "/state.db", logger: log)
    authority = try CertificateAuthority(directory: FilePath(directory))
    frontProxyAuthority = try CertificateAuthority(directory: FilePath(directory), name: "front-proxy-ca")
    let connections = try KubeletConnections(
      credential: try authority.client(user: "kube-apiserver", groups: []), authority: authority.certificatePEM,
      group: .singletonMultiThreadedEventLoopGroup)
    var configuration = APIServerConfiguration(
      dataDirectory: FilePath(directory), serviceCIDR: "10.96.0.0/16", podCIDR: "10.244.0.0/16", authorityPEM: authority.certificatePEM)
    configuration.frontProxyAuthorityPEM = frontProxyAuthority.certificatePEM
    configuration.signingAuthority = authority
    try adjust(&configuration)
    server = try APIServer(
      configuration: configuration, store: store, kubelets: connections, group: .singletonMultiThreadedEventLoopGroup, log: log)
    admin = KubernetesClient(transport: server.transport(user: "admin", groups: ["system:masters"]))
    let api = server
    controllers = Task { try await api.runControllers() }
    let client = admin
    do {
      try await eventually("default objects") {
        guard (try? await client.get(.serviceAccounts("default"), name: "default")) != nil else { return false }
        // The last thing that is made at the start.
        return (try? await client.get(.configMaps("kube-system"), name: "extension-apiserver-authentication")) != nil
      }
    } catch {
      await close()
      throw error
    }
  }

  func close() async {
    controllers.cancel()
    _ = try? await controllers.value
    await server.shutdown()
    try? await store.close()
    try? FileManager.default.removeItem(atPath: directory)
  }

  func client(_ user: String, _ groups: [String] = []) -> KubernetesClient {
    KubernetesClient(transport: server.transport(user: user, groups: groups))
  }

  struct Answer {
    let code: Int
    let body: JSON
    let headers: HTTPHeaders
    var message: String { body["message"].string ?? "" }
  }

  func ask(
    _ method: HTTPMethod = .GET, _ uri: String, _ body: JSON? = nil, token: String? = nil, certificate: Credential? = nil,
    headers: HTTPHeaders = [:]
  ) async throws -> Answer {
    var headers = headers
    if let token { headers.add(name: "Authorization", value: "Bearer \(token)") }
    let der = try certificate.map { Array(try PEMDocument(pemString: $0.certificatePEM).derBytes) }
    let bytes = body.map { ByteBuffer(bytes: $0.serialized()) } ?? ByteBuffer()
    let request = try #require(ServedRequest(method: method, uri: uri, headers: headers, body: bytes, peerCertificateDER: der))
    let response = await server.serve(request)
    guard case .bytes(let buffer) = response.body else {
      return Answer(code: Int(response.status.code), body: .null, headers: response.headers)
    }
    let parsed = (try? JSON.parse(Array(buffer.readableBytesView))) ?? .string(String(buffer: buffer))
    return Answer(code: Int(response.status.code), body: parsed, headers: response.headers)
  }

  /// A body as it was written: the status, the message of what failed, the warnings.
  func send(
    _ method: HTTPMethod, _ uri: String, _ type: String, _ text: String, _ certificate: Credential
  ) async throws -> (Int, String, [String]) {
    let der = Array(try PEMDocument(pemString: certificate.certificatePEM).derBytes)
    let request = try #require(
      ServedRequest(method: method, uri: uri, headers: ["Content-Type": type], body: ByteBuffer(string: text), peerCertificateDER: der))
    let response = await server.serve(request)
    guard case .bytes(let buffer) = response.body else { return (Int(response.status.code), "", []) }
    let warnings = response.headers["warning"].map { $0.dropFirst(#"299 - ""#.count).dropLast().replacing(#"\""#, with: "\"") }
    return (
      Int(response.status.code), (try? JSON.parse(Array(buffer.readableBytesView)))?["message"].string ?? "", warnings.map { String($0) }
    )
  }

  /// A token of an account for this server, by TokenRequest.
  func token(_ account: String, _ namespace: String = "default", spec: JSON = .object(JSONObject())) async throws -> String {
    let answer = try await admin.create(.serviceAccounts(namespace), ["spec": spec], name: account, subresource: "token")
    return try #require(answer["status"]["token"].string)
  }

  func grant(_ role: JSON, to subject: JSON, namespace: String = "default") async throws {
    let group = "rbac.authorization.k8s.io"
    let created = try await admin.create(
      ResourcePath(group: group, "roles", namespace: namespace), ["metadata": ["generateName": "r-"], "rules": role])
    _ = try await admin.create(
      ResourcePath(group: group, "rolebindings", namespace: namespace),
      [
        "metadata": ["generateName": "b-"], "subjects": [subject],
        "roleRef": ["apiGroup": .string(group), "kind": "Role", "name": created["metadata"]["name"]],
      ])
  }
}

/// How many servers live at a time: all tests begin at once, and with a server each none would be up in time on a small machine.
actor ServerPlaces {
  static let shared = ServerPlaces()
  private var free = 6
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func take() async {
    if free > 0 {
      free -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  func give() { if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() } }
}

/// Runs a test on a server and closes it.
func withServer(
  _ adjust: (inout APIServerConfiguration) throws -> Void = { _ in }, _ body: (ServerUnderTest) async throws -> Void
) async throws {
  await ServerPlaces.shared.take()
  do {
    try await withPlacedServer(adjust, body)
  } catch {
    await ServerPlaces.shared.give()
    throw error
  }
  await ServerPlaces.shared.give()
}

private func withPlacedServer(
  _ adjust: (inout APIServerConfiguration) throws -> Void, _ body: (ServerUnderTest) async throws -> Void
) async throws {
  let server = try await ServerUnderTest(adjust)
  do {
    try await body(server)
  } catch {
    await server.close()
    throw error
  }
  await server.close()
}

func eventually(_ what: String, _ condition: @Sendable () async throws -> Bool) async throws {
  let end = ContinuousClock.now + .seconds(ServerUnderTest.patienceSeconds)
  while ContinuousClock.now < end {
    if try await condition() { return }
    try await Task.sleep(for: .milliseconds(10))
  }
  throw Expired(what: what)
}

struct Expired: Error { let what: String }
