import JSONCodec

/// Pods stay for a while on a node that is not ready or cannot be reached, unless they say otherwise.
enum DefaultTolerations {
  static let seconds = 300
  static let keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]

  static func mutate(_ pod: inout JSON, _ attributes: AdmissionAttributes) {
    guard attributes.creates("pods") || attributes.updates("pods") else { return }
    let given = pod["spec"]["tolerations"].array ?? []
    let missing = keys.filter { key in
      !given.contains { toleration in
        (toleration["key"].string == key || toleration["key"].isEmpty)
          && (toleration["effect"] == "NoExecute" || toleration["effect"].isEmpty)
      }
    }
    guard !missing.isEmpty else { return }
    let added = missing.map { key -> JSON in
      ["key": .string(key), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": JSON(seconds)]
    }
    pod["spec"]["tolerations"] = .array(given + added)
  }
}

/// Pods that ask for an extended resource tolerate the taint of its name, so that nodes which have it can be kept for them.
enum ExtendedResourceTolerations {
  static func mutate(_ pod: inout JSON, _ attributes: AdmissionAttributes) {
    guard attributes.creates("pods") || attributes.updates("pods") else { return }
    let containers = (pod["spec"]["containers"].array ?? []) + (pod["spec"]["initContainers"].array ?? [])
    let names = Set(containers.flatMap { ($0["resources"]["requests"].object ?? JSONObject()).keys }.filter(ResourceNames.isExtended))
    var tolerations = pod["spec"]["tolerations"].array ?? []
    for name in names.sorted() {
      let toleration: JSON = ["key": .string(name), "operator": "Exists", "effect": "NoSchedule"]
      if !tolerations.contains(toleration) { tolerations.append(toleration) }
    }
    if !names.isEmpty { pod["spec"]["tolerations"] = .array(tolerations) }
  }
}

/// Names of resources.
enum ResourceNames {
  /// Without a domain, or of Kubernetes' own.
  static func isNative(_ name: String) -> Bool { !name.contains("/") || name.contains("kubernetes.io/") }

  /// A resource that nodes advertise and Kubernetes only counts (`example.com/gpu`).
  static func isExtended(_ name: String) -> Bool { !isNative(name) && !name.hasPrefix("requests.") }
}

/// Nobody knows yet whether a new node works, so nothing is scheduled to it.
enum NewNodes {
  static func taint(_ node: inout JSON, _ attributes: AdmissionAttributes) {
    guard attributes.creates("nodes") else { return }
    let taint: JSON = ["key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"]
    let taints = node["spec"]["taints"].array ?? []
    if taints.contains(where: { $0["key"] == taint["key"] && $0["effect"] == taint["effect"] }) { return }
    node["spec"]["taints"] = .array(taints + [taint])
  }
}
