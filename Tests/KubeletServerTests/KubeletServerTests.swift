import Foundation
import HTTPServing
import JSONCodec
import KubernetesAPI
import LinuxKernel
import Logging
import NIOCore
import NIOPosix
import Synchronization
import SystemPackage
import Testing

@testable import Kubelet

/// A node with one pod, "web" of namespace "default", whose container "c" runs.
private final class FakeBackend: KubeletBackend {
  let logPath: FilePath
  let port: Int
  let attached = Mutex<[String]>([])

  init(logPath: FilePath, port: Int) {
    self.logPath = logPath
    self.port = port
  }

  func pods() async -> [JSON] {
    func pod(_ name: String, _ phase: String, _ state: JSON) -> JSON {
      [
        "metadata": ["name": .string(name), "namespace": "default", "uid": "u-\(name)"],
        "spec": ["containers": [["name": "c", "image": "i"]]],
        "status": ["phase": .string(phase), "containerStatuses": [["name": "c", "image": "i", "state": state]]],
      ]
    }
    return [
      pod("web", "Running", ["running": ["startedAt": "2026-01-01T00:00:00Z"]]), pod("done", "Succeeded", ["terminated": ["exitCode": 0]]),
    ]
  }

  func configuration() async -> JSON { ["kind": "KubeletConfiguration", "maxPods": 7] }
  func inspectRuntime() async -> JSON { ["sandboxes": []] }
  func node() async -> JSON? { ["kind": "Node"] }
  func statsSummary() async -> JSON {
    [
      "node": [
        "nodeName": "n", "cpu": ["usageCoreNanoSeconds": 5_000_000_000], "memory": ["workingSetBytes": 1000], "fs": ["usedBytes": 1],
      ],
      "pods": [
        [
          "podRef": ["name": "web", "namespace": "default"], "cpu": ["usageCoreNanoSeconds": 1_500_000_000],
          "memory": ["workingSetBytes": 100],
          "containers": [
            [
              "name": "c", "startTime": "1970-01-01T00:00:10Z", "cpu": ["usageCoreNanoSeconds": 1_500_000_000],
              "memory": ["workingSetBytes": 90], "logs": ["usedBytes": 2],
            ]
          ],
        ]
      ],
    ]
  }

  private func find(_ target: ContainerTarget) throws(BackendError) {
    guard target.namespace == "default", target.pod == "web" else { throw .notFound("pod \"\(target.pod)\" not found") }
    guard target.uid == nil || target.uid == "u-web" else { throw .notFound("pod \"\(target.pod)\" has another uid") }
    guard target.container == "c" else { throw .notFound("container \"\(target.container)\" not found") }
  }

  func containerLogs(_ target: ContainerTarget, options: LogOptions) async throws(BackendError) -> ContainerLogStream {
    try find(target)
    let reader = ContainerLogReader(path: logPath)
    guard !options.previous else { throw .badRequest("previous terminated container \"c\" in pod \"web\" not found") }
    return ContainerLogStream { write in
      try await reader.copy(options, untilEnd: { try? await Task.sleep(for: .seconds(600)) }, write: write)
    }
  }

  func checkRunning(_ target: ContainerTarget) async throws(BackendError) { try find(target) }

  func exec(_ target: ContainerTarget, command: [String], options: StreamOptions, streams: ContainerStreams) async throws(BackendError)
    -> Int32
  {
    do {
      switch command[0] {
      case "size":
        for await size in streams.resizes {
          try await streams.writeOut(ByteBuffer(string: "\(size.columns)x\(size.rows)"))
          break
        }
      case "fail": return 7
      default: try await streams.writeOut(ByteBuffer(string: command.joined(separator: ",") + " tty=\(options.tty)"))
      }
      return 0
    } catch { throw .internal("\(error)") }
  }

  func attach(_ target: ContainerTarget, options: StreamOptions, streams: ContainerStreams) async throws(BackendError) {
    guard let stdin = streams.stdin else { return }
    for await bytes in stdin { attached.withLock { $0.append(String(buffer: bytes)) } }
  }

  func connect(namespace: String, pod: String, uid: String?, port: Int) async throws(BackendError) -> OwnedDescriptor {
    guard port == 80 else { throw .internal("connection refused") }
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(self.port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    guard result == 0 else {
      close(fd)
      throw .internal("connect: \(errno)")
    }
    return OwnedDescriptor(owning: fd)
  }
}

private func shell(_ script: String) async throws -> (status: Int32, output: String) {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread {
      do {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", script]
        let output = Pipe()
        (process.standardOutput, process.standardError, process.standardInput) = (output, output, FileHandle.nullDevice)
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        continuation.resume(returning: (process.terminationStatus, String(decoding: data, as: UTF8.self)))
      } catch { continuation.resume(throwing: error) }
    }
  }
}

