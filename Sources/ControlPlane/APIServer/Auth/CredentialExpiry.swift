import APIMachinery
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging

/// Removes what is of no more use: certificate requests that were decided, or that nobody decided, and bootstrap tokens
/// after their time.
struct CredentialExpiry: Sendable {
  /// Seconds between two rounds.
  static let interval = 600
  /// Seconds that requests stay, as upstream's cleaner keeps them.
  static let decidedSeconds = 3_600.0
  static let pendingSeconds = 86_400.0
  /// Pods' requests are read by the kubelet at once, or never.
  static let podRequestSeconds = 900.0

  private static let podRequests = ResourcePath(group: "certificates.k8s.io", version: "v1beta1", "podcertificaterequests")

  let client: KubernetesClient
  let log: Logger

  func run() async {
    while !Task.isCancelled {
      do {
        try await removeRequests(now: .now)
        try await removeTokens(now: .now)
      } catch {
        if !Task.isCancelled { log.warning("old certificate requests and bootstrap tokens stay: \(error)") }
      }
      try? await Task.sleep(for: .seconds(Self.interval))
    }
  }

  private func removeRequests(now: Timestamp) async throws {
    for request in try await client.list(CertificateController.path).items where Self.isOver(request, now: now) {
      try await remove(CertificateController.path, request)
    }
    for request in try await client.list(Self.podRequests).items {
      guard let created = request["metadata"]["creationTimestamp"].timestamp, now.seconds(since: created) > Self.podRequestSeconds,
        let namespace = request["metadata"]["namespace"].string
      else { continue }
      try await remove(
        ResourcePath(group: "certificates.k8s.io", version: "v1beta1", "podcertificaterequests", namespace: namespace), request)
    }
  }

  /// Decided more than an hour ago, or waiting for more than a day.
  static func isOver(_ request: JSON, now: Timestamp) -> Bool {
    let created = request["metadata"]["creationTimestamp"].timestamp ?? now
    let conditions = request["status"]["conditions"].array ?? []
    guard !conditions.isEmpty else { return now.seconds(since: created) > pendingSeconds }
    // An approved request without a certificate still waits for its signer.
    let isWaiting = conditions.allSatisfy { $0["type"].string == "Approved" } && request["status"]["certificate"].isEmpty
    guard !isWaiting else { return now.seconds(since: created) > pendingSeconds }
    let last = conditions.compactMap { $0["lastUpdateTime"].timestamp }.max() ?? created
    return now.seconds(since: last) > decidedSeconds
  }

  private func removeTokens(now: Timestamp) async throws {
    let path = ResourcePath.secrets("kube-system")
    for secret in try await client.list(path, fieldSelector: "type=\(BootstrapToken.secretType)").items {
      let text = secret["data"]["expiration"].string.flatMap(Base64.decode).map { String(decoding: $0, as: UTF8.self) }
      guard let text, let end = Timestamp(rfc3339: text), end <= now else { continue }
      try await remove(path, secret)
    }
  }

  private func remove(_ path: ResourcePath, _ object: JSON) async throws {
    do {
      _ = try await client.delete(path, name: object["metadata"]["name"].string ?? "", uid: object["metadata"]["uid"].string)
    } catch let error as APIStatusError where error.isNotFound || error.code == 409 {
      // Gone, or another one by now.
    }
  }
}
