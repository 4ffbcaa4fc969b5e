import APIMachinery
import Crypto
import FoundationEssentials
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging

/// Publishes how to reach this cluster in the ConfigMap kube-public/cluster-info, signed for each bootstrap token, so that a machine
/// that has nothing but a token knows that it hears the truth (kubernetes: "Authenticating with Bootstrap Tokens", ConfigMap Signing).
package struct BootstrapSigner: Sendable {
  static let name = "cluster-info"
  static let signaturePrefix = "jws-kubeconfig-"
  static let retryMilliseconds = 500

  let client: KubernetesClient
  let server: String
  let authorityPEM: String
  let log: Logger

  /// - Parameter server: the URL of the API server.
  package init(client: KubernetesClient, server: String, authorityPEM: String, log: Logger) {
    self.client = client
    self.server = server
    self.authorityPEM = authorityPEM
    self.log = log
  }

  private static let path = ResourcePath.configMaps("kube-public")

  package func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await _ in client.reflect(Self.path, fieldSelector: "metadata.name=\(Self.name)", log: log) { await publish() }
      }
      group.addTask {
        let selector = "type=\(BootstrapToken.secretType)"
        for await _ in client.reflect(.secrets("kube-system"), fieldSelector: selector, log: log) { await publish() }
      }
    }
  }

  private func publish() async {
    // A new cluster's namespaces come a moment later than this.
    while await !hasPublished(), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(Self.retryMilliseconds)) }
  }

  /// False where it has to be tried again.
  private func hasPublished() async -> Bool {
    do {
      let tokens = try await client.list(.secrets("kube-system"), fieldSelector: "type=\(BootstrapToken.secretType)").items
      do {
        let current = try await client.get(Self.path, name: Self.name)
        let wanted = signed(current, tokens, now: .now)
        if wanted != current { try await client.update(Self.path, name: Self.name, wanted) }
      } catch let error as APIStatusError where error.isNotFound {
        let fresh: JSON = ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": .string(Self.name)]]
        try await client.create(Self.path, signed(fresh, tokens, now: .now))
      }
      return true
    } catch let error as APIStatusError where error.isNotFound {
      return false
    } catch let error as APIStatusError where error.code == 409 {
      // Another change came first; it is an event of its own.
      return true
    } catch {
      if !Task.isCancelled { log.warning("\(Self.name) is not signed: \(error)") }
      return true
    }
  }

  /// The ConfigMap with what a machine needs and a signature for each token that signs. What somebody else put for a kubeconfig stays.
  func signed(_ object: JSON, _ tokens: [JSON], now: Timestamp) -> JSON {
    var data = JSONObject((object["data"].object ?? JSONObject()).filter { !$0.0.hasPrefix(Self.signaturePrefix) })
    if data["kubeconfig"] == nil { data["kubeconfig"] = .string(kubeconfig) }
    let content = data["kubeconfig"]?.string ?? ""
    for token in tokens.compactMap({ BootstrapToken.signing($0, now: now) }).sorted(by: { $0.id < $1.id }) {
      data[Self.signaturePrefix + token.id] = .string(Self.signature(of: content, token))
    }
    var result = object
    result["data"] = .object(data)
    return result
  }

  private var kubeconfig: String {
    """
    apiVersion: v1
    clusters:
    - cluster:
        certificate-authority-data: \(Base64.encode(Array(authorityPEM.utf8)))
        server: \(server)
      name: ""
    contexts: null
    current-context: ""
    kind: Config
    preferences: {}
    users: null

    """
  }

  /// A detached JWS (RFC 7515, appendix F): header, nothing, signature.
  static func signature(of content: String, _ token: BootstrapToken) -> String {
    let header: JSON = ["alg": "HS256", "kid": .string(token.id)]
    let head = Base64.encode(header.serialized(), urlSafe: true)
    let signed = head + "." + Base64.encode(Array(content.utf8), urlSafe: true)
    let code = HMAC<SHA256>.authenticationCode(for: Data(signed.utf8), using: SymmetricKey(data: Data(token.secret.utf8)))
    return head + ".." + Base64.encode(Array(code), urlSafe: true)
  }
}
