import ContainerRuntime
import JSONCodec
import KubernetesAPI
import SystemPackage
import Testing

@testable import Kubelet

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct VolumeTests {
  @Test func configMapSecretAndTheirItems() async throws {
    let node = VolumeNode()
    node.objects.set(.configMap, "c", ["data": ["a": "alpha", "b": "beta"], "binaryData": ["raw": "AP8="]])
    node.objects.set(.secret, "s", ["data": ["password": "aHVudGVyMg=="]])
    let pod = makePod(volumes: [
      ["name": "all", "configMap": ["name": "c", "defaultMode": 0o640]],
      ["name": "some", "configMap": ["name": "c", "items": [["key": "a", "path": "deep/er/x", "mode": 0o400]]]],
      ["name": "secret", "secret": ["secretName": "s"]],
      ["name": "none", "configMap": ["name": "absent", "optional": true]],
    ])
    try await node.manager.prepare(pod)
    let all = node.volume("configmap", "all")
    #expect(HostFiles.read(all + "/a") == "alpha")
    #expect(mode(all + "/a") == 0o640)
    #expect(mode(all + "/raw") == 0o640)
    #expect(AtomicWriter.names(all).filter { !$0.hasPrefix("..") }.sorted() == ["a", "b", "raw"])
    let some = node.volume("configmap", "some")
    #expect(HostFiles.read(some + "/deep/er/x") == "alpha")
    #expect(mode(some + "/deep/er/x") == 0o400)
    #expect(AtomicWriter.names(some).filter { !$0.hasPrefix("..") } == ["deep"])
    #expect(HostFiles.read(node.volume("secret", "secret") + "/password") == "hunter2")
    #expect(AtomicWriter.names(node.volume("configmap", "none")).filter { !$0.hasPrefix("..") }.isEmpty)
    let mounts = try await node.manager.mounts(of: pod.spec.containers[0], in: pod, podIPs: ["10.0.0.9"], environment: [], images: [:])
    guard case .bind(let source, let readOnly, _) = mounts[0].source else { return }
    #expect(source.string == all && readOnly && mounts[0].isDirectory && mounts[0].target == "/v/all")
  }

  @Test func whatIsMissingIsToldAsKubeletTellsIt() async throws {
    let node = VolumeNode()
    node.objects.set(.configMap, "c", ["data": ["a": "x"]])
    node.objects.set(.secret, "s", ["data": [:]])
    let table: [(JSON, String)] = [
      (["configMap": ["name": "y"]], "configmap \"y\" not found"), (["secret": ["secretName": "y"]], "secret \"y\" not found"),
      (["configMap": ["name": "c", "items": [["key": "k", "path": "p"]]]], "configmap references non-existent config key: k"),
      (["secret": ["secretName": "s", "items": [["key": "k", "path": "p"]]]], "references non-existent secret key: k"),
      (["configMap": ["name": "c", "items": [["key": "a", "path": "../out"]]]], "invalid path: ../out"),
      (["configMap": ["name": "c", "items": [["key": "a", "path": "/abs"]]]], "invalid path: /abs"),
      (["nfs": ["server": "s"]], "volumes of type nfs are not supported on this node"),
      (["downwardAPI": ["items": [["path": "x", "fieldRef": ["fieldPath": "spec.secret"]]]]], "unsupported fieldPath: spec.secret"),
    ]
    for (source, expected) in table {
      var volume = source
      volume["name"] = "x"
      let told = await message { try await node.manager.prepare(makePod(volumes: [volume])) }
      #expect(told == "MountVolume.SetUp failed for volume \"x\" : \(expected)")
    }
    // A volume that nobody mounts is nobody's trouble.
    try await node.manager.prepare(makePod(volumes: [["name": "x", "configMap": ["name": "y"]]], mounts: []))
  }

  @Test func changesArriveAtomicallyAndRemovedKeysGo() async throws {
    let node = VolumeNode()
    node.objects.set(.configMap, "c", ["data": ["a": "1", "gone": "x"]])
    let pod = makePod(volumes: [["name": "v", "configMap": ["name": "c"]]])
    try await node.manager.prepare(pod)
    let path = node.volume("configmap", "v")
    let before = try #require(readLink(path + "/..data"))
    // A reader that has the old directory keeps the old files' names; the link itself changes in one step.
    node.objects.set(.configMap, "c", ["data": ["a": "2", "new": "y"]])
    #expect(await eventually { HostFiles.read(path + "/a") == "2" })
    #expect(HostFiles.read(path + "/new") == "y")
    #expect(HostFiles.read(path + "/gone") == nil)
    #expect(readLink(path + "/..data") != before)
    #expect(readLink(path + "/a") == "..data/a")
    #expect(await eventually { AtomicWriter.names(path).count == 4 })
    // The same again changes nothing.
    let stays = readLink(path + "/..data")
    try await node.manager.prepare(pod)
    #expect(readLink(path + "/..data") == stays)
    // Deleted: what the pod has, it keeps.
    node.objects.set(.configMap, "c", nil)
    try await Task.sleep(for: .milliseconds(30))
    #expect(HostFiles.read(path + "/a") == "2")
    try await node.manager.teardown(podUID: "uid-1")
    #expect(access(node.path + "/pods/uid-1", F_OK) != 0)
    try await node.manager.teardown(podUID: "uid-1")
  }

  @Test func aWriteThatDiedHalfWayIsClearedAway() throws {
    let node = VolumeNode()
    let path = node.path + "/w"
    try HostFiles.makeDirectories(path + "/..2020_half", 0o755)
    try HostFiles.write("half", to: path + "/..2020_half/a")
    #expect(symlink("nowhere", path + "/..data_tmp") == 0)
    try AtomicWriter(directory: path, group: nil).write([VolumeFile(path: "a", bytes: [0x31], mode: 0o644)], stamp: "now")
    #expect(AtomicWriter.names(path).sorted() == ["..data", "..now", "a"])
    #expect(HostFiles.read(path + "/a") == "1")
  }

  @Test func projectedTokenNamespaceAndDownwardFiles() async throws {
    let node = VolumeNode()
    node.objects.set(.configMap, "kube-root-ca.crt", ["data": ["ca.crt": "PEM"]])
    let pod = makePod(
      volumes: [
        [
          "name": "p",
          "projected": [
            "sources": [
              ["serviceAccountToken": ["path": "token", "expirationSeconds": 1_000, "audience": "aud"]],
              ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
              ["downwardAPI": ["items": [["path": "namespace", "fieldRef": ["fieldPath": "metadata.namespace"]]]]],
            ]
          ],
        ],
        [
          "name": "d",
          "downwardAPI": [
            "items": [
              ["path": "labels", "fieldRef": ["fieldPath": "metadata.labels"]],
              ["path": "cpu", "resourceFieldRef": ["containerName": "app", "resource": "limits.cpu", "divisor": "1m"]],
            ]
          ],
        ],
      ], spec: ["serviceAccountName": "robot", "securityContext": ["fsGroup": 4_321]])
    try await node.manager.prepare(pod)
    let path = node.volume("projected", "p")
    #expect(HostFiles.read(path + "/token") == "robot aud 1")
    #expect(HostFiles.read(path + "/ca.crt") == "PEM")
    #expect(HostFiles.read(path + "/namespace") == "ns")
    // The group may read, others may not.
    #expect(mode(path + "/token") == 0o640)
    #expect(group(path + "/token") == 4_321)
    let downward = node.volume("downward-api", "d")
    #expect(HostFiles.read(downward + "/labels") == "a=\"one \\\"1\\\"\"\nb=\"2\"")

    // The token is renewed at 80 % of its life; when that fails the old one stays.
    #expect(await eventually { node.clock.sleeperCount == 1 })
    node.objects.failTokens(true)
    node.clock.advance(801)
    #expect(await eventually { node.clock.sleeperCount == 1 })
    #expect(HostFiles.read(path + "/token") == "robot aud 1")
    node.objects.failTokens(false)
    node.clock.advance(31)
    #expect(
      await eventually {
        node.clock.advance(1)
        return HostFiles.read(path + "/token") == "robot aud 2"
      })

    var changed = pod
    changed.json["metadata"]["labels"] = ["c": "3"]
    await node.manager.update(changed)
    #expect(HostFiles.read(downward + "/labels") == "c=\"3\"")
    try await node.manager.teardown(podUID: "uid-1")
    node.clock.advance(10_000)
  }

  @Test func emptyDirBelongsToItsGroupAndKeepsItsContent() async throws {
    let node = VolumeNode()
    let pod = makePod(volumes: [["name": "e", "emptyDir": [:]]], spec: ["securityContext": ["fsGroup": 777]])
    try await node.manager.prepare(pod)
    let path = node.volume("empty-dir", "e")
    #expect(mode(path) == 0o2777)
    #expect(group(path) == 777)
    try HostFiles.write("data", to: path + "/f", mode: 0o600)
    try await node.manager.prepare(pod)
    #expect(HostFiles.read(path + "/f") == "data")
    #expect(mode(path + "/f") == 0o600)
  }

  @Test(.enabled(if: getuid() == 0)) func memoryEmptyDirIsATmpfsThatLeavesWithThePod() async throws {
    let node = VolumeNode()
    let pod = makePod(volumes: [["name": "m", "emptyDir": ["medium": "Memory", "sizeLimit": "1Mi"]]])
    try await node.manager.prepare(pod)
    try await node.manager.prepare(pod)
    let path = node.volume("empty-dir", "m")
    let lines = (HostFiles.read("/proc/self/mounts") ?? "").split(separator: "\n").filter { $0.contains(node.path) }
    #expect(lines.count == 1)
    #expect(lines.first?.contains("size=1024k") == true)
    #expect(mode(path) == 0o777)
    try HostFiles.write(String(repeating: "x", count: 100_000), to: path + "/f")
    let full = await message { try HostFiles.write(String(repeating: "x", count: 2 << 20), to: path + "/g") }
    #expect(full.contains("No space left"))
    try await node.manager.teardown(podUID: "uid-1")
    #expect(HostFiles.read("/proc/self/mounts")?.contains(node.path) == false)
    #expect(access(path, F_OK) != 0)
  }

  @Test func hostPathTypesAgainstWhatIsThere() {
    typealias H = HostPathVolume
    #expect(H.decide("", "/p", .nothing) == .makeDirectory)
    #expect(H.decide("", "/p", .socket) == .use)
    #expect(H.decide("DirectoryOrCreate", "/p", .nothing) == .makeDirectory)
    #expect(H.decide("FileOrCreate", "/p", .nothing) == .makeFile)
    let refusals: [(String, H.Found, String)] = [
      ("Directory", .nothing, "a directory"), ("Directory", .file, "a directory"), ("DirectoryOrCreate", .file, "a directory"),
      ("File", .directory, "a file"), ("FileOrCreate", .directory, "a file"), ("Socket", .file, "a socket file"),
      ("CharDevice", .blockDevice, "a character device"), ("BlockDevice", .nothing, "a block device"),
    ]
    for (type, found, what) in refusals {
      #expect(H.decide(type, "/p", found) == .refuse("hostPath type check failed: /p is not \(what)"))
    }
    #expect(H.find("/dev/null") == .characterDevice)
    #expect(H.find("/etc/passwd") == .file)
    #expect(H.find("/nonexistent") == .nothing)
  }
}

