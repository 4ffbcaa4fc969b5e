import ContainerRuntime
import JSONCodec
import KubernetesAPI
import SystemPackage
import Testing

@testable import Kubelet

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct ClaimTests {
  private func put(_ node: VolumeNode, claim: JSON = [:], volume: JSON, name: String = "data") {
    var bound: JSON = [
      "metadata": ["name": .string(name), "namespace": "ns", "uid": "claim-1"],
      "spec": ["volumeName": "pv-1", "accessModes": ["ReadWriteOnce"]], "status": ["phase": "Bound"],
    ]
    for (key, value) in claim.object! { bound[key] = value }
    node.objects.set(.claim, name, bound)
    var spec = volume
    if spec["claimRef"].isNull { spec["claimRef"] = ["uid": "claim-1"] }
    node.objects.set(.volume, "pv-1", ["metadata": ["name": "pv-1"], "spec": spec], namespace: "")
  }

  private func pod(_ source: JSON = ["persistentVolumeClaim": ["claimName": "data"]], mounts: [JSON]? = nil) -> Pod {
    var volume = source
    volume["name"] = "v"
    return makePod(volumes: [volume], mounts: mounts)
  }

  private func mount(_ node: VolumeNode, _ pod: Pod) async throws -> (path: String, readOnly: Bool) {
    try await node.manager.prepare(pod)
    let mounts = try await node.manager.mounts(of: pod.spec.containers[0], in: pod, podIPs: [], environment: [], images: [:])
    guard case .bind(let path, let readOnly, _) = mounts[0].source else { return ("", false) }
    return (path.string, readOnly)
  }

  @Test func hostPathAndLocalVolumes() async throws {
    let node = VolumeNode()
    let path = node.path + "/store"
    put(node, volume: ["hostPath": ["path": .string(path), "type": "DirectoryOrCreate"]])
    #expect(try await mount(node, pod()) == (path, false))
    put(node, volume: ["local": ["path": .string(path)]])
    #expect(try await mount(node, pod(["persistentVolumeClaim": ["claimName": "data", "readOnly": true]])) == (path, true))
    put(node, volume: ["local": ["path": .string(path + "/missing")]])
    let told = await message { try await node.manager.prepare(pod()) }
    #expect(told == "MountVolume.SetUp failed for volume \"pv-1\" : path \"\(path)/missing\" does not exist")
    // What is in the volume is the cluster's, not the pod's.
    try await node.manager.teardown(podUID: "uid-1")
    #expect(HostPathVolume.find(path) == .directory)
  }

  @Test func aSubPathLiesInTheVolume() async throws {
    let node = VolumeNode()
    let path = node.path + "/store"
    put(node, volume: ["hostPath": ["path": .string(path), "type": "DirectoryOrCreate"]])
    let found = try await mount(node, pod(mounts: [["name": "v", "mountPath": "/x", "subPath": "a/b", "readOnly": true]]))
    #expect(found.readOnly && found.path.hasPrefix("/proc/self/fd/"))
    #expect(HostPathVolume.find(path + "/a/b") == .directory)
  }

  @Test func claimsThatCannotBeUsed() async throws {
    let table: [(claim: JSON, volume: JSON, expected: String)] = [
      (["status": ["phase": "Pending"]], [:], "error processing PVC ns/data: PVC is not bound"),
      (
        ["metadata": ["uid": "claim-1", "deletionTimestamp": "2026-01-01T00:00:00Z"]], [:],
        "error processing PVC ns/data: PVC is being deleted"
      ),
      (
        [:], ["claimRef": ["uid": "other"]],
        "found PV object \"pv-1\" with a pv.Spec.ClaimRef.UID \"other\" that does not point to claim"
      ),
      (
        [:], ["nfs": ["server": "s", "path": "/"]],
        "volume \"pv-1\": persistent volumes of type nfs are not supported on this node, only hostPath and local"
      ),
      ([:], ["local": ["path": "/x"], "volumeMode": "Block"], "volume \"pv-1\" has volumeMode Block, which this node does not support"),
      (
        [:],
        [
          "local": ["path": "/x"],
          "nodeAffinity": [
            "required": ["nodeSelectorTerms": [["matchExpressions": [["key": "zone", "operator": "In", "values": ["b"]]]]]]
          ],
        ],
        "MountVolume.NodeAffinity check failed for volume \"pv-1\" : no matching NodeSelectorTerms"
      ),
    ]
    for row in table {
      let node = VolumeNode()
      put(node, claim: row.claim, volume: row.volume)
      let told = await message { try await node.manager.prepare(pod()) }
      #expect(
        told
          == "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: \(row.expected)"
      )
    }
    let none = await message { try await VolumeNode().manager.prepare(pod()) }
    #expect(none.hasSuffix("failed to fetch PVC from API server: persistentvolumeclaims \"data\" not found"))
  }

  @Test func anEphemeralVolumesClaimBelongsToThePod() async throws {
    let node = VolumeNode()
    let path = node.path + "/store"
    let ephemeral: JSON = ["ephemeral": ["volumeClaimTemplate": ["spec": [:]]]]
    let metadata: JSON = ["name": "web-0-v", "namespace": "ns", "uid": "claim-1"]
    put(node, claim: ["metadata": metadata], volume: ["hostPath": ["path": .string(path)]], name: "web-0-v")
    let told = await message { try await node.manager.prepare(pod(ephemeral)) }
    #expect(told.hasSuffix("PVC ns/web-0-v was not created for pod ns/web-0 (pod is not owner)"))
    var owned = metadata
    owned["ownerReferences"] = [["kind": "Pod", "name": "web-0", "uid": "uid-1", "controller": true]]
    put(node, claim: ["metadata": owned], volume: ["hostPath": ["path": .string(path)]], name: "web-0-v")
    #expect(try await mount(node, pod(ephemeral)).path == path)
  }

  @Test func aClaimOfOnePodIsNotGivenToASecond() async throws {
    let node = VolumeNode()
    let spec: JSON = ["volumeName": "pv-1", "accessModes": ["ReadWriteOncePod"]]
    put(node, claim: ["spec": spec], volume: ["hostPath": ["path": .string(node.path + "/store")]])
    // put() sets the claim's metadata; `spec` replaces the modes.
    _ = try await mount(node, pod())
    var second = pod()
    second.json["metadata"]["uid"] = "uid-2"
    let waiting = second
    let told = await message { try await node.manager.prepare(waiting) }
    #expect(told.hasSuffix("volume uses the ReadWriteOncePod access mode and is already in use by another pod"))
    try await node.manager.teardown(podUID: "uid-1")
    try await node.manager.prepare(waiting)
    try await node.manager.teardown(podUID: "uid-2")
  }
}

