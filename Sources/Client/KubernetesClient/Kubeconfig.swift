import FoundationEssentials
import Yams

/// The part of a kubeconfig file that says how to reach a cluster and as whom.
package struct Kubeconfig: Sendable {
  /// Such as `https://10.0.0.1:6443`.
  package var server: String
  /// PEM; nil for the system's authorities.
  package var certificateAuthority: [UInt8]?
  package var skipsTLSVerify = false
  package var tlsServerName: String?
  package var clientCertificate: [UInt8]?
  package var clientKey: [UInt8]?
  package var token: String?

  package init(server: String) { self.server = server }
}

/// A kubeconfig that cannot be used: which file, and what is wrong in it.
package struct KubeconfigError: Error, CustomStringConvertible {
  package let file: String
  package let problem: String
  package var description: String { "kubeconfig \(file): \(problem)" }
}

extension Kubeconfig {
  /// Reads the current context of a kubeconfig file.
  package init(file: String) throws {
    func fail(_ problem: String) -> KubeconfigError { KubeconfigError(file: file, problem: problem) }
    guard let data = FileManager.default.contents(atPath: file) else {
      throw fail("cannot be read; name a readable file with --kubeconfig")
    }
    guard let root = try? Yams.load(yaml: String(decoding: data, as: UTF8.self)) as? [String: Any] else {
      throw fail("is not YAML with a map at its top")
    }
    func entry(_ list: String, _ name: String, _ key: String) -> [String: Any]? {
      ((root[list] as? [[String: Any]]) ?? []).first { $0["name"] as? String == name }?[key] as? [String: Any]
    }
    guard let current = root["current-context"] as? String, !current.isEmpty else { throw fail("has no current-context") }
    guard let context = entry("contexts", current, "context") else { throw fail("has no context \"\(current)\"") }
    guard let cluster = (context["cluster"] as? String).flatMap({ entry("clusters", $0, "cluster") }) else {
      throw fail("context \"\(current)\" names a cluster that is not there")
    }
    guard let server = cluster["server"] as? String else { throw fail("the cluster has no server") }
    let user = (context["user"] as? String).flatMap { entry("users", $0, "user") } ?? [:]

    func material(_ map: [String: Any], _ key: String) throws -> [UInt8]? {
      if let inline = map[key + "-data"] as? String {
        guard let decoded = Data(base64Encoded: inline) else { throw fail("\(key)-data is not base64") }
        return Array(decoded)
      }
      guard let path = map[key] as? String else { return nil }
      let absolute = path.hasPrefix("/") ? path : file.directory + path
      guard let contents = FileManager.default.contents(atPath: absolute) else { throw fail("\(key) \(absolute) cannot be read") }
      return Array(contents)
    }

    self.server = server
    certificateAuthority = try material(cluster, "certificate-authority")
    skipsTLSVerify = cluster["insecure-skip-tls-verify"] as? Bool ?? false
    tlsServerName = cluster["tls-server-name"] as? String
    clientCertificate = try material(user, "client-certificate")
    clientKey = try material(user, "client-key")
    token = user["token"] as? String
    if token == nil, let path = user["tokenFile"] as? String {
      guard let contents = FileManager.default.contents(atPath: path) else { throw fail("tokenFile \(path) cannot be read") }
      token = String(decoding: contents, as: UTF8.self).split(whereSeparator: \.isNewline).first.map(String.init)
    }
  }

  /// How a kubeconfig's text says that its first cluster is reached: such as the one in kube-public/cluster-info, which has no context.
  package static func firstCluster(of text: String) throws -> (server: String, authority: [UInt8]) {
    func fail(_ problem: String) -> KubeconfigError { KubeconfigError(file: "in cluster-info", problem: problem) }
    guard let root = try? Yams.load(yaml: text) as? [String: Any],
      let cluster = (root["clusters"] as? [[String: Any]])?.first?["cluster"] as? [String: Any]
    else { throw fail("has no cluster") }
    guard let server = cluster["server"] as? String else { throw fail("names no server") }
    guard let data = (cluster["certificate-authority-data"] as? String).flatMap({ Data(base64Encoded: $0) }), !data.isEmpty else {
      throw fail("has no certificate of an authority")
    }
    return (server, Array(data))
  }

  /// The text of a kubeconfig with one cluster, user and context, all of them inline.
  package func text(name: String, user: String) -> String {
    func base64(_ bytes: [UInt8]?) -> String { Data(bytes ?? []).base64EncodedString() }
    return """
      apiVersion: v1
      kind: Config
      clusters:
      - name: \(name)
        cluster:
          server: \(server)
          certificate-authority-data: \(base64(certificateAuthority))
      users:
      - name: \(user)
        user:
          client-certificate-data: \(base64(clientCertificate))
          client-key-data: \(base64(clientKey))
      contexts:
      - name: \(name)
        context:
          cluster: \(name)
          user: \(user)
      current-context: \(name)

      """
  }
}

extension String {
  /// The folder part with its slash; empty where there is none.
  fileprivate var directory: String { lastIndex(of: "/").map { String(self[...$0]) } ?? "" }
}
