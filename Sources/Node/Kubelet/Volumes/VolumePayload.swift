import JSONCodec
import KubernetesAPI

/// A file of a volume whose content comes from the API.
package struct VolumeFile: Sendable, Equatable {
  /// Relative, without `..`.
  package var path: String
  package var bytes: [UInt8]
  /// Permission bits.
  package var mode: UInt32
  /// Its owner; nil: root.
  package var uid: UInt32?
}

/// From a volume's source to its files: configMap, secret, downwardAPI and projected volumes.
struct VolumePayload {
  static let defaultMode: UInt32 = 0o644
  static let tokenSecondsDefault = 3_600

  let pod: Pod
  let objects: any ObjectSource
  let facts: DownwardAPI
  /// Gives a token, from a cache where it is still good.
  let token: @Sendable (TokenSpec) async throws -> ServiceAccountToken

  /// The objects a volume follows.
  static func references(_ volume: JSON) -> [(kind: ObjectKind, name: String)] {
    var result: [(kind: ObjectKind, name: String)] = []
    if let name = volume["configMap"]["name"].string { result.append((.configMap, name)) }
    if let name = volume["secret"]["secretName"].string { result.append((.secret, name)) }
    for source in volume["projected"]["sources"].array ?? [] {
      if let name = source["configMap"]["name"].string { result.append((.configMap, name)) }
      if let name = source["secret"]["name"].string { result.append((.secret, name)) }
    }
    return result
  }

  /// Nil: the volume is of another kind.
  func files(of volume: JSON) async throws -> [VolumeFile]? {
    let name = volume["name"].string ?? ""
    do {
      for (kind, key, nameKey) in [(ObjectKind.configMap, "configMap", "name"), (.secret, "secret", "secretName")] {
        let source = volume[key]
        guard !source.isNull else { continue }
        return try checked(await object(kind, source, source[nameKey].string ?? "", mode(source)))
      }
      if !volume["downwardAPI"].isNull { return try checked(downward(volume["downwardAPI"], mode(volume["downwardAPI"]))) }
      guard !volume["projected"].isNull else { return nil }
      let projected = volume["projected"]
      var files: [String: VolumeFile] = [:]
      for source in projected["sources"].array ?? [] {
        for file in try await self.projected(source, mode(projected)) { files[file.path] = file }
      }
      return try checked(Array(files.values))
    } catch let error as VolumeError {
      throw error
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      throw VolumeError(volume: name, "\(error)")
    }
  }

  private func mode(_ source: JSON) -> UInt32 { source["defaultMode"].int.map { UInt32($0 & 0o777) } ?? Self.defaultMode }

  private func checked(_ files: [VolumeFile]) throws -> [VolumeFile] {
    for file in files {
      let parts = file.path.split(separator: "/", omittingEmptySubsequences: false)
      if file.path.isEmpty || file.path.utf8.count > 4_096 || parts.first == "" || parts.contains("..")
        || file.path.hasPrefix("..")
      {
        throw ContainerConfigError("invalid path: \(file.path)")
      }
    }
    return files.sorted { $0.path < $1.path }
  }

  private func projected(_ source: JSON, _ mode: UInt32) async throws -> [VolumeFile] {
    if let name = source["configMap"]["name"].string { return try await object(.configMap, source["configMap"], name, mode) }
    if let name = source["secret"]["name"].string { return try await object(.secret, source["secret"], name, mode) }
    if !source["downwardAPI"].isNull { return try downward(source["downwardAPI"], mode) }
    if !source["serviceAccountToken"].isNull { return [try await tokenFile(source["serviceAccountToken"], mode)] }
    if !source["clusterTrustBundle"].isNull {
      if source["clusterTrustBundle"]["optional"].bool ?? false { return [] }
      throw ContainerConfigError("this node does not project cluster trust bundles")
    }
    throw ContainerConfigError("a projected volume's source is of no kind that this node knows")
  }

  private func object(_ kind: ObjectKind, _ source: JSON, _ name: String, _ mode: UInt32) async throws -> [VolumeFile] {
    let isOptional = source["optional"].bool ?? false
    guard let object = try await objects.object(kind, pod.namespace, name) else {
      if isOptional { return [] }
      throw ContainerConfigError("\(kind.rawValue) \"\(name)\" not found")
    }
    let data = ObjectData.values(of: object, kind)
    guard let items = source["items"].array, !items.isEmpty else {
      return data.map { VolumeFile(path: $0.key, bytes: $0.value, mode: mode) }
    }
    var files: [VolumeFile] = []
    for item in items {
      let key = item["key"].string ?? ""
      guard let bytes = data[key] else {
        if isOptional { continue }
        throw ContainerConfigError(
          kind == .configMap ? "configmap references non-existent config key: \(key)" : "references non-existent secret key: \(key)")
      }
      files.append(
        VolumeFile(path: item["path"].string ?? "", bytes: bytes, mode: item["mode"].int.map { UInt32($0 & 0o777) } ?? mode))
    }
    return files
  }

  private func downward(_ source: JSON, _ mode: UInt32) throws(ContainerConfigError) -> [VolumeFile] {
    var files: [VolumeFile] = []
    for item in source["items"].array ?? [] {
      let text: String
      if let path = item["fieldRef"]["fieldPath"].string {
        text = try facts.field(path)
      } else {
        text = try facts.resource(item["resourceFieldRef"], container: nil)
      }
      let own = item["mode"].int.map { UInt32($0 & 0o777) }
      files.append(VolumeFile(path: item["path"].string ?? "", bytes: Array(text.utf8), mode: own ?? mode))
    }
    return files
  }

  private func tokenFile(_ source: JSON, _ mode: UInt32) async throws -> VolumeFile {
    let spec = TokenSpec(
      namespace: pod.namespace, serviceAccount: pod.spec.serviceAccountName.isEmpty ? "default" : pod.spec.serviceAccountName,
      audience: source["audience"].string ?? "",
      expirationSeconds: source["expirationSeconds"].int ?? Self.tokenSecondsDefault, podName: pod.name, podUID: pod.uid)
    let token: ServiceAccountToken
    do { token = try await self.token(spec) } catch is CancellationError { throw CancellationError() } catch {
      throw ContainerConfigError("failed to fetch token: \(error)")
    }
    var file = VolumeFile(path: source["path"].string ?? "", bytes: Array(token.token.utf8), mode: mode)
    file.uid = Self.commonUser(pod)
    // Where it is known who reads it, nobody else may.
    if file.uid != nil || pod.spec.securityContext["fsGroup"].int != nil { file.mode = 0o600 }
    return file
  }

  /// The user that all containers run as, where the pod says so for each.
  static func commonUser(_ pod: Pod) -> UInt32? {
    let shared = pod.spec.securityContext["runAsUser"].int
    let users = (pod.spec.initContainers + pod.spec.containers).map { $0.securityContext["runAsUser"].int ?? shared }
    guard let first = users.first, let user = first, users.allSatisfy({ $0 == user }) else { return nil }
    return UInt32(exactly: user)
  }
}
