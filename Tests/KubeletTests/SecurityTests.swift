import Foundation
import JSONCodec
import KubernetesAPI
import SystemPackage
import Testing
import Yams

@testable import Kubelet

struct UserCase: CustomTestStringConvertible, Sendable {
  let name: String
  var runAsUser: Int?
  var runAsGroup: Int?
  var imageUser = ""
  let uid: UInt32
  let gid: UInt32
  var groups: [UInt32] = []
  var home = "/"
  var testDescription: String { name }
}

@Suite struct ContainerUserTests {
  static let accounts = ImageAccounts(
    passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/var/web:/bin/false\nbroken line\n",
    group: "root:x:0:\nweb:x:102:\nmedia:x:44:web,other\n")

  static let cases = [
    UserCase(name: "nothing said", uid: 0, gid: 0, home: "/root"),
    UserCase(name: "a name", imageUser: "web", uid: 101, gid: 102, groups: [44], home: "/var/web"),
    UserCase(name: "a name and a group", imageUser: "web:media", uid: 101, gid: 44, home: "/var/web"),
    UserCase(name: "numbers", imageUser: "7:8", uid: 7, gid: 8),
    UserCase(name: "a number with an account", imageUser: "101", uid: 101, gid: 102, groups: [44], home: "/var/web"),
    UserCase(name: "the pod goes before the image", runAsUser: 1000, imageUser: "web:media", uid: 1000, gid: 0),
    UserCase(name: "the pod's group", runAsUser: 1000, runAsGroup: 3000, imageUser: "web", uid: 1000, gid: 3000),
  ]

  @Test(arguments: cases) func resolves(_ row: UserCase) throws {
    let user = try ContainerUser(runAsUser: row.runAsUser, runAsGroup: row.runAsGroup, imageUser: row.imageUser, accounts: Self.accounts)
    #expect(user.uid == row.uid && user.gid == row.gid && user.supplementalGroups == row.groups && user.home == row.home)
  }

  @Test(arguments: ["nobody-here", "web:nogroup", "4294967295"]) func refuses(_ imageUser: String) {
    #expect(throws: ContainerConfigError.self) {
      try ContainerUser(runAsUser: nil, runAsGroup: nil, imageUser: imageUser, accounts: Self.accounts)
    }
  }

  @Test func statusNamesAllGroups() throws {
    var user = try ContainerUser(runAsUser: 5, runAsGroup: 6, imageUser: "", accounts: Self.accounts)
    user.add(groups: [7, 7, 6])
    #expect(user.status == ["linux": ["uid": 5, "gid": 6, "supplementalGroups": [7, 6]]])
  }
}

@Suite struct ContainerSecurityTests {
  func resolve(_ own: JSON = [:], pod: JSON = [:], imageUser: String = "") throws -> ContainerSecurity {
    let container: JSON = ["name": "app", "securityContext": own]
    let json: JSON = [
      "metadata": ["name": "web", "namespace": "default", "uid": "u"], "spec": ["containers": [container], "securityContext": pod],
    ]
    return try ContainerSecurity(
      pod: Pod(json), container: Container(container), imageUser: imageUser, accounts: ContainerUserTests.accounts)
  }

