import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The directories of this node that are persistent volumes: a claim's first mount makes one, and an annotation of the Node asks to take
/// one away (see LocalPathReconciler: a node may write nothing but what is its own).
package struct LocalVolumes: Sendable {
  static let rootAnnotation = "swiftlet.io/local-path-root"
  static let removalPrefix = "remove.volumes.swiftlet.io/"
  /// Seconds until a directory that could not be removed is tried again.
  static let retrySeconds = 30.0

  let root: FilePath

  init(dataDirectory: FilePath) { root = dataDirectory.appending("local-volumes") }

  /// Whether a volume's path is a directory that belongs here: one step below the root.
  func owns(_ path: String) -> Bool {
    let path = FilePath(path)
    guard path.removingLastComponent() == root, let name = path.lastComponent, path.components.allSatisfy({ $0.kind == .regular }) else {
      return false
    }
    return Self.isName(name.string)
  }

  /// The names that the provisioner gives.
  static func isName(_ name: String) -> Bool {
    name.hasPrefix("pvc-") && name.utf8.count <= 253 && name.utf8.allSatisfy { $0 &- 0x30 < 10 || $0 &- 0x61 < 26 || $0 == 0x2D }
  }

  /// Makes a volume's directory, which every user may write to.
  func make(_ path: String) throws {
    try HostFiles.makeDirectories(root.string, 0o711)
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw VolumeIOError("mkdir", path, errno) }
    guard chmod(path, 0o777) == 0 else { throw VolumeIOError("chmod", path, errno) }
  }

  /// The names of the volumes whose directories the Node asks to remove.
  static func asked(_ node: JSON) -> [String] {
    (node["metadata"]["annotations"].object ?? JSONObject()).compactMap { key, _ in
      key.hasPrefix(removalPrefix) ? String(key.dropFirst(removalPrefix.count)) : nil
    }.filter(isName)
  }

  /// Removes what the node is asked to remove, until the task is cancelled.
  func run(_ client: KubernetesClient, node name: String, clock: KubeletClock, log: Logger) async {
    for await event in client.reflect(.nodes, fieldSelector: "metadata.name=\(name)", log: log) {
      let node: JSON
      switch event {
      case .synced(let nodes): node = nodes.first ?? .null
      case .changed(let changed): node = changed
      case .deleted: continue
      }
      for volume in Self.asked(node) { await remove(volume, client, name, clock, log) }
    }
  }

  private func remove(_ volume: String, _ client: KubernetesClient, _ node: String, _ clock: KubeletClock, _ log: Logger) async {
    let path = root.appending(volume)
    removeTree(path)
    guard access(path.string, F_OK) != 0 else {
      log.warning("the directory of volume \(volume), \(path), could not be removed whole; it is tried again at the node's next change")
      return
    }
    while !Task.isCancelled {
      do {
        let gone = JSON.object(JSONObject([(Self.removalPrefix + volume, .null)]))
        try await client.patch(.nodes, name: node, type: .merge, ["metadata": ["annotations": gone]])
        log.info("removed the directory of volume \(volume)")
        return
      } catch let error as APIStatusError where error.isNotFound {
        return
      } catch {
        log.debug("node \(node) still asks to remove volume \(volume): \(error)")
        guard (try? await clock.sleep(clock.now().advanced(bySeconds: Self.retrySeconds))) != nil else { return }
      }
    }
  }
}
