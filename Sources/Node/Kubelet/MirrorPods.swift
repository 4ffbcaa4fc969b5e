import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import PodLifecycle
import Synchronization

/// The API's images of static pods: for people to see, with the static pods' status written into them. One that is
/// missing or out of date is made anew.
final class MirrorPods: Sendable {
  /// Pauses between attempts to write one.
  static let retry = RetryBackoff(first: 0.5, most: 30)

  private struct State {
    var manifests: [String: Pod] = [:]
    /// By the manifest's UID (the mirror's annotation).
    var mirrors: [String: Pod] = [:]
    var creating: Set<String> = []
    var hasSynced = false
  }

  private let client: KubernetesClient
  private let nodeName: String
  private let log: Logger
  private let state = Mutex(State())

  init(client: KubernetesClient, nodeName: String, log: Logger) {
    self.client = client
    self.nodeName = nodeName
    self.log = log
  }

  private static func hash(_ mirror: Pod) -> String { mirror.metadata.annotations[StaticPods.mirrorAnnotation].string ?? "" }

  /// The manifests that are there now.
  func set(manifests: [Pod], _ pods: PodDirectory) async {
    state.withLock { $0.manifests = Dictionary(manifests.map { ($0.uid, $0) }) { first, _ in first } }
    await reconcile(pods)
  }

  /// Every mirror pod of this node, after a list.
  func sync(_ mirrors: [Pod], _ pods: PodDirectory) async {
    state.withLock { state in
      state.hasSynced = true
      state.mirrors = Dictionary(mirrors.map { (Self.hash($0), $0) }) { first, _ in first }
    }
    await reconcile(pods)
  }

  func changed(_ mirror: Pod, _ pods: PodDirectory) async {
    state.withLock { $0.mirrors[Self.hash(mirror)] = mirror }
    await reconcile(pods)
  }

  func deleted(_ mirror: Pod, _ pods: PodDirectory) async {
    state.withLock { $0.mirrors[Self.hash(mirror)] = nil }
    await reconcile(pods)
  }

  /// The manifest with this UID, where it is there now.
  func manifest(_ uid: String) -> Pod? { state.withLock { $0.manifests[uid] } }

  /// Gives workers their mirrors, deletes what mirrors nothing, makes what is missing.
  func reconcile(_ pods: PodDirectory) async {
    let (mirrors, manifests, hasSynced) = state.withLock { ($0.mirrors, $0.manifests, $0.hasSynced) }
    for (hash, mirror) in mirrors {
      if let worker = pods.worker(hash) { await worker.set(mirror: mirror) }
      let isWanted = manifests[hash] != nil && mirror.metadata.deletionTimestamp == nil
      if !isWanted && pods.worker(hash) == nil || mirror.metadata.deletionTimestamp != nil { await remove(mirror) }
    }
    for (hash, _) in manifests where mirrors[hash] == nil { await pods.worker(hash)?.set(mirror: nil) }
    guard hasSynced else { return }
    for (hash, manifest) in manifests where mirrors[hash] == nil { create(manifest, hash, pods) }
  }

  private func remove(_ mirror: Pod) async {
    do {
      _ = try await client.delete(.pods(mirror.namespace), name: mirror.name, gracePeriodSeconds: 0, uid: mirror.uid)
    } catch {
      log.debug("mirror pod \(mirror.namespace)/\(mirror.name) was not deleted: \(error)")
    }
  }

  private func create(_ manifest: Pod, _ hash: String, _ pods: PodDirectory) {
    guard state.withLock({ $0.creating.insert(hash).inserted }) else { return }
    Task {
      var backoff = Self.retry
      while state.withLock({ $0.manifests[hash] != nil && $0.mirrors[hash] == nil }) {
        do {
          let node = try await client.get(.nodes, name: nodeName)
          let created = try await client.create(.pods(manifest.namespace), mirror(of: manifest, hash, node))
          state.withLock { $0.mirrors[hash] = Pod(created) }
          await pods.worker(hash)?.set(mirror: Pod(created))
          break
        } catch let error as APIStatusError where error.isAlreadyExists {
          await removeNamesake(of: manifest, hash)
        } catch {
          log.debug("mirror pod \(manifest.namespace)/\(manifest.name) was not created: \(error)")
        }
        let pause = backoff.failed(at: .now).seconds(since: .now)
        try? await Task.sleep(for: .milliseconds(Int(pause * 1000)))
      }
      state.withLock { _ = $0.creating.remove(hash) }
    }
  }

  /// A mirror of an earlier manifest stands in the way.
  private func removeNamesake(of manifest: Pod, _ hash: String) async {
    guard let existing = try? await client.get(.pods(manifest.namespace), name: manifest.name) else { return }
    let pod = Pod(existing)
    if pod.isMirror, Self.hash(pod) != hash { await remove(pod) }
  }

  private func mirror(of manifest: Pod, _ hash: String, _ node: JSON) -> JSON {
    var json = manifest.json
    json["metadata"]["uid"] = .null
    json["metadata"]["annotations"][StaticPods.mirrorAnnotation] = .string(hash)
    json["metadata"]["ownerReferences"] = [
      ["apiVersion": "v1", "kind": "Node", "name": .string(nodeName), "uid": node["metadata"]["uid"], "controller": true]
    ]
    json["status"] = .null
    return json
  }
}

extension PodWorker {
  /// The object that carries a static pod's status from now on.
  func set(mirror newer: Pod?) {
    guard isStatic else { return }
    let old = mirror.flatMap { Int64($0.metadata.resourceVersion) } ?? -1
    if let newer, newer.uid == mirror?.uid, let version = Int64(newer.metadata.resourceVersion), version < old { return }
    mirror = newer
    reconcile()
  }
}
