import JSONCodec
import KubernetesAPI
import PodLifecycle
import Testing

struct AdmissionCase: CustomTestStringConvertible, Sendable {
  let name: String
  let pod: Pod
  var others: [Pod] = []
  /// Nil: taken.
  var reason: String?
  var testDescription: String { name }
}

@Suite struct AdmissionTests {
  static let node = Node([
    "metadata": ["name": "node-1", "labels": ["zone": "a"]],
    "status": ["allocatable": ["cpu": "2", "memory": "1Gi", "pods": "2", "example.com/gpu": "1"]],
  ])

  static func port(_ number: Int, _ address: String? = nil, _ transport: String? = nil) -> Pod {
    var port: JSON = ["containerPort": 80, "hostPort": JSON(number)]
    port["hostIP"] = JSON(address)
    port["protocol"] = JSON(transport)
    return makePod([container("app", ["ports": [port]])])
  }

  static func asking(_ resource: String, _ amount: String, initial: String? = nil) -> Pod {
    func requests(_ amount: String) -> JSON {
      var requests: JSON = [:]
      requests[resource] = .string(amount)
      return ["resources": ["requests": requests]]
    }
    return makePod([container("app", requests(amount))], initial: initial.map { [container("i", requests($0))] } ?? [])
  }

  static func affinity(_ expression: JSON, fields: Bool = false) -> Pod {
    let term: JSON = fields ? ["matchFields": [expression]] : ["matchExpressions": [expression]]
    return makePod(spec: ["affinity": ["nodeAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": ["nodeSelectorTerms": [term]]]]])
  }

  static let cases: [AdmissionCase] = [
    AdmissionCase(name: "a plain pod", pod: makePod()),
    AdmissionCase(name: "too many", pod: makePod(), others: [makePod(), makePod()], reason: "OutOfpods"),
    AdmissionCase(name: "a port", pod: port(80), others: [port(81)]),
    AdmissionCase(name: "a taken port", pod: port(80), others: [port(80)], reason: "NodePorts"),
    AdmissionCase(name: "of another protocol", pod: port(80), others: [port(80, nil, "UDP")]),
    AdmissionCase(name: "of another address", pod: port(80, "10.0.0.1"), others: [port(80, "10.0.0.2")]),
    AdmissionCase(name: "of every address", pod: port(80, "10.0.0.1"), others: [port(80, "0.0.0.0")], reason: "NodePorts"),
    AdmissionCase(name: "cpu that is there", pod: asking("cpu", "1500m"), others: [asking("cpu", "500m")]),
    AdmissionCase(name: "cpu that is not", pod: asking("cpu", "1501m"), others: [asking("cpu", "500m")], reason: "OutOfcpu"),
    AdmissionCase(name: "an init container's memory", pod: asking("memory", "1Mi", initial: "2Gi"), reason: "OutOfmemory"),
    AdmissionCase(name: "an extended resource", pod: asking("example.com/gpu", "2"), reason: "OutOfexample.com/gpu"),
    AdmissionCase(name: "a selector that matches", pod: makePod(spec: ["nodeSelector": ["zone": "a"]])),
    AdmissionCase(name: "one that does not", pod: makePod(spec: ["nodeSelector": ["zone": "b"]]), reason: "NodeAffinity"),
    AdmissionCase(name: "an affinity that matches", pod: affinity(["key": "zone", "operator": "In", "values": ["a", "c"]])),
    AdmissionCase(name: "one that does not", pod: affinity(["key": "zone", "operator": "DoesNotExist"]), reason: "NodeAffinity"),
    AdmissionCase(
      name: "by the node's name", pod: affinity(["key": "metadata.name", "operator": "In", "values": ["node-1"]], fields: true)),
    AdmissionCase(
      name: "by another node's name", pod: affinity(["key": "metadata.name", "operator": "In", "values": ["x"]], fields: true),
      reason: "NodeAffinity"),
    AdmissionCase(name: "another system", pod: makePod(spec: ["os": ["name": "windows"]]), reason: "PodOSNotSupported"),
    AdmissionCase(
      name: "a safe sysctl", pod: makePod(spec: ["securityContext": ["sysctls": [["name": "kernel.shm_rmid_forced", "value": "1"]]]])),
    AdmissionCase(
      name: "an unsafe one", pod: makePod(spec: ["securityContext": ["sysctls": [["name": "kernel.msgmax", "value": "1"]]]]),
      reason: "SysctlForbidden"),
    AdmissionCase(
      name: "one that is allowed here",
      pod: makePod(spec: ["securityContext": ["sysctls": [["name": "net.core.somaxconn", "value": "1"]]]])),
    AdmissionCase(
      name: "a network's with the host's network",
      pod: makePod(spec: ["hostNetwork": true, "securityContext": ["sysctls": [["name": "net.ipv4.tcp_syncookies", "value": "1"]]]]),
      reason: "SysctlForbidden"),
  ]

  @Test(arguments: cases) func admits(_ row: AdmissionCase) {
    let rejection = podRejection(of: row.pod, on: Self.node, others: row.others, allowedUnsafeSysctls: ["net.core.*"])
    #expect(rejection?.reason == row.reason)
  }

  @Test func theRequestOfAPodCountsSidecarsAndOverhead() {
    func request(_ milli: Int, _ fields: JSON = [:]) -> JSON {
      var json: JSON = ["resources": ["requests": ["cpu": .string("\(milli)m")]]]
      for (key, value) in fields.object! { json[key] = value }
      return json
    }
    let pod = makePod(
      [container("a", request(100)), container("b", request(200))],
      initial: [container("proxy", request(50, ["restartPolicy": "Always"])), container("setup", request(400))],
      spec: ["overhead": ["cpu": "10m"]])
    // While setup runs: 50 + 400; afterwards: 50 + 100 + 200.
    #expect(podRequest(pod, "cpu").milliValue == 460)
  }
}
