import APIServer
import ArgumentParser
import Logging
import PodNetwork
import SystemPackage

/// Where things lie on this machine. Every path is an option, so that several instances can run side by side.
struct PathOptions: ParsableArguments {
  @Option(name: .customLong("data-dir"), help: "State that outlives a reboot: database, keys, images, volumes.")
  var dataDirectory = "/var/lib/swiftlet"

  @Option(name: .customLong("run-dir"), help: "Sockets of the agent and of the pods' supervisors.")
  var runDirectory = "/run/swiftlet"

  @Option(name: .customLong("log-dir"), help: "Containers' log files.")
  var logDirectory = "/var/log/pods"

  /// Other programs and later starts see these paths from other folders.
  mutating func validate() throws {
    for path in [\PathOptions.dataDirectory, \.runDirectory, \.logDirectory] {
      self[keyPath: path] = CurrentDirectory.absolute(self[keyPath: path])
    }
    // A socket's path has at most 107 bytes, and images.sock comes behind this one.
    guard runDirectory.utf8.count <= 95 else {
      throw ValidationError("--run-dir \(runDirectory) is too long for the sockets below it: it may have 95 bytes")
    }
  }

  var data: FilePath { FilePath(dataDirectory) }
  var run: FilePath { FilePath(runDirectory) }
  /// Where the agent answers the machine's own tools.
  var agentSocket: FilePath { run.appending("agent.sock") }
}

/// All that a tool needs in order to find the agent.
struct AgentOptions: ParsableArguments {
  @Option(name: .customLong("run-dir"), help: "The --run-dir that swiftlet was started with.")
  var runDirectory = "/run/swiftlet"

  mutating func validate() throws { runDirectory = CurrentDirectory.absolute(runDirectory) }

  var socket: String { FilePath(runDirectory).appending("agent.sock").string }
  var client: AgentClient { AgentClient(socket: socket) }
}

struct LogOptionsGroup: ParsableArguments {
  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

  @Option(name: .customLong("log-format"), help: "Plain lines for people, or one JSON object a line.")
  var format = Format.text

  @Option(name: .customLong("log-level"), help: "trace, debug, info, notice, warning or error.")
  var level = "info"

  func bootstrap() throws {
    guard let level = Logger.Level(rawValue: level) else {
      throw ValidationError("--log-level \(self.level) is none of trace, debug, info, notice, warning, error")
    }
    let format = format
    LoggingSystem.bootstrap { _ in LineLogHandler(format: format, level: level) }
  }
}

struct NodeOptions: ParsableArguments {
  @Option(name: .customLong("node-name"), help: "The node's name; by default the machine's host name in lower case.")
  var nodeName: String?

  @Option(name: .customLong("node-ip"), help: "The address other machines reach this node at; by default the one of the default route.")
  var nodeIP: String?

  @Option(name: .customLong("pod-cidr"), help: "The addresses of the cluster's pods; each node gets a part.")
  var podCIDR = "10.244.0.0/16"

  @Option(name: .customLong("service-cidr"), help: "The addresses of the cluster's services.")
  var serviceCIDR = "10.96.0.0/16"

  @Option(
    name: .customLong("cluster-dns"),
    help: "The DNS server that pods get; by default the node's own at the tenth address of --service-cidr.")
  var clusterDNS: String?

  @Option(name: .customLong("cluster-domain"), help: "The cluster's DNS domain.")
  var clusterDomain = "cluster.local"

  @Option(name: .customLong("kubelet-port"), help: "The port of the node's own HTTPS endpoint.")
  var kubeletPort = 10250

  @Option(name: .customLong("max-pods"), help: "How many pods this node takes.")
  var maxPods = 110

  @Option(name: .customLong("pod-pids-limit"), help: "How many processes a pod may have; no limit by default.")
  var podPidsLimit: Int64?

  @Flag(
    name: .customLong("single-process-oom-kill"),
    help: "Out of memory, the kernel kills one process of a container; by default it kills the container.")
  var singleProcessOOMKill = false

  @Option(name: .customLong("cgroup-root"), help: "The cgroup v2 directory under which pods' cgroups are made.")
  var cgroupRoot: String?

  @Flag(
    name: .customLong("allow-missing-controllers"),
    help: "Run although cgroup v2 lacks the memory, cpu or pids controller; the node and its pods then say what is not enforced.")
  var allowMissingControllers = false

  @Option(name: .customLong("static-pod-dir"), help: "A directory of pod manifests that this node runs by itself.")
  var staticPodDirectory: String?

  @Option(name: .customLong("registry-config"), help: "A JSON file with mirrors, plain-HTTP hosts and CA files of image registries.")
  var registryConfig: String?

  @Option(
    name: .customLong("pod-network-backend"),
    help: ArgumentHelp(
      "How pods of other nodes are reached: auto (host-gw where the node is on the same segment, else vxlan), host-gw, vxlan, wireguard, or none.",
      valueName: "backend"))
  var podNetworkBackend = NetworkBackend.auto

  @Option(name: .customLong("interface-prefix"), help: "The first letters of the names of pods' links on the host.")
  var interfacePrefix = "swl"

