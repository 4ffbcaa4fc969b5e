import JSONCodec
import KubernetesAPI

extension Defaulting {
  static let podRules: [String: Rule] = [
    "core/v1.Pod": { pod(&$0) },
    "core/v1.PodSpec": { podSpec(&$0) },
    "core/v1.Container": { container(&$0) },
    "core/v1.EphemeralContainer": { container(&$0) },
    "core/v1.Volume": { volume(&$0) },
    "core/v1.ImageVolumeSource": { source in
      if source["pullPolicy"].isEmpty { source["pullPolicy"] = pullPolicy(of: source["reference"].string ?? "") }
    },
  ]

  /// `Always` for an image without tag and digest or with the tag `latest`.
  private static func pullPolicy(of image: String) -> JSON {
    let parts = image.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let name = parts[0]
    let afterSlash = name.lastIndex(of: "/").map { name[name.index(after: $0)...] } ?? name
    let tag = afterSlash.lastIndex(of: ":").map { afterSlash[afterSlash.index(after: $0)...] }
    if let tag { return tag == "latest" ? "Always" : "IfNotPresent" }
    return parts.count > 1 ? "IfNotPresent" : "Always"
  }

  private static func container(_ container: inout JSON) {
    if container["imagePullPolicy"].isEmpty { container["imagePullPolicy"] = pullPolicy(of: container["image"].string ?? "") }
  }

  /// A volume that names no source is an empty directory.
  private static func volume(_ volume: inout JSON) {
    guard let object = volume.object, !object.keys.contains(where: { $0 != "name" }) else { return }
    volume["emptyDir"] = .object(JSONObject())
  }

  /// Also in the templates of workloads.
  private static func podSpec(_ spec: inout JSON) {
    if spec["serviceAccountName"].isEmpty { spec["serviceAccountName"] = spec["serviceAccount"] }
    spec["serviceAccount"] = spec["serviceAccountName"]
  }

  /// Pods only: a template keeps these open until a pod is made of it.
  private static func pod(_ pod: inout JSON) {
    pod["spec"].fill("enableServiceLinks", true)
    let usesHostNetwork = pod["spec"]["hostNetwork"].bool == true
    for list in ["containers", "initContainers"] where !pod["spec"][list].isNull {
      pod["spec"][list].forEachItem { container in
        requestsFromLimits(&container)
        guard usesHostNetwork, !container["ports"].isNull else { return }
        container["ports"].forEachItem { port in
          if (port["hostPort"].int ?? 0) == 0 { port["hostPort"] = port["containerPort"] }
        }
      }
    }
    podLevelResources(&pod["spec"])
  }

  private static func requestsFromLimits(_ container: inout JSON) {
    guard let limits = container["resources"]["limits"].object else { return }
    for (name, limit) in limits { container["resources"]["requests"].fill(name, limit) }
  }

  /// The sum of a resource over the containers, or what one init container needs alone.
  private static func total(_ spec: JSON, _ kind: String, _ name: String) -> Quantity? {
    func amounts(_ list: String) -> [Quantity] {
      spec[list].items.compactMap { $0["resources"][kind][name].string.flatMap { Quantity($0) } }
    }
    let running = amounts("containers")
    guard let first = running.first else { return amounts("initContainers").max() }
    let sum = running.dropFirst().reduce(first, +)
    return max(sum, amounts("initContainers").max() ?? sum)
  }

  private static func podLevelResources(_ spec: inout JSON) {
    guard spec["resources"].object != nil else { return }
    var names: [String] = []
    for container in spec["containers"].items + spec["initContainers"].items {
      for kind in ["limits", "requests"] { names += (container["resources"][kind].object ?? JSONObject()).keys }
    }
    for name in names where name.hasPrefix("hugepages-") && spec["resources"]["requests"][name].isNull {
      if let sum = total(spec, "limits", name) { spec["resources"]["limits"].fill(name, .string(sum.text)) }
    }
    guard let limits = spec["resources"]["limits"].object, !limits.isEmpty else { return }
    for name in Set(names).union(limits.keys).sorted() where spec["resources"]["requests"][name].isNull {
      let isHugePages = name.hasPrefix("hugepages-")
      guard isHugePages || name == "cpu" || name == "memory" else { continue }
      if !isHugePages, let sum = total(spec, "requests", name) {
        spec["resources"]["requests"][name] = .string(sum.text)
      } else if let limit = limits[name] {
        spec["resources"]["requests"][name] = limit
      }
    }
  }
}
