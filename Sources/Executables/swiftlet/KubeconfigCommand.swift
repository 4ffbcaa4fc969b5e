import APIServer
import ArgumentParser
import FoundationEssentials
import KubernetesClient
import SystemPackage
import X509

/// `swiftlet kubeconfig`: access to the cluster whose data lie here, for a node or a user.
struct KubeconfigCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kubeconfig",
    abstract: "Prints a kubeconfig for a node that is to join, or for a user, signed by this cluster's authority.",
    discussion: "Run it where the control plane's data are. The text holds a private key: hand it over as you would a password.")

  @Option(name: .customLong("data-dir"), help: "The --data-dir of the control plane.") var dataDirectory = "/var/lib/swiftlet"
  @Option(help: "The node's name: it becomes user system:node:<name> of group system:nodes.") var node: String?
  @Option(name: .customLong("node-ip"), help: "The address at which the control plane reaches the node, for logs and exec.")
  var nodeIP: String?
  @Option(help: "The user's name, where it is for no node.") var user: String?
  @Option(help: "A group of the user; may be repeated.") var group: [String] = []
  @Option(help: "How the API server is reached; by default as the administrator's kubeconfig says.") var server: String?

  func validate() throws {
    guard (node == nil) != (user == nil) else { throw ValidationError("name either --node NAME or --user NAME") }
    guard node == nil || group.isEmpty else { throw ValidationError("--group is for --user; a node is of group system:nodes") }
    if let nodeIP, Machine.addressBytes(nodeIP) == nil { throw ValidationError("--node-ip \(nodeIP) is no IP address") }
  }

  func run() async throws {
    try await Role.exitingCleanly {
      let data = FilePath(CurrentDirectory.absolute(dataDirectory))
      let directory = data.appending("pki")
      guard access(data.string, X_OK) == 0 || errno != EACCES, access(directory.string, R_OK) == 0 || errno != EACCES else {
        throw StartFailure("only root may read the keys in \(directory). Run this with sudo.")
      }
      guard FileManager.default.fileExists(atPath: directory.appending("ca.key").string) else {
        throw StartFailure(
          "there is no cluster's authority in \(directory). Run this on the machine of the control plane, with its --data-dir.")
      }
      guard let server = server ?? InstanceRecord(data: data).values["server"] else {
        throw StartFailure("the API server has not been started yet: start it, or say with --server URL how it is reached")
      }
      let authority = try CertificateAuthority(directory: directory)
      let credential: Credential
      if let node {
        let addresses = [nodeIP, "127.0.0.1"].compactMap { $0.flatMap { Machine.addressBytes($0) } }
        credential = try authority.server(
          commonName: "system:node:\(node)", organization: "system:nodes", names: [node, "localhost"], addresses: addresses)
      } else {
        credential = try authority.client(user: user ?? "", groups: group)
      }
      var kubeconfig = Kubeconfig(server: server)
      kubeconfig.certificateAuthority = Array(authority.certificatePEM.utf8)
      kubeconfig.clientCertificate = Array(credential.certificatePEM.utf8)
      kubeconfig.clientKey = Array(credential.keyPEM.utf8)
      print(kubeconfig.text(name: "swiftlet", user: node.map { "system:node:\($0)" } ?? user ?? ""), terminator: "")
    }
  }
}

/// What the certificate in a node's kubeconfig says about the node.
struct NodeCertificate {
  let nodeName: String
  /// For the node's own endpoint too: the control plane that signed it will trust the node there.
  let serving: Credential?

  /// Nil where the kubeconfig is nobody's that is called `system:node:<name>`.
  init?(_ config: Kubeconfig) {
    guard let pem = config.clientCertificate, let key = config.clientKey,
      let certificate = try? Certificate(pemEncoded: String(decoding: pem, as: UTF8.self)),
      let name = Self.commonName(certificate), name.hasPrefix("system:node:")
    else { return nil }
    nodeName = String(name.dropFirst("system:node:".count))
    let usages = (try? certificate.extensions.extendedKeyUsage).map { Array($0) } ?? []
    serving =
      usages.contains(.serverAuth)
      ? Credential(certificatePEM: String(decoding: pem, as: UTF8.self), keyPEM: String(decoding: key, as: UTF8.self)) : nil
  }

  private static func commonName(_ certificate: Certificate) -> String? {
    for relative in certificate.subject {
      for attribute in relative where attribute.type == .RDNAttributeType.commonName { return String(describing: attribute.value) }
    }
    return nil
  }
}

#if canImport(Glibc)
  import Glibc
#endif