  @Option(
    name: .customLong("cloud-provider"),
    help: "external: a cloud-controller-manager of yours tells nodes' addresses and provider IDs and gives load balancers theirs.")
  var cloudProvider: CloudProvider?

  func validate() throws {
    for (option, value, example) in [("--pod-cidr", podCIDR, "10.244.0.0/16"), ("--service-cidr", serviceCIDR, "10.96.0.0/16")] {
      guard IPv4Range(value) != nil else { throw ValidationError("\(option) \(value) is no IPv4 range such as \(example)") }
    }
    if let pods = IPv4Range(podCIDR), let services = IPv4Range(serviceCIDR), pods.overlaps(services) {
      throw ValidationError("--pod-cidr \(podCIDR) and --service-cidr \(serviceCIDR) overlap; give them ranges apart from each other")
    }
    if let nodeIP, Machine.addressBytes(nodeIP) == nil { throw ValidationError("--node-ip \(nodeIP) is no IP address") }
    if let clusterDNS, Machine.addressBytes(clusterDNS) == nil { throw ValidationError("--cluster-dns \(clusterDNS) is no IP address") }
    if let nodeName, !Self.isNodeName(nodeName) {
      throw ValidationError("--node-name \(nodeName): wants lower-case letters, digits, '-' and '.', at most 253, as DNS names are")
    }
    guard (0...65535).contains(kubeletPort) else { throw ValidationError("--kubelet-port \(kubeletPort) is no port: 1 to 65535") }
    guard maxPods > 0 else { throw ValidationError("--max-pods \(maxPods): wants 1 or more") }
    let isPrefix = interfacePrefix.utf8.allSatisfy { $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 26 || $0 == 0x2D || $0 == 0x5F }
    guard (1...7).contains(interfacePrefix.utf8.count), isPrefix else {
      throw ValidationError("--interface-prefix \(interfacePrefix): wants 1 to 7 letters, digits, - or _")
    }
  }

  private static func isNodeName(_ name: String) -> Bool {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    return name.utf8.count <= 253
      && parts.allSatisfy { part in
        (1...63).contains(part.utf8.count) && part.first != "-" && part.last != "-"
          && part.utf8.allSatisfy { $0 &- 0x30 < 10 || $0 &- 0x61 < 26 || $0 == 0x2D }
      }
  }
}

extension NetworkBackend: ExpressibleByArgument {}

/// Who knows the machines from outside.
enum CloudProvider: String, ExpressibleByArgument, CaseIterable {
  case external
}

/// `0.0.0.0:6443` in parts.
struct ListenAddressArgument: ExpressibleByArgument {
  let host: String
  let port: Int

  init?(argument: String) {
    guard let colon = argument.lastIndex(of: ":"), let port = Int(argument[argument.index(after: colon)...]), (0...65535).contains(port)
    else {
      return nil
    }
    var host = String(argument[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    self.host = host.isEmpty ? "0.0.0.0" : host
    self.port = port
  }

  var defaultValueDescription: String { "\(host):\(port)" }
}

struct ServerOptions: ParsableArguments {
  @Option(name: .customLong("listen"), help: "Where the API server listens.")
  var listen = ListenAddressArgument(argument: "0.0.0.0:6443")!

  @Option(name: .customLong("kubeconfig"), help: "The administrator's kubeconfig file that is written (mode 0600).")
  var kubeconfig = "/etc/swiftlet/admin.kubeconfig"

  @Option(name: .customLong("advertise-address"), help: "The address in kubeconfig files and certificates; by default the node's.")
  var advertiseAddress: String?

  @Option(
    name: .customLong("encryption-key-file"),
    help: "Encrypts Secrets in the database with the first of these keys; lines `<name> <base64 of 32 bytes>`.")
  var encryptionKeyFile: String?

  @Option(
    name: .customLong("encryption-provider-config"),
    help: "An EncryptionConfiguration (apiserver.config.k8s.io/v1) that says which resources are encrypted in the database, and how.")
  var encryptionProviderConfig: String?

  @Option(name: .customLong("audit-log-path"), help: "Writes an event for each request into this file, a line of JSON each.")
  var auditLogPath: String?

  @Option(
    name: .customLong("audit-policy-file"),
    help: "An audit.k8s.io/v1 Policy that says what is written; without one, the metadata of every request.")
  var auditPolicyFile: String?

  @Option(name: .customLong("scheduler-config"), help: "A KubeSchedulerConfiguration with the scheduler's profiles.")
  var schedulerConfig: String?

  @Option(
    name: .customLong("node-certificate-ttl"),
    help: "How long certificates are good that the cluster signs for its nodes: such as 90d; nodes renew theirs long before.")
  var nodeCertificateTTL = TimeSpan(seconds: 365 * 86_400)

  mutating func validate() throws {
    guard nodeCertificateTTL.seconds >= 5 else { throw ValidationError("--node-certificate-ttl \(nodeCertificateTTL): wants 5 s or more") }
    kubeconfig = CurrentDirectory.absolute(kubeconfig)
    guard auditLogPath != nil || auditPolicyFile == nil else {
      throw ValidationError("--audit-policy-file needs --audit-log-path, where the events go")
    }
  }
}