/// The server over TLS with three client certificates: an administrator, the API server's user, and somebody.
private final class TestNode: Sendable {
  let directory: String
  let server: KubeletServer
  let backend: FakeBackend
  let port: Int
  var log: String { directory + "/0.log" }

  init(forwardPort: Int = 0) async throws {
    directory = NSTemporaryDirectory() + "swiftlet-kubelet-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let made = try await shell(
      """
      set -e; cd \(directory)
      openssl ecparam -name prime256v1 -genkey -noout -out ca.key; openssl req -x509 -new -key ca.key -days 2 -subj /CN=ca -out ca.crt
      leaf() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; openssl req -new -key $1.key -subj "$2" -out $1.csr
        openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile <(echo "$3") -out $1.crt; }
      leaf server /CN=n 'subjectAltName=IP:127.0.0.1'
      leaf admin '/O=dev/O=system:masters/CN=root' extendedKeyUsage=clientAuth
      leaf api /CN=kube-apiserver-kubelet-client extendedKeyUsage=clientAuth
      leaf somebody '/O=system:nodes/CN=system:node:other' extendedKeyUsage=clientAuth
      openssl x509 -in admin.crt -outform DER -out admin.der
      """)
    try #require(made.status == 0, "\(made.output)")
    let folder = directory
    func bytes(_ name: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))) }
    backend = FakeBackend(logPath: FilePath(directory + "/0.log"), port: forwardPort)
    var configuration = KubeletServerConfiguration(
      address: .tcp(host: "127.0.0.1", port: 0),
      tls: try ServerTLS(
        certificateChainPEM: bytes("server.crt"), privateKeyPEM: bytes("server.key"), clientAuthoritiesPEM: bytes("ca.crt")),
      nodeName: "n",
      authenticator: { token in
        switch token {
        case "good": PeerIdentity(user: "kube-apiserver-kubelet-client", groups: [])
        case "stranger": PeerIdentity(user: "stranger", groups: [])
        default: nil
        }
      }, authorizer: KubeletAuthorizers.users(["kube-apiserver-kubelet-client"]))
    configuration.limits.stopGrace = .milliseconds(300)
    server = KubeletServer(
      configuration: configuration, backend: backend, group: MultiThreadedEventLoopGroup.singleton, log: Logger(label: "test"))
    port = try await server.start()
  }

  func stop() async {
    await server.stop()
    try? FileManager.default.removeItem(atPath: directory)
  }

  func curl(_ path: String, as name: String? = "api", _ options: String = "") async throws -> String {
    let certificate = name.map { "--cert \(directory)/\($0).crt --key \(directory)/\($0).key" } ?? ""
    return try await shell(
      "curl -sS --cacert \(directory)/ca.crt \(certificate) -w '%{http_code}' \(options) 'https://127.0.0.1:\(port)\(path)'"
    ).output
  }
}

@Suite struct KubeletServerTests {
  @Test func onlyThoseWhoMayGetIn() async throws {
    let node = try await TestNode()
    #expect(try await node.curl("/healthz") == "ok200")
    #expect(try await node.curl("/healthz", as: "admin") == "ok200")
    #expect(try await node.curl("/healthz", as: nil) == "Unauthorized401")
    let forbidden = try await node.curl("/exec/default/web/c?command=id&output=1", as: "somebody")
    #expect(forbidden == "Forbidden (user=system:node:other, verb=get, resource=nodes, subresource(s)=[\"proxy\"])403")
    let der = try Array(Data(contentsOf: URL(fileURLWithPath: node.directory + "/admin.der")))
    #expect(PeerIdentity(certificateDER: der) == PeerIdentity(user: "root", groups: ["dev", "system:masters"]))
    #expect(PeerIdentity(certificateDER: Array(der.dropLast(der.count / 2))) == nil)
    await node.stop()
  }

  @Test func tokensOpenWhatTheirBearerMay() async throws {
    let node = try await TestNode()
    #expect(try await node.curl("/healthz", as: nil, "-H 'Authorization: Bearer good'") == "ok200")
    #expect(try await node.curl("/healthz", as: nil, "-H 'Authorization: Bearer stranger'").hasSuffix("403"))
    for header in ["Bearer other", "Bearer ", "Basic good", "good"] {
      #expect(try await node.curl("/healthz", as: nil, "-H 'Authorization: \(header)'") == "Unauthorized401", "\(header)")
    }
    // A certificate is who it is, whatever a token beside it says.
    #expect(try await node.curl("/healthz", as: "somebody", "-H 'Authorization: Bearer good'").hasSuffix("403"))
    await node.stop()
  }

