import FoundationEssentials
import KubernetesClient
import Logging
import NIOCore

/// Becomes a node of a cluster that is known by nothing but a token.
package struct Joining: Sendable {
  /// Milliseconds to wait for the signature of a token that was made a moment ago.
  static let signaturePauses = [100, 200, 400, 800, 1600]
  /// Seconds between attempts to reach the server: the first pause, and the longest.
  static let reachSeconds = 1...15

  package enum Failure: Error, CustomStringConvertible {
    case tokenRefused(id: String, message: String)
    case refused(String)

    package var description: String {
      switch self {
      case .tokenRefused(let id, let message):
        "the server takes the token \(id) no longer (\(message)): it has expired or was deleted. Make one on the server: swiftlet token create"
      case .refused(let message): "the server does not let this machine join: \(message)"
      }
    }
  }

  let server: String
  let token: JoinToken
  let userAgent: String
  let group: any EventLoopGroup
  let log: Logger

  /// - Parameter server: such as `https://10.0.0.1:6443`.
  package init(server: String, token: JoinToken, userAgent: String, group: any EventLoopGroup, log: Logger) {
    self.server = server
    self.token = token
    self.userAgent = userAgent
    self.group = group
    self.log = log
  }

  /// The node's credential. Waits for a server that does not answer yet, and for a person where one has to approve.
  package func join(as nodeName: String) async throws -> NodeCredential {
    let authority = try await patiently { try await discover().authorityPEM }
    var config = Kubeconfig(server: server)
    config.certificateAuthority = authority
    config.token = token.bearer
    let trusted = config
    let key = try await patiently {
      try await with(trusted) { client in
        try await CertificateAsker(client: client, nodeName: nodeName, log: log).ask(.client)
      }
    }
    config.token = nil
    config.clientCertificate = Array(key.certificatePEM.utf8)
    config.clientKey = Array(key.keyPEM.utf8)
    guard let credential = NodeCredential(config) else { throw Failure.refused("it signed a certificate that is no node's") }
    return credential
  }

  /// What the server says about its cluster, once it is proven. The token is not sent before.
  private func discover() async throws -> ClusterInfo {
    var config = Kubeconfig(server: server)
    // What comes back is believed for its signature and its pin, not for who sent it.
    config.skipsTLSVerify = true
    return try await with(config) { client in
      for pause in Self.signaturePauses {
        let object = try await client.get(.configMaps("kube-public"), name: ClusterInfo.name)
        do {
          return try ClusterInfo(object, token: token)
        } catch ClusterInfo.Distrust.unsigned {
          try await Task.sleep(for: .milliseconds(pause))
        }
      }
      throw ClusterInfo.Distrust.unsigned(tokenID: token.id)
    }
  }

  private func with<Result: Sendable>(
    _ config: Kubeconfig, _ body: @Sendable (KubernetesClient) async throws -> Result
  ) async throws -> Result {
    let transport = try HTTPTransport(config, userAgent: userAgent, group: group)
    do {
      let result = try await body(KubernetesClient(transport: transport))
      await transport.shutdown()
      return result
    } catch {
      await transport.shutdown()
      throw error
    }
  }

  /// Tries again while the server is not there; what it says is final.
  private func patiently<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
    var pause = Self.reachSeconds.lowerBound
    while true {
      do {
        return try await body()
      } catch let error as ClusterInfo.Distrust {
        throw error
      } catch let error as CertificateAsker.Refusal {
        throw error
      } catch let error as CancellationError {
        throw error
      } catch let error as APIStatusError where error.code == 401 {
        throw Failure.tokenRefused(id: token.id, message: error.message)
      } catch let error as APIStatusError where (400..<500).contains(error.code) && error.code != 429 && !error.isNotFound {
        throw Failure.refused(error.message)
      } catch {
        log.warning("\(server) cannot be joined yet, tries again in \(pause) s: \(error)")
        try await Task.sleep(for: .seconds(pause))
        pause = min(pause * 2, Self.reachSeconds.upperBound)
      }
    }
  }
}
