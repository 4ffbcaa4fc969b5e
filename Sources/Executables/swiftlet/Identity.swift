import APIServer
import KubernetesClient
import SystemPackage

/// The keys and certificates of an all-in-one node, made from the cluster's own authority.
struct Identity {
  let authority: CertificateAuthority
  /// Signs nothing but the certificates of programs that say in headers whom they act for.
  let frontProxyAuthority: CertificateAuthority
  /// The API server's certificate.
  let server: Credential
  /// What the API server shows to kubelets.
  let kubeletClient: Credential

  init(data: FilePath, names: [String], addresses: [String]) throws {
    let directory = data.appending("pki")
    try makeDirectory(directory.string, mode: 0o700)
    authority = try CertificateAuthority(directory: directory)
    frontProxyAuthority = try CertificateAuthority(directory: directory, name: "front-proxy-ca")
    server = try authority.server(
      commonName: "kube-apiserver", names: names, addresses: addresses.compactMap { Machine.addressBytes($0) })
    kubeletClient = try authority.client(user: "kube-apiserver-kubelet-client", groups: ["system:masters"])
  }

  /// The certificate of a node's own HTTPS endpoint.
  func node(_ name: String, address: String) throws -> Credential {
    try authority.server(
      commonName: "system:node:\(name)", organization: "system:nodes", names: [name, "localhost"],
      addresses: [address, "127.0.0.1"].compactMap { Machine.addressBytes($0) })
  }

  /// Writes the administrator's kubeconfig, readable by root alone.
  func writeKubeconfig(_ path: String, server: String) throws {
    let admin = try authority.client(user: "kubernetes-admin", groups: ["system:masters"])
    var kubeconfig = Kubeconfig(server: server)
    kubeconfig.certificateAuthority = Array(authority.certificatePEM.utf8)
    kubeconfig.clientCertificate = Array(admin.certificatePEM.utf8)
    kubeconfig.clientKey = Array(admin.keyPEM.utf8)
    do {
      if let slash = path.lastIndex(of: "/") { try makeDirectory(String(path[..<slash])) }
      try PrivateFile.write(Array(kubeconfig.text(name: "swiftlet", user: "swiftlet-admin").utf8), to: path, mode: 0o600)
    } catch {
      let text = "\(error)"
      throw StartFailure("the administrator's kubeconfig: \(text)\(text.hasSuffix(".") ? "" : ".") Choose another file with --kubeconfig.")
    }
  }
}
