import JSONCodec
import KubernetesAPI

/// What an object takes of a quota.
package enum QuotaUsage {
  /// The usage of an object of a resource (`pods`, `deployments` of `apps`, ...).
  package static func of(_ object: JSON, group: String, resource: String, now: Timestamp) -> ResourceAmounts {
    var usage: ResourceAmounts =
      switch (group, resource) {
      case ("", "pods"): isCounted(object, now: now) ? pod(object) : ResourceAmounts()
      case ("", "services"): service(object)
      case ("", "persistentvolumeclaims"): claim(object)
      case ("resource.k8s.io", "resourceclaims"): devices(object)
      case ("", _) where plainlyCounted.contains(resource): ResourceAmounts([resource: Quantity(1)])
      default: ResourceAmounts()
      }
    // Counts whatever is stored, in any state.
    usage[count(group, resource)] = Quantity(1)
    return usage
  }

  /// Kinds whose number has a name without `count/`.
  static let plainlyCounted: Set<String> = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"]

  /// `count/deployments.apps`
  static func count(_ group: String, _ resource: String) -> String { group.isEmpty ? "count/\(resource)" : "count/\(resource).\(group)" }

  // MARK: pods

  /// Pods that have ended, or should have long ago, use nothing.
  private static func isCounted(_ pod: JSON, now: Timestamp) -> Bool {
    if Pod(pod).isTerminal { return false }
    let metadata = ObjectMeta(pod["metadata"])
    guard let deletion = metadata.deletionTimestamp, let grace = metadata.deletionGracePeriodSeconds else { return true }
    return now <= deletion.advanced(bySeconds: Double(grace))
  }

  private static func pod(_ pod: JSON) -> ResourceAmounts {
    compute(requests: PodResources.requests(of: pod), limits: PodResources.limits(of: pod))
  }

  /// The names under which quotas know requests and limits.
  static func compute(requests: ResourceAmounts, limits: ResourceAmounts) -> ResourceAmounts {
    var usage = ResourceAmounts(["pods": Quantity(1)])
    for name in ["cpu", "memory", "ephemeral-storage"] {
      if let request = requests[name] {
        usage[name] = request
        usage["requests.\(name)"] = request
      }
      if let limit = limits[name] { usage["limits.\(name)"] = limit }
    }
    for (name, request) in requests.values {
      if name.hasPrefix("hugepages-") {
        usage[name] = request
        usage["requests.\(name)"] = request
      } else if ResourceNames.isExtended(name) {
        usage["requests.\(name)"] = request
      }
    }
    return usage
  }

  // MARK: services

  private static func service(_ service: JSON) -> ResourceAmounts {
    let ports = service["spec"]["ports"].array ?? []
    var nodePorts = 0
    var balancers = 0
    switch service["spec"]["type"].string {
    case "NodePort": nodePorts = ports.count
    case "LoadBalancer":
      balancers = 1
      // Ports are given after admission, so the intent counts.
      let isAllocated = service["spec"]["allocateLoadBalancerNodePorts"] != false
      nodePorts = isAllocated ? ports.count : ports.filter { ($0["nodePort"].int ?? 0) != 0 }.count
    default: break
    }
    return ResourceAmounts([
      "services": Quantity(1), "services.nodeports": Quantity(Int64(nodePorts)), "services.loadbalancers": Quantity(Int64(balancers)),
    ])
  }

  // MARK: claims

  static let classSuffix = ".storageclass.storage.k8s.io/"

  /// The size that is asked for, or what is allocated where a shrunk request has not taken effect; whole bytes.
  private static func claim(_ claim: JSON) -> ResourceAmounts {
    var usage = ResourceAmounts(["persistentvolumeclaims": Quantity(1)])
    var size = claim["spec"]["resources"]["requests"]["storage"].quantity
    if let asked = size, let allocated = claim["status"]["allocatedResources"]["storage"].quantity, allocated > asked { size = allocated }
    if let size { usage["requests.storage"] = size.nanoValue % 1_000_000_000 == 0 ? size : Quantity(size.value, format: size.format) }
    if let name = StorageClasses.declared(claim), !name.isEmpty {
      for (key, value) in usage.values { usage["\(name)\(classSuffix)\(key)"] = value }
    }
    return usage
  }

  // MARK: devices

  static let deviceSuffix = ".deviceclass.resource.k8s.io/devices"
  /// What `allocationMode: All` may come to.
  private static let devicesOfAll = 32

  /// The devices of each class that a ResourceClaim may get; of alternatives the dearest for each class.
  private static func devices(_ claim: JSON) -> ResourceAmounts {
    var usage = ResourceAmounts()
    func amounts(_ request: JSON) -> ResourceAmounts {
      guard let name = request["deviceClassName"].string, !name.isEmpty else { return ResourceAmounts() }
      let count = request["allocationMode"] == "All" ? devicesOfAll : request["count"].int ?? 1
      return ResourceAmounts([name + deviceSuffix: Quantity(Int64(count))])
    }
    for request in claim["spec"]["devices"]["requests"].array ?? [] {
      let alternatives = (request["firstAvailable"].array ?? []).map(amounts)
      let exact = amounts(request["exactly"].isNull ? request : request["exactly"])
      usage = usage.adding(alternatives.reduce(exact) { $0.maximum($1) })
    }
    return usage
  }
}
