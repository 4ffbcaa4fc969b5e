import JSONCodec
import SystemPackage

/// Everything that makes one kubelet different from another: several run on one machine, so nothing here is a constant.
package struct KubeletConfiguration: Sendable {
  /// The name of the Node object.
  package var nodeName: String
  /// The address that other machines reach this one at; the first of `addresses` is `hostIP`.
  package var addresses: [String]
  /// Goes into every event and the node's `nodeInfo.kubeletVersion`.
  package var version: String
  /// Where pods' own files are: `<dataDirectory>/pods/<uid>/...`.
  package var dataDirectory: FilePath
  /// `/var/log/pods`.
  package var logDirectory: FilePath
  /// Manifests of pods that run without an API server; nil: none.
  package var staticPodDirectory: FilePath?
  /// The port of the kubelet's own HTTPS server.
  package var port: Int
  /// The cluster's DNS servers and domain, for pods with dnsPolicy ClusterFirst.
  package var clusterDNS: [String]
  package var clusterDomain: String
  package var maxPods: Int
  /// Processes that all containers of a pod may have together; nil: as many as the node takes.
  package var podPidsLimit: Int64?
  package var nodeLabels: [String: String]
  /// Taints a new node starts with, as in `spec.taints`.
  package var taints: [JSON]
  /// Controllers of cgroup v2 that this machine lacks, of memory, cpu and pids: limits of them are not enforced.
  package var missingControllers: [String]
  /// Address range for pods until the Node object names one.
  package var defaultPodCIDR: String
  /// Sysctls beyond the safe ones that pods may set.
  package var allowedUnsafeSysctls: [String]

  /// A cloud-controller-manager outside initializes the Node: it removes the taint that the node starts with, and says its provider ID
  /// and its addresses.
  package var cloud: ExternalCloud?

  package struct ExternalCloud: Sendable {
    /// The address that the node was told to use, which the cloud has to confirm; nil: the cloud alone knows one.
    package var nodeIP: String?
    package init(nodeIP: String?) { self.nodeIP = nodeIP }
  }

  package init(
    nodeName: String, addresses: [String], version: String, dataDirectory: FilePath, logDirectory: FilePath = "/var/log/pods",
    staticPodDirectory: FilePath? = nil, port: Int = 10250, clusterDNS: [String] = [], clusterDomain: String = "cluster.local",
    maxPods: Int = 110, podPidsLimit: Int64? = nil, nodeLabels: [String: String] = [:], taints: [JSON] = [],
    missingControllers: [String] = [],
    defaultPodCIDR: String = "10.244.0.0/24", allowedUnsafeSysctls: [String] = []
  ) {
    self.nodeName = nodeName
    self.addresses = addresses
    self.version = version
    self.dataDirectory = dataDirectory
    self.logDirectory = logDirectory
    self.staticPodDirectory = staticPodDirectory
    self.port = port
    self.clusterDNS = clusterDNS
    self.clusterDomain = clusterDomain
    self.maxPods = maxPods
    self.podPidsLimit = podPidsLimit
    self.nodeLabels = nodeLabels
    self.taints = taints
    self.missingControllers = missingControllers
    self.defaultPodCIDR = defaultPodCIDR
    self.allowedUnsafeSysctls = allowedUnsafeSysctls
  }
}
