import JSONCodec
import KubernetesAPI

/// A quota whose `status.used` grows by a request.
package struct QuotaCharge: Sendable, Equatable {
  package let name: String
  /// The revision that the charge was computed from: the precondition of the write.
  package let resourceVersion: String
  /// The quota with its new `status.used`.
  package let quota: JSON
}

/// A resource whose objects a quota counts.
package struct CountedResource: Hashable, Sendable {
  package let group: String
  package let resource: String

  package init(group: String, resource: String) {
    self.group = group
    self.resource = resource
  }
}

/// ResourceQuota objects: whether a request fits, and what is used.
package enum ResourceQuotas {
  /// Whether a request can change what is used: creations, and updates of what can grow. Events are never counted.
  package static func concerns(_ attributes: AdmissionAttributes) -> Bool {
    guard attributes.namespace != nil, attributes.kind != "Namespace" else { return false }
    switch (attributes.group, attributes.resource, attributes.subresource, attributes.operation) {
    case (_, "events", _, _), ("authorization.k8s.io", _, _, _): return false
    case ("", "pods", "resize", .update): return true
    case ("", "services", "", .update), ("", "persistentvolumeclaims", "", .update): return true
    case ("", "persistentvolumeclaims", "status", .update): return true
    case ("resource.k8s.io", "resourceclaims", "", .update): return true
    case (_, _, "", .create): return true
    default: return false
    }
  }

  /// The usage that a write adds; never negative, because what is given back is found by recomputation.
  package static func delta(new: JSON, old: JSON?, group: String, resource: String, now: Timestamp) -> ResourceAmounts {
    let usage = QuotaUsage.of(new, group: group, resource: resource, now: now)
    guard let old else { return usage }
    return usage.excess(over: QuotaUsage.of(old, group: group, resource: resource, now: now))
  }

  /// Whether an object fits into all quotas of its namespace, and what they look like then. Quotas that it does not
  /// change are not among the answers.
  package static func check(
    _ quotas: [JSON], object: JSON, attributes: AdmissionAttributes, now: Timestamp
  ) throws(AdmissionRefusal) -> [QuotaCharge] {
    guard concerns(attributes) else { return [] }
    let (group, resource) = (attributes.group, attributes.resource)
    var matching: [JSON] = []
    for quota in quotas {
      let limits = ResourceAmounts(quota["status"]["hard"]).names.filter { QuotaScopes.isAbout($0, group: group, resource: resource) }
      guard !limits.isEmpty, QuotaScopes.match(quota, object, group: group, resource: resource) else { continue }
      let name = quota["metadata"]["name"].string ?? ""
      if resource == "pods", group.isEmpty, let missing = unspecified(limits, in: object) {
        throw .forbidden(object, attributes, "failed quota: \(name): must specify \(missing)")
      }
      let used = ResourceAmounts(quota["status"]["used"])
      if limits.contains(where: { used[$0] == nil }) {
        throw .forbidden(object, attributes, "status unknown for quota: \(name), resources: \(limits.joined(separator: ","))")
      }
      matching.append(quota)
    }
    let usage = QuotaUsage.of(object, group: group, resource: resource, now: now)
    let negative = usage.names.filter { usage[$0]!.nanoValue < 0 }
    if !negative.isEmpty {
      throw .forbidden(object, attributes, "quota usage is negative for resource(s): \(negative.joined(separator: ","))")
    }
    var charges: [QuotaCharge] = []
    for quota in matching {
      var old = attributes.operation == .update ? attributes.old : nil
      // What the quota did not count before, it counts wholly now.
      if let before = old, !QuotaScopes.match(quota, before, group: group, resource: resource) { old = nil }
      let requested = delta(new: object, old: old, group: group, resource: resource, now: now)
      if let charge = try Self.charge(quota, requested, object, attributes) { charges.append(charge) }
    }
    return charges
  }

  private static func charge(
    _ quota: JSON, _ delta: ResourceAmounts, _ object: JSON, _ attributes: AdmissionAttributes
  ) throws(AdmissionRefusal) -> QuotaCharge? {
    let hard = ResourceAmounts(quota["status"]["hard"])
    let used = ResourceAmounts(quota["status"]["used"])
    let requested = delta.withoutZeros.only { hard[$0] != nil }
    guard !requested.isEmpty else { return nil }
    let total = used.adding(requested)
    let name = quota["metadata"]["name"].string ?? ""
    // A volume that has grown on its own has grown; it is only counted.
    if attributes.subresource != "status" {
      let exceeded = Set(requested.names.filter { total[$0]! > hard[$0]! })
      guard exceeded.isEmpty else {
        func text(_ amounts: ResourceAmounts) -> String { amounts.only(exceeded.contains).text }
        throw .forbidden(
          object, attributes,
          "exceeded quota: \(name), requested: \(text(requested)), used: \(text(used)), limited: \(text(hard))")
      }
    }
    var charged = quota
    charged["status"]["used"] = total.json
    return QuotaCharge(name: name, resourceVersion: quota["metadata"]["resourceVersion"].string ?? "", quota: charged)
  }

  /// Limits of cpu and memory make every container name its own: `cpu for: a,b; memory for: a`.
  private static func unspecified(_ limits: [String], in pod: JSON) -> String? {
    let demanding: Set<String> = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"]
    let needed = limits.filter(demanding.contains)
    guard !needed.isEmpty else { return nil }
    // What stands for the whole pod holds for each container.
    let podResources = pod["spec"]["resources"]
    var missing: [String: Set<String>] = [:]
    for container in (pod["spec"]["containers"].array ?? []) + (pod["spec"]["initContainers"].array ?? []) {
      let given = QuotaUsage.compute(
        requests: ResourceAmounts(container["resources"]["requests"]).adding(ResourceAmounts(podResources["requests"])),
        limits: ResourceAmounts(container["resources"]["limits"]).adding(ResourceAmounts(podResources["limits"])))
      for name in needed where given[name] == nil { missing[name, default: []].insert(container["name"].string ?? "") }
    }
    guard !missing.isEmpty else { return nil }
    return missing.keys.sorted().map { "\($0) for: \(missing[$0]!.sorted().joined(separator: ","))" }.joined(separator: "; ")
  }

  // MARK: recomputation

  /// The resources whose objects must be listed to recompute a quota.
  package static func counted(by quota: JSON) -> Set<CountedResource> {
    let special = [
      CountedResource(group: "", resource: "pods"), CountedResource(group: "", resource: "services"),
      CountedResource(group: "", resource: "persistentvolumeclaims"),
      CountedResource(group: "resource.k8s.io", resource: "resourceclaims"),
    ]
    var result: Set<CountedResource> = []
    for limit in (quota["spec"]["hard"].object ?? JSONObject()).keys {
      if limit.hasPrefix("count/") {
        let name = limit.dropFirst("count/".count)
        let parts = name.split(separator: ".", maxSplits: 1)
        if let resource = parts.first {
          result.insert(CountedResource(group: parts.count > 1 ? String(parts[1]) : "", resource: String(resource)))
        }
      } else if QuotaUsage.plainlyCounted.contains(limit) {
        result.insert(CountedResource(group: "", resource: limit))
      } else {
        result.formUnion(special.filter { QuotaScopes.isAbout(limit, group: $0.group, resource: $0.resource) })
      }
    }
    return result
  }

  /// The status of a quota from all objects of its namespace: what is used of each limit, zero where nothing is. What is
  /// of a resource that is not among `objects` keeps its last value.
  package static func status(of quota: JSON, objects: [CountedResource: [JSON]], now: Timestamp) -> JSON {
    let hard = ResourceAmounts(quota["spec"]["hard"])
    var used = ResourceAmounts(quota["status"]["used"])
    for (counted, items) in objects {
      let (group, resource) = (counted.group, counted.resource)
      let limits = hard.names.filter { QuotaScopes.isAbout($0, group: group, resource: resource) }
      guard !limits.isEmpty else { continue }
      var sum = ResourceAmounts(Dictionary(uniqueKeysWithValues: limits.map { ($0, Quantity(0)) }))
      for item in items where QuotaScopes.match(quota, item, group: group, resource: resource) {
        let usage = QuotaUsage.of(item, group: group, resource: resource, now: now)
        sum = sum.adding(usage.only(limits.contains))
      }
      for name in limits { used[name] = sum[name] }
    }
    var status = quota["status"]
    status["hard"] = hard.isEmpty ? .null : quota["spec"]["hard"]
    let kept = used.only { hard[$0] != nil }
    status["used"] = kept.isEmpty ? .null : kept.json
    return status
  }
}
