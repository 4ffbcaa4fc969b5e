import ArgumentParser
import Logging
import SystemPackage

/// Where things lie on this machine. Every path is an option, so that several instances can run side by side.
struct PathOptions: ParsableArguments {
  @Option(name: .customLong("data-dir"), help: "State that outlives a reboot: database, keys, images, volumes.")
  var dataDirectory = "/var/lib/swiftlet"

  @Option(name: .customLong("run-dir"), help: "Sockets of the agent and of the pods' supervisors.")
  var runDirectory = "/run/swiftlet"

  @Option(name: .customLong("log-dir"), help: "Containers' log files.")
  var logDirectory = "/var/log/pods"

  var data: FilePath { FilePath(dataDirectory) }
  var run: FilePath { FilePath(runDirectory) }
  /// Where the agent answers the machine's own tools.
  var agentSocket: FilePath { run.appending("agent.sock") }
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

  @Option(name: .customLong("cluster-dns"), help: "The DNS server that pods get; none by default while the cluster has no DNS of its own.")
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

  @Option(name: .customLong("interface-prefix"), help: "The first letters of the names of pods' links on the host.")
  var interfacePrefix = "swl"
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

  @Option(name: .customLong("audit-log-path"), help: "Writes an event for each request into this file, a line of JSON each.")
  var auditLogPath: String?

  @Option(
    name: .customLong("audit-policy-file"),
    help: "An audit.k8s.io/v1 Policy that says what is written; without one, the metadata of every request.")
  var auditPolicyFile: String?
}