func readLink(_ path: String) -> String? {
  var buffer = [UInt8](repeating: 0, count: 4_096)
  let count = buffer.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
  return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
}

@Suite struct SubPathTests {
  private func mounts(_ node: VolumeNode, _ mount: JSON, environment: [String] = []) async throws -> ContainerMount {
    let pod = makePod(volumes: [["name": "e", "emptyDir": [:]]], mounts: [mount])
    try await node.manager.prepare(pod)
    return try await node.manager.mounts(of: pod.spec.containers[0], in: pod, podIPs: [], environment: environment, images: [:])[0]
  }

  @Test func isMadeBelowTheVolumeAndFollowsLinksInsideOnly() async throws {
    let node = VolumeNode()
    let mount = try await mounts(
      node, ["name": "e", "mountPath": "/x", "subPathExpr": "$(POD)/logs"], environment: ["POD=web-0"])
    let volume = node.volume("empty-dir", "e")
    #expect(HostPathVolume.find(volume + "/web-0/logs") == .directory)
    #expect(mode(volume + "/web-0") == 0o777)
    guard case .bind(let source, false, _) = mount.source else { return #expect(Bool(false)) }
    #expect(readLink(source.string) == volume + "/web-0/logs")

    #expect(symlink("web-0", volume + "/inside") == 0)
    guard case .bind(let linked, _, _) = try await mounts(node, ["name": "e", "mountPath": "/x", "subPath": "inside/logs"]).source
    else { return #expect(Bool(false)) }
    #expect(readLink(linked.string) == volume + "/web-0/logs")

    try HostFiles.write("x", to: volume + "/file")
    #expect(try await mounts(node, ["name": "e", "mountPath": "/x", "subPath": "file"]).isDirectory == false)
  }

  @Test func neverLeadsOut() async throws {
    let node = VolumeNode()
    _ = try await mounts(node, ["name": "e", "mountPath": "/x"])
    let volume = node.volume("empty-dir", "e")
    for (name, target) in [("abs", "/etc"), ("up", "../../.."), ("proc", "/proc/self/root")] {
      #expect(symlink(target, "\(volume)/\(name)") == 0)
      for path in [name, name + "/made-here"] {
        let told = await message { _ = try await mounts(node, ["name": "e", "mountPath": "/x", "subPath": .string(path)]) }
        #expect(told.contains("it leads out of the volume"), "\(path): \(told)")
      }
    }
    #expect(access("/etc/made-here", F_OK) != 0)
    #expect(
      await message { _ = try await mounts(node, ["name": "e", "mountPath": "/x", "subPath": "/etc"]) }
        .contains("must not be an absolute path"))
    #expect(
      await message { _ = try await mounts(node, ["name": "e", "mountPath": "/x", "subPath": "a/../../b"]) }
        .contains("must not contain '..'"))
    #expect(
      await message { _ = try await mounts(node, ["name": "e", "mountPath": "/x", "subPathExpr": "$(NO)/b"]) }
        == "missing value for \"NO\"")
  }
}
