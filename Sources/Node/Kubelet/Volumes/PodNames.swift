import KubernetesAPI

/// What a pod calls itself.
///
/// Source: core/v1 PodSpec, hostname, subdomain and setHostnameAsFQDN.
struct PodNames: Equatable {
  static let hostnameMax = 63
  static let fqdnMax = 64

  /// The host name inside the pod.
  let hostname: String
  /// `<hostname>.<subdomain>.<namespace>.svc.<cluster domain>`; empty without a subdomain.
  let fqdn: String

  init(_ pod: Pod, clusterDomain: String) throws(ContainerConfigError) {
    let spec = pod.spec
    if let override = spec.json["hostnameOverride"].string, !override.isEmpty {
      hostname = override
      fqdn = ""
      return
    }
    var short = spec.hostname
    if short.isEmpty {
      short = String(decoding: pod.name.utf8.prefix(Self.hostnameMax), as: UTF8.self)
      while short.hasSuffix("-") || short.hasSuffix(".") { short.removeLast() }
    }
    fqdn = spec.subdomain.isEmpty ? "" : "\(short).\(spec.subdomain).\(pod.namespace).svc.\(clusterDomain)"
    guard spec.json["setHostnameAsFQDN"].bool ?? false, !fqdn.isEmpty else {
      hostname = short
      return
    }
    guard fqdn.utf8.count <= Self.fqdnMax else {
      throw ContainerConfigError(
        "failed to construct FQDN from pod hostname and cluster domain, FQDN \(fqdn) is too long "
          + "(\(Self.fqdnMax) characters is the max, \(fqdn.utf8.count) characters requested)")
    }
    hostname = fqdn
  }
}