@Suite struct ImageVolumeTests {
  @Test(.enabled(if: getuid() == 0)) func layersLieOverEachOtherAndCannotBeWritten() async throws {
    let node = VolumeNode()
    for (layer, file) in [("one", "a"), ("one", "dir/b"), ("two", "dir/c")] {
      try HostFiles.makeDirectories("\(node.path)/\(layer)/dir", 0o755)
      try HostFiles.write(layer, to: "\(node.path)/\(layer)/\(file)")
    }
    let pod = makePod(
      volumes: [["name": "v", "image": ["reference": "quay.io/x:1"]], ["name": "w", "image": ["reference": "quay.io/y:1"]]],
      mounts: [["name": "v", "mountPath": "/x"], ["name": "w", "mountPath": "/y", "subPath": "dir"]])
    try await node.manager.prepare(pod)
    let images = [
      "v": [FilePath(node.path + "/one"), FilePath(node.path + "/two")], "w": [FilePath(node.path + "/one")],
    ]
    let missing = await message {
      _ = try await node.manager.mounts(of: pod.spec.containers[0], in: pod, podIPs: [], environment: [], images: [:])
    }
    #expect(missing == "the image of volume \"v\" is not here")
    let mounts = try await node.manager.mounts(of: pod.spec.containers[0], in: pod, podIPs: [], environment: [], images: images)
    guard case .bind(let first, let readOnly, _) = mounts[0].source, case .bind(let second, true, _) = mounts[1].source else {
      Issue.record("not bind mounts for reading only: \(mounts)")
      return
    }
    #expect(readOnly)
    #expect(HostFiles.read(first.string + "/a") == "one")
    #expect(HostFiles.read(first.string + "/dir/b") == "one")
    #expect(HostFiles.read(first.string + "/dir/c") == "two")
    #expect(HostFiles.read(second.string + "/b") == "one")
    for path in [first.string, node.volume("image", "w")] {
      #expect(open(path + "/new", O_WRONLY | O_CREAT, 0o644) == -1 && errno == EROFS)
    }
    try await node.manager.teardown(podUID: "uid-1")
    #expect(HostPathVolume.find(node.path + "/pods/uid-1") == .nothing)
    #expect(HostFiles.read(node.path + "/one/a") == "one")
  }
}