  @Test func defaults() throws {
    let security = try resolve()
    #expect(
      security.capabilities == ["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL"])
    #expect(!security.isPrivileged && !security.noNewPrivileges && !security.readOnlyRoot && security.seccomp == .runtimeDefault)
  }

  @Test func capabilities() throws {
    #expect(
      try resolve(["capabilities": ["drop": ["ALL"], "add": ["NET_ADMIN", "CAP_SYS_TIME"]]]).capabilities == ["NET_ADMIN", "SYS_TIME"])
    #expect(try resolve(["capabilities": ["drop": ["KILL"]]]).capabilities.count == 8)
    #expect(try resolve(["capabilities": ["add": ["ALL"], "drop": ["SYS_ADMIN"]]]).capabilities.count == 40)
    #expect(throws: ContainerConfigError.self) { try resolve(["capabilities": ["add": ["NO_SUCH"]]]) }
  }

  @Test func privileged() throws {
    let security = try resolve(["privileged": true, "allowPrivilegeEscalation": true])
    #expect(security.capabilities.count == 41 && security.seccomp == .unconfined)
  }

  @Test func theContainerGoesBeforeThePod() throws {
    let security = try resolve(
      ["runAsUser": 5, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true],
      pod: ["runAsUser": 4, "runAsGroup": 3, "fsGroup": 9, "supplementalGroups": [8], "seccompProfile": ["type": "Unconfined"]])
    #expect(security.user.uid == 5 && security.user.gid == 3 && security.user.supplementalGroups == [8, 9])
    #expect(security.noNewPrivileges && security.readOnlyRoot && security.seccomp == .unconfined)
  }

  @Test func groupsOfTheImageCountUnlessThePolicyIsStrict() throws {
    #expect(try resolve(pod: ["supplementalGroups": [8]], imageUser: "web").user.supplementalGroups == [44, 8])
    #expect(
      try resolve(pod: ["supplementalGroups": [8], "supplementalGroupsPolicy": "Strict"], imageUser: "web").user.supplementalGroups == [8])
  }

  @Test(arguments: [
    (JSON.null, "", "container has runAsNonRoot and image will run as root (pod: \"web_default(u)\", container: app)"),
    (JSON.null, "0", "container has runAsNonRoot and image will run as root (pod: \"web_default(u)\", container: app)"),
    (
      JSON.null, "web",
      "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root (pod: \"web_default(u)\", container: app)"
    ),
    (JSON.int(0), "", "container's runAsUser breaks non-root policy (pod: \"web_default(u)\", container: app)"),
  ]) func nonRoot(runAsUser: JSON, imageUser: String, message: String) {
    let error = #expect(throws: ContainerConfigError.self) {
      try resolve(["runAsNonRoot": true, "runAsUser": runAsUser], imageUser: imageUser)
    }
    #expect(error?.message == message)
    #expect(error?.reason == "CreateContainerConfigError")
  }

  @Test func nonRootIsFineWithANumber() throws {
    #expect(try resolve(["runAsNonRoot": true], imageUser: "7").user.uid == 7)
  }

  /// A profile that is not there must never mean "no profile".
  @Test func profilesFromFilesAreRefused() {
    #expect(throws: ContainerConfigError.self) { try resolve(["seccompProfile": ["type": "Localhost", "localhostProfile": ""]]) }
  }
}

@Suite struct LayerFilesTests {
  /// Layers whose /etc/passwd leads out of the image by links, or was deleted.
  @Test func linksNeverLeaveTheLayer() throws {
    let root = NSTemporaryDirectory() + "swl-layers-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: root) }
    func layer(_ name: String) throws -> FilePath {
      try FileManager.default.createDirectory(atPath: "\(root)/\(name)/etc", withIntermediateDirectories: true)
      return FilePath("\(root)/\(name)")
    }
    let plain = try layer("plain")
    try "root:x:0:0".write(toFile: "\(plain)/etc/passwd", atomically: true, encoding: .utf8)
    #expect(LayerFiles.text("etc/passwd", layers: [plain], bytesMax: 100) == "root:x:0:0")
    #expect(LayerFiles.text("etc/passwd", layers: [plain], bytesMax: 4) == "root")
    let empty = try layer("empty")
    #expect(LayerFiles.text("etc/passwd", layers: [plain, empty], bytesMax: 100) == "root:x:0:0")
    let absolute = try layer("absolute")
    symlink("/etc/hostname", "\(absolute)/etc/passwd")
    #expect(LayerFiles.text("etc/passwd", layers: [absolute], bytesMax: 100) == "")
    let parents = try layer("parents")
    symlink("../../../../../../../../etc/hostname", "\(parents)/etc/passwd")
    #expect(LayerFiles.text("etc/passwd", layers: [parents], bytesMax: 100) == "")
    let magic = try layer("magic")
    symlink("/proc/self/root/etc/hostname", "\(magic)/etc/passwd")
    #expect(LayerFiles.text("etc/passwd", layers: [magic], bytesMax: 100) == "")
    if geteuid() == 0 {
      let deleted = try layer("deleted")
      mknod("\(deleted)/etc/passwd", S_IFCHR | 0o600, 0)
      #expect(LayerFiles.text("etc/passwd", layers: [plain, deleted], bytesMax: 100) == "")
    }
  }
}

@Suite struct SmallRulesTests {
  @Test(arguments: [
    ("a$(A)b", "aXb"), ("$$(A)", "$(A)"), ("$(MISSING)", "$(MISSING)"), ("$(A", "$(A"), ("$", "$"), ("$$", "$"), ("$A", "$A"),
    ("$(A)$(B)", "XY"),
  ]) func variables(text: String, expected: String) {
    #expect(expandVariables(text) { ["A": "X", "B": "Y"][$0] } == expected)
  }