  @Test func accessIsNamedAsUpstreamNamesIt() {
    #expect(KubeletAccess(method: .GET, path: "/stats/summary").subresources == ["stats"])
    #expect(KubeletAccess(method: .GET, path: "/metrics/cadvisor").subresources == ["metrics"])
    #expect(KubeletAccess(method: .GET, path: "/pods/").subresources == ["pods", "proxy"])
    #expect(KubeletAccess(method: .GET, path: "/healthz").subresources == ["healthz", "proxy"])
    #expect(KubeletAccess(method: .POST, path: "/run/a/b/c").verb == "create")
    #expect(KubeletAccess(method: .POST, path: "/run/a/b/c").subresources == ["proxy"])
  }

  @Test func listsStatisticsAndMetrics() async throws {
    let node = try await TestNode()
    for path in ["/pods", "/pods/"] {
      let pods = try JSON.parse(String(try await node.curl(path).dropLast(3)))
      #expect(pods["kind"] == "PodList" && pods["items"].array?.count == 2)
    }
    let running = try JSON.parse(String(try await node.curl("/runningpods/").dropLast(3)))
    #expect(running["items"].array?.compactMap { $0.at("metadata", "name").string } == ["web"])
    let summary = try JSON.parse(String(try await node.curl("/stats/summary?only_cpu_and_memory=true").dropLast(3)))
    #expect(summary["node"]["fs"].isNull && summary["node"]["cpu"]["usageCoreNanoSeconds"] == 5_000_000_000)
    #expect(summary["pods"][0]["containers"][0]["logs"].isNull)
    let resource = try await node.curl("/metrics/resource")
    #expect(resource.contains("node_cpu_usage_seconds_total 5\n"))
    #expect(resource.contains("container_cpu_usage_seconds_total{container=\"c\",namespace=\"default\",pod=\"web\"} 1.5\n"))
    #expect(resource.contains("container_start_time_seconds{container=\"c\",namespace=\"default\",pod=\"web\"} 10\n"))
    #expect(try await node.curl("/metrics").contains("kubelet_running_containers{container_state=\"exited\"} 1\n"))
    #expect(try await node.curl("/metrics/cadvisor").contains("machine_cpu_cores "))
    #expect(try await node.curl("/configz") == #"{"kubeletconfig":{"kind":"KubeletConfiguration","maxPods":7}}200"#)
    #expect(try await node.curl("/nonsense").hasSuffix("404"))
    #expect(try await node.curl("/pods", as: "api", "-X DELETE").hasSuffix("405"))
    await node.stop()
  }

  @Test func logsWithOptionsAndRefusals() async throws {
    let node = try await TestNode()
    try "2026-01-01T00:00:00.000000000Z stdout F one\n2026-01-01T00:00:01.000000000Z stderr F two\n".write(
      toFile: node.log, atomically: false, encoding: .utf8)
    #expect(try await node.curl("/containerLogs/default/web/c") == "one\ntwo\n200")
    #expect(try await node.curl("/containerLogs/default/web/c?tailLines=1&timestamps=true") == "2026-01-01T00:00:01.000000000Z two\n200")
    #expect(try await node.curl("/containerLogs/default/web/c?stream=Stdout") == "one\n200")
    #expect(try await node.curl("/containerLogs/default/web/c?limitBytes=2") == "on200")
    #expect(try await node.curl("/containerLogs/default/web/c?tailLines=-1").hasSuffix("400"))
    #expect(try await node.curl("/containerLogs/default/web/c?previous=true").hasSuffix("400"))
    #expect(try await node.curl("/containerLogs/default/other/c").hasSuffix("404"))
    #expect(try await node.curl("/containerLogs/default/web/x") == "container \"x\" not found\n404")
    let followed = try await node.curl("/containerLogs/default/web/c?follow=true", as: "api", "-N -m 3")
    #expect(followed.contains("one\ntwo\n"))
    await node.stop()
  }

