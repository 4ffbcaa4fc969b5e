import JSONCodec
import KubernetesAPI
import LinuxKernel
import Logging
import PodLifecycle
import SystemPackage
import Yams

#if canImport(Glibc)
  import Glibc
#endif

/// Pods whose manifests lie in a directory: they run without an API server, and as long as their file is there.
struct StaticPods: Sendable {
  static let sourceAnnotation = "kubernetes.io/config.source"
  static let hashAnnotation = "kubernetes.io/config.hash"
  static let mirrorAnnotation = "kubernetes.io/config.mirror"
  /// The largest manifest, in bytes, and how many there may be.
  static let manifestBytesMax = 1 << 20
  static let manifestsMax = 500

  let directory: FilePath
  let nodeName: String
  let log: Logger

  /// All manifests now, and again after every change of the directory. Files that cannot be read are told and skipped.
  func changes() -> AsyncStream<[Pod]> {
    AsyncStream { continuation in
      let task = Task.detached {
        let (ticks, stop) = DirectoryWatch.changes(of: directory, log: log)
        continuation.yield(load())
        for await _ in ticks { continuation.yield(load()) }
        stop()
        continuation.finish()
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  func load() -> [Pod] {
    guard let stream = opendir(directory.string) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if !name.hasPrefix("."), name.hasSuffix(".yaml") || name.hasSuffix(".yml") || name.hasSuffix(".json") { names.append(name) }
    }
    var result: [Pod] = []
    for name in names.sorted().prefix(Self.manifestsMax) {
      let path = directory.appending(name)
      do {
        let pod = try Self.pod(manifest: ProcFile.text(path.string, bytesMax: Self.manifestBytesMax), nodeName: nodeName)
        if !result.contains(where: { $0.uid == pod.uid }) { result.append(pod) }
      } catch {
        log.error("manifest \(path) is no pod: \(error)")
      }
    }
    return result
  }

  /// The pod of a manifest: named after the node too, with a UID that is a hash of its content, and with the defaults an API
  /// server would have filled in.
  static func pod(manifest: String, nodeName: String) throws -> Pod {
    guard let root = try Yams.compose(yaml: manifest) else { throw ContainerConfigError("the file is empty") }
    var json = json(root)
    guard json["kind"].string == "Pod", json["apiVersion"].string == "v1" else {
      throw ContainerConfigError("it is not of kind Pod and apiVersion v1")
    }
    guard let name = json["metadata"]["name"].string, Names.isDNSSubdomain(name) else {
      throw ContainerConfigError("metadata.name is not a valid name")
    }
    guard json["spec"]["containers"].array?.isEmpty == false else { throw ContainerConfigError("spec.containers is empty") }
    let uses = ["serviceAccountName"].filter { !(json["spec"][$0].string ?? "").isEmpty }
    let volumes = (json["spec"]["volumes"].array ?? []).filter {
      !$0["secret"].isNull || !$0["configMap"].isNull || !$0["projected"].isNull
    }
    guard uses.isEmpty, volumes.isEmpty else {
      throw ContainerConfigError("a static pod may not use service accounts, secrets or config maps")
    }
    let hash = contentHash(nodeName + "\0" + json.text())
    json["metadata"]["name"] = .string("\(name)-\(nodeName)")
    if json["metadata"]["namespace"].isNull { json["metadata"]["namespace"] = "default" }
    json["metadata"]["uid"] = .string(hash)
    json["metadata"]["annotations"][sourceAnnotation] = "file"
    json["metadata"]["annotations"][hashAnnotation] = .string(hash)
    json["metadata"]["annotations"]["kubernetes.io/config.seen"] = .string(Timestamp.now.rfc3339Nano)
    json["spec"]["nodeName"] = .string(nodeName)
    setDefaults(&json["spec"])
    json["status"] = ["phase": "Pending"]
    return Pod(json)
  }

  private static func setDefaults(_ spec: inout JSON) {
    func fill(_ key: String, _ value: JSON) { if spec[key].isNull { spec[key] = value } }
    fill("restartPolicy", "Always")
    fill("terminationGracePeriodSeconds", 30)
    fill("dnsPolicy", "ClusterFirst")
    fill("schedulerName", "default-scheduler")
    fill("securityContext", .object(JSONObject()))
    fill("enableServiceLinks", true)
    fill("priorityClassName", "system-node-critical")
    if spec["priorityClassName"].string == "system-node-critical" { fill("priority", 2_000_001_000) }
    spec["tolerations"] = .array((spec["tolerations"].array ?? []) + [["operator": "Exists", "effect": "NoExecute"]])
    for list in ["containers", "initContainers"] {
      guard let containers = spec[list].array else { continue }
      spec[list] = .array(containers.map(withDefaults))
    }
  }

  private static func withDefaults(_ container: JSON) -> JSON {
    var container = container
    let image = container["image"].string ?? ""
    let last = image.split(separator: "/").last ?? ""
    let isLatest = !image.contains("@") && (!last.contains(":") || last.hasSuffix(":latest"))
    if container["imagePullPolicy"].isNull { container["imagePullPolicy"] = isLatest ? "Always" : "IfNotPresent" }
    if container["terminationMessagePath"].isNull { container["terminationMessagePath"] = "/dev/termination-log" }
    if container["terminationMessagePolicy"].isNull { container["terminationMessagePolicy"] = "File" }
    return container
  }

  /// 32 hexadecimal digits: FNV-1a with two starting values. Tells manifests apart; proves nothing.
  static func contentHash(_ text: String) -> String {
    func hash(_ start: UInt64) -> String {
      let value = text.utf8.reduce(start) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
      let digits = String(value, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }
    return hash(0xcbf2_9ce4_8422_2325) + hash(0x9ae1_6a3b_2f90_404f)
  }

  /// A YAML document as JSON: scalars by YAML's core rules, keys as text.
  static func json(_ node: Yams.Node) -> JSON {
    switch node {
    case .mapping(let mapping):
      var object = JSONObject()
      for (key, value) in mapping { object[key.string ?? ""] = json(value) }
      return .object(object)
    case .sequence(let items): return .array(items.map(json))
    case .scalar(let scalar):
      if scalar.style != .plain { return .string(scalar.string) }
      if node.null != nil { return .null }
      if let value = node.bool { return .bool(value) }
      if let value = node.int { return .int(Int64(value)) }
      if let value = node.float { return .double(value) }
      return .string(scalar.string)
    default: return .null
    }
  }
}
