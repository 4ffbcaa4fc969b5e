import JSONCodec
import KubernetesAPI

/// The texts of a pod's /etc/hosts and /etc/resolv.conf. Pure.
///
/// Source: core/v1 PodDNSConfig, HostAlias, dnsPolicy; resolv.conf(5).
enum PodFiles {
  static func hosts(_ pod: Pod, names: PodNames, podIPs: [String], hostFile: String) -> String {
    var text: String
    if pod.spec.hostNetwork {
      text = "# Kubernetes-managed hosts file (host network).\n" + hostFile
    } else {
      text = """
        # Kubernetes-managed hosts file.
        127.0.0.1\tlocalhost
        ::1\tlocalhost ip6-localhost ip6-loopback
        fe00::0\tip6-localnet
        fe00::0\tip6-mcastprefix
        fe00::1\tip6-allnodes
        fe00::2\tip6-allrouters

        """
      let short = String(names.hostname.prefix { $0 != "." })
      for ip in podIPs { text += names.fqdn.isEmpty ? "\(ip)\t\(names.hostname)\n" : "\(ip)\t\(names.fqdn)\t\(short)\n" }
    }
    let aliases = pod.spec.json["hostAliases"].array ?? []
    guard !aliases.isEmpty else { return text }
    if !text.hasSuffix("\n") { text += "\n" }
    text += "\n# Entries added by HostAliases.\n"
    for alias in aliases {
      let hostnames = (alias["hostnames"].array ?? []).compactMap(\.string)
      text += "\(alias["ip"].string ?? "")\t\(hostnames.joined(separator: "\t"))\n"
    }
    return text
  }
}

/// What a resolv.conf says.
struct ResolverConfiguration: Equatable {
  static let nameserversMax = 3
  static let searchesMax = 32
  static let searchCharactersMax = 2_048

  var nameservers: [String] = []
  var searches: [String] = []
  var options: [String] = []
  /// What did not fit; for the event DNSConfigForming.
  var warnings: [String] = []

  init() {}

  init(parsing text: String) {
    for line in text.split(separator: "\n") {
      let fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
      guard let keyword = fields.first, !keyword.hasPrefix("#"), !keyword.hasPrefix(";") else { continue }
      switch keyword {
      case "nameserver": if fields.count > 1 { nameservers.append(fields[1]) }
      case "search", "domain":
        // The last one counts.
        searches = fields.dropFirst().map { $0 != "." && $0.hasSuffix(".") ? String($0.dropLast()) : $0 }.filter { $0 != "." }
      case "options": options = Array(fields.dropFirst())
      default: continue
      }
    }
  }

  /// The configuration of a pod on a node whose own is `host`.
  init(_ pod: Pod, host: ResolverConfiguration, clusterDNS: [String], clusterDomain: String) {
    var policy = pod.spec.dnsPolicy
    if policy == "ClusterFirst", pod.spec.hostNetwork { policy = "Default" }
    if policy == "ClusterFirstWithHostNet" { policy = "ClusterFirst" }
    var missingDNS: [String] = []
    if policy == "ClusterFirst", clusterDNS.isEmpty {
      missingDNS = ["the node has no cluster DNS server; falling back to the node's own with dnsPolicy Default"]
      policy = "Default"
    }
    switch policy {
    case "None": self = ResolverConfiguration()
    case "ClusterFirst":
      self = ResolverConfiguration()
      nameservers = clusterDNS
      let own = clusterDomain.isEmpty ? [] : ["\(pod.namespace).svc.\(clusterDomain)", "svc.\(clusterDomain)", clusterDomain]
      searches = Self.unique(own + host.searches)
      options = Self.merged(["ndots:5"], host.options.filter { !$0.hasPrefix("ndots:") })
    default: self = host
    }
    apply(pod.spec.json["dnsConfig"])
    warnings += missingDNS
    limit()
  }

  private mutating func apply(_ config: JSON) {
    nameservers = Self.unique(nameservers + (config["nameservers"].array ?? []).compactMap(\.string))
    searches = Self.unique(searches + (config["searches"].array ?? []).compactMap(\.string))
    let extra = (config["options"].array ?? []).compactMap { option -> String? in
      guard let name = option["name"].string else { return nil }
      guard let value = option["value"].string, !value.isEmpty else { return name }
      return "\(name):\(value)"
    }
    options = Self.merged(options, extra)
  }

  private mutating func limit() {
    if nameservers.count > Self.nameserversMax {
      nameservers = Array(nameservers.prefix(Self.nameserversMax))
      warnings.append(
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
          + nameservers.joined(separator: " "))
    }
    var kept = Array(searches.prefix(Self.searchesMax))
    while kept.joined(separator: " ").utf8.count > Self.searchCharactersMax { kept.removeLast() }
    if kept.count < searches.count {
      searches = kept
      warnings.append(
        "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
          + kept.joined(separator: " "))
    }
  }

  var text: String {
    var text = ""
    if !searches.isEmpty { text += "search \(searches.joined(separator: " "))\n" }
    for nameserver in nameservers { text += "nameserver \(nameserver)\n" }
    if !options.isEmpty { text += "options \(options.joined(separator: " "))\n" }
    return text
  }

  private static func unique(_ list: [String]) -> [String] {
    var seen: Set<String> = []
    return list.filter { seen.insert($0).inserted }
  }

  /// A later option replaces an earlier one of the same name.
  private static func merged(_ options: [String], _ later: [String]) -> [String] {
    func name(_ option: String) -> Substring { option.prefix { $0 != ":" } }
    var result = options
    for option in later {
      if let index = result.firstIndex(where: { name($0) == name(option) }) { result[index] = option } else { result.append(option) }
    }
    return result
  }
}