  @Test(arguments: [
    ("SIGUSR1", SIGUSR1), ("USR1", SIGUSR1), ("3", 3), ("RTMIN+3", 37), ("nonsense", SIGTERM), ("0", SIGTERM), ("99", SIGTERM),
  ])
  func signals(text: String, number: Int32) { #expect(signalNumber(text) == number) }

  @Test func hostnames() throws {
    func name(_ spec: JSON, _ name: String = "web") throws -> String {
      try podHostname(Pod(["metadata": ["name": .string(name), "namespace": "ns"], "spec": spec]), clusterDomain: "cluster.local")
    }
    #expect(try name([:]) == "web")
    #expect(try name(["hostname": "other"]) == "other")
    #expect(try name(["hostnameOverride": "full.example.org"]) == "full.example.org")
    #expect(try name(["subdomain": "sub", "setHostnameAsFQDN": true]) == "web.sub.ns.svc.cluster.local")
    #expect(throws: ContainerConfigError.self) {
      try name(["subdomain": .string(String(repeating: "s", count: 60)), "setHostnameAsFQDN": true])
    }
    #expect(try name([:], String(repeating: "a", count: 62) + "-bcd") == String(repeating: "a", count: 62))
  }

  @Test func logTails() throws {
    let path = NSTemporaryDirectory() + "swl-log-\(UUID().uuidString)"
    defer { unlink(path) }
    #expect(logTail(path) == "")
    try
      "2026-01-01T00:00:00.000000000Z stderr P half \n2026-01-01T00:00:00.000000000Z stderr F line\n2026-01-01T00:00:01.000000000Z stdout F two words\n"
      .write(toFile: path, atomically: true, encoding: .utf8)
    #expect(logTail(path) == "half line\ntwo words\n")
    let many = (0..<500).map { "2026-01-01T00:00:00.000000000Z stdout F line \($0)" }.joined(separator: "\n") + "\n"
    try many.write(toFile: path, atomically: true, encoding: .utf8)
    let tail = logTail(path).split(separator: "\n")
    #expect(tail.count == 80 && tail.last == "line 499")
  }
}

@Suite struct StaticPodManifestTests {
  func pod(_ text: String) throws -> Pod { try StaticPods.pod(manifest: text, nodeName: "n1") }
  static let minimal = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: busybox}]}\n"

  @Test func defaultsAndIdentity() throws {
    let first = try pod(Self.minimal)
    #expect(first.name == "a-n1" && first.namespace == "default" && first.uid.count == 32)
    #expect(first.uid == (try pod(Self.minimal)).uid)
    #expect(first.uid != (try pod(Self.minimal.replacingOccurrences(of: "busybox", with: "busybox:2"))).uid)
    #expect(first.spec.containers[0].imagePullPolicy == "Always")
    #expect(first.spec.restartPolicy == .always && first.spec.nodeName == "n1" && first.spec.priority == 2_000_001_000)
    #expect(first.spec.tolerations == [["operator": "Exists", "effect": "NoExecute"]])
    #expect(first.metadata.annotations["kubernetes.io/config.hash"].string == first.uid)
  }

  @Test func scalarsKeepTheirTypes() throws {
    let json = StaticPods.json(try #require(try Yams.compose(yaml: "a: 1\nb: \"1\"\nc: true\nd: ~\ne: 1.5\nf: 0x10\ng: 1m\n")))
    #expect(
      json["a"] == 1 && json["b"] == "1" && json["c"] == true && json["d"].isNull && json["e"] == 1.5 && json["f"] == 16
        && json["g"] == "1m")
  }

  @Test(arguments: [
    "", "kind: Pod", "apiVersion: v1\nkind: Service\nmetadata: {name: a}",
    "apiVersion: v1\nkind: Pod\nmetadata: {name: 'A b'}\nspec: {containers: [{name: c}]}",
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}",
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}], volumes: [{name: v, secret: {secretName: s}}]}",
    ": : :\n  - [",
  ]) func refuses(_ text: String) { #expect(throws: (any Error).self) { try pod(text) } }
}

@Suite struct SeccompFileTests {
  @Test func aProfileFromAFileIsNamedNotReplaced() throws {
    let pod = Pod(["metadata": ["name": "p"], "spec": ["containers": []]])
    let profile: JSON = ["securityContext": ["seccompProfile": ["type": "Localhost", "localhostProfile": "profiles/x.json"]], "name": "c"]
    let security = try ContainerSecurity(
      pod: pod, container: Container(profile), imageUser: "", accounts: ImageAccounts(passwd: "", group: ""))
    #expect(security.seccomp == .file("profiles/x.json"))
  }
}
