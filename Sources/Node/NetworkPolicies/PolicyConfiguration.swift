import LinuxKernel
import NFTables

/// How one node enforces NetworkPolicies.
package struct PolicyConfiguration: Sendable {
  package var nodeName: String
  /// The nf_tables tables (families ip and ip6).
  package var tableName: String
  /// The families that pods have addresses of.
  package var families: [Family] = [.ipv4]
  /// Where this node itself answers for the cluster's DNS server: to policies it is a pod of kube-system with the label
  /// `k8s-app=kube-dns`, because that is how they name it.
  package var dnsAddresses: [String] = []
  /// Seconds that the start of a pod waits until its policies hold. Then it fails and is tried again.
  package var patienceSeconds = 10.0
  /// Seconds after which nobody waits for the first list of policies any more: this cluster does not let us read them, or is away.
  package var silenceSeconds = 20.0
  /// The network namespace that plays the host; nil: that of the process.
  package var hostNamespace: SharedDescriptor?

  package init(nodeName: String, tableName: String = "swiftlet-policies") {
    self.nodeName = nodeName
    self.tableName = tableName
  }
}

package struct PolicyError: Error, CustomStringConvertible, Sendable {
  package let description: String
  init(_ description: String) { self.description = description }
}