  @Test func commands() async throws {
    let node = try await TestNode()
    #expect(try await node.curl("/run/default/web/c?cmd=echo+a+b", as: "api", "-X POST") == "echo,a,b tty=false200")
    #expect(try await node.curl("/run/default/web/u-web/c?cmd=x", as: "api", "-X POST") == "x tty=false200")
    #expect(try await node.curl("/run/default/web/u-other/c?cmd=x", as: "api", "-X POST").hasSuffix("404"))
    #expect(try await node.curl("/run/default/web/c?cmd=fail", as: "api", "-X POST").hasSuffix("500"))
    #expect(try await node.curl("/exec/default/web/c?output=1", as: "api", "-X POST").hasSuffix("must specify at least 1 command\n400"))
    #expect(try await node.curl("/exec/default/web/c?command=x", as: "api", "-X POST").hasSuffix("400"))
    #expect(try await node.curl("/exec/default/none/c?command=x&output=1", as: "api", "-X POST").hasSuffix("404"))
    #expect(try await node.curl("/exec/default/web/c?command=x&output=1", as: "api", "--http1.1 -X POST").contains("unable to upgrade"))
    await node.stop()
  }

  /// kubectl -> a front that forwards upgrades, as the API server does -> the kubelet's endpoint.
  @Test(arguments: [true, false]) func kubectlThroughAFront(webSocket: Bool) async throws {
    let inner = HTTPServer(
      configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)), group: MultiThreadedEventLoopGroup.singleton
    ) { _ in
      .text(.ok, "from the pod")
    }
    let node = try await TestNode(forwardPort: try await inner.start())
    let front = try await Front(node)
    let environment = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=\(webSocket) KUBECTL_PORT_FORWARD_WEBSOCKETS=\(webSocket)"
    let kubectl = "\(environment) kubectl --kubeconfig \(node.directory)/config --cache-dir \(node.directory)/cache"
    let exec = try await shell("\(kubectl) exec web -- echo hello")
    #expect(exec.output == "echo,hello tty=false")
    let failed = try await shell("\(kubectl) exec web -- fail")
    #expect(failed.status == 7)
    let sized = try await shell(
      "TERM=xterm \(environment) script -qec 'stty cols 91 rows 33; kubectl --kubeconfig \(node.directory)/config --cache-dir \(node.directory)/cache exec -it web -- size' /dev/null"
    )
    #expect(sized.output.contains("91x33"), "\(sized.output)")
    let forwarded = try await shell(
      """
      \(kubectl) port-forward --address 127.0.0.1 pod/web :80 >\(node.directory)/forward 2>&1 &
      pid=$!
      for i in $(seq 100); do port=$(sed -n 's/Forwarding from 127.0.0.1:\\([0-9]*\\).*/\\1/p' \(node.directory)/forward); [ -n "$port" ] && break; sleep 0.1; done
      curl -sS http://127.0.0.1:$port/; kill $pid; wait $pid
      """)
    #expect(forwarded.output.hasPrefix("from the pod"), "\(forwarded.output)")
    await front.stop()
    await node.stop()
    await inner.stop()
  }
}

/// Just enough of an API server for kubectl to find the pod; its streams go to the kubelet.
private struct Front {
  let server: HTTPServer
  func stop() async { await server.stop() }

  init(_ node: TestNode) async throws {
    func bytes(_ name: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(fileURLWithPath: "\(node.directory)/\(name)"))) }
    let tls = try ClientTLS(certificateChainPEM: bytes("api.crt"), privateKeyPEM: bytes("api.key"), trustRootsPEM: bytes("ca.crt"))
    let target = UpgradeTarget(host: "127.0.0.1", port: node.port, tls: tls)
    server = HTTPServer(
      configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)), group: MultiThreadedEventLoopGroup.singleton
    ) { request in
      func json(_ text: String) -> ServedResponse {
        ServedResponse(headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(string: text)))
      }
      switch request.path {
      case "/api": return json(#"{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[]}"#)
      case "/apis": return json(#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#)
      case "/api/v1":
        return json(
          #"{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get"]}]}"#
        )
      case "/api/v1/namespaces/default/pods/web":
        return json(
          #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"default"},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}]}]},"status":{"phase":"Running"}}"#
        )
      case let path where path.hasPrefix("/api/v1/namespaces/default/pods/web/"):
        let query = (request.uri.split(separator: "?").dropFirst().first.map { "?" + $0 }) ?? ""
        let uri = path.hasSuffix("portforward") ? "/portForward/default/web" : "/exec/default/web/c"
        var headers = request.headers
        headers.remove(name: "host")
        do {
          return try await forwardUpgrade(
            method: request.method, uri: uri + query, headers: headers, to: target, eventLoop: request.eventLoop!)
        } catch { return .text(.badGateway, "\(error)") }
      default: return .text(.notFound, request.path)
      }
    }
    let port = try await server.start()
    try """
    {"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
     "clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:\(port)"}}],"users":[{"name":"u","user":{}}]}
    """.write(toFile: node.directory + "/config", atomically: true, encoding: .utf8)
  }
}
