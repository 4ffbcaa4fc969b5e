import ContainerRuntime
import JSONCodec
import KubernetesAPI
import PodLifecycle
import PodNetwork
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// What the runtime needs to know of a pod as a whole.
func sandboxSpec(for pod: Pod, attempt: Int, services: PodServices) throws -> SandboxSpec {
  var spec = SandboxSpec(
    id: pod.uid, podName: pod.name, namespace: pod.namespace,
    hostname: try podHostname(pod, clusterDomain: services.configuration.clusterDomain), qos: podQOS(pod),
    logDirectory: FilePath(services.logDirectory(of: pod)))
  spec.hostNetwork = pod.spec.hostNetwork
  spec.hostPID = pod.spec.hostPID
  spec.hostIPC = pod.spec.hostIPC
  spec.shareProcessNamespace = pod.spec.shareProcessNamespace
  for sysctl in pod.spec.securityContext["sysctls"].array ?? [] {
    guard let name = sysctl["name"].string, let value = sysctl["value"].string else { continue }
    spec.sysctls[name] = value
  }
  var values = CgroupValues(pod: pod, nodeMemoryBytes: services.memoryBytes)
  values.pidsMax = services.configuration.podPidsLimit
  spec.podResources = ResourceLimits(values)
  // An agent that is started anew finds here what it needs to go on before any API server answers.
  var stored = pod.json
  stored["metadata"]["managedFields"] = .null
  spec.labels = ["pod": stored, "sandboxAttempt": JSON(attempt)]
  return spec
}

/// What the pod calls itself; the node's own name with hostNetwork.
func podHostname(_ pod: Pod, clusterDomain: String) throws(ContainerConfigError) -> String {
  if pod.spec.hostNetwork {
    var name = utsname()
    uname(&name)
    return withUnsafeBytes(of: &name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
  return try PodNames(pod, clusterDomain: clusterDomain).hostname
}

func podQOS(_ pod: Pod) -> PodQOS {
  switch pod.status["qosClass"].string.flatMap(QOSClass.init) ?? pod.qosClass {
  case .guaranteed: .guaranteed
  case .burstable: .burstable
  case .bestEffort: .bestEffort
  }
}

extension ResourceLimits {
  init(_ values: CgroupValues) {
    self.init()
    cpuQuotaMicros = values.cpuQuotaMicros
    cpuPeriodMicros = values.cpuPeriodMicros
    cpuWeight = values.cpuWeight
    memoryMax = values.memoryMax
    pidsMax = values.pidsMax
  }
}

/// The host ports that a pod's containers ask for; with hostNetwork the containers listen there themselves.
func hostPorts(of pod: Pod) -> [HostPort] {
  if pod.spec.hostNetwork { return [] }
  let containers = pod.spec.containers + pod.spec.initContainers.filter(\.isSidecar)
  return containers.flatMap(\.ports).compactMap { port in
    guard let host = port["hostPort"].int.flatMap(UInt16.init(exactly:)), host > 0,
      let inner = port["containerPort"].int.flatMap(UInt16.init(exactly:))
    else { return nil }
    let transport: HostPort.Transport =
      switch port["protocol"].string ?? "TCP" {
      case "UDP": .udp
      case "SCTP": .sctp
      default: .tcp
      }
    return HostPort(transport: transport, hostIP: port["hostIP"].string, hostPort: host, containerPort: inner)
  }
}

/// Which limits of a pod nothing enforces where these controllers are missing, such as `app memory 128Mi`.
func unenforcedLimits(of pod: Pod, missing: [String]) -> [String] {
  var result: [String] = []
  for (container, _) in pod.containersWithRoles {
    for controller in missing where controller != "pids" {
      guard let limit = container.limit(controller) else { continue }
      result.append("\(container.name) \(controller) \(limit.text)")
    }
  }
  return result
}

/// `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`: SIGTERM where it is none of them.
func signalNumber(_ text: String?) -> Int32 {
  guard let text, !text.isEmpty else { return SIGTERM }
  if let number = Int32(text) { return (1...64).contains(number) ? number : SIGTERM }
  let name = text.hasPrefix("SIG") ? String(text.dropFirst(3)) : text
  if name.hasPrefix("RTMIN+"), let offset = Int32(name.dropFirst(6)), (0...30).contains(offset) { return 34 + offset }
  if name.hasPrefix("RTMAX-"), let offset = Int32(name.dropFirst(6)), (0...30).contains(offset) { return 64 - offset }
  let names: [String: Int32] = [
    "HUP": SIGHUP, "INT": SIGINT, "QUIT": SIGQUIT, "ILL": SIGILL, "TRAP": SIGTRAP, "ABRT": SIGABRT, "BUS": SIGBUS, "FPE": SIGFPE,
    "KILL": SIGKILL, "USR1": SIGUSR1, "SEGV": SIGSEGV, "USR2": SIGUSR2, "PIPE": SIGPIPE, "ALRM": SIGALRM, "TERM": SIGTERM,
    "CHLD": SIGCHLD, "CONT": SIGCONT, "STOP": SIGSTOP, "TSTP": SIGTSTP, "TTIN": SIGTTIN, "TTOU": SIGTTOU, "URG": SIGURG,
    "XCPU": SIGXCPU, "XFSZ": SIGXFSZ, "VTALRM": SIGVTALRM, "PROF": SIGPROF, "WINCH": SIGWINCH, "IO": SIGIO, "PWR": 30, "SYS": SIGSYS,
    "RTMIN": 34, "RTMAX": 64,
  ]
  return names[name] ?? SIGTERM
}
