import JSONCodec

/// A pod's priority comes from its PriorityClass, or from the one that is the default; nobody sets the number by hand.
enum PodPriority {
  /// Classes that are there even before somebody has created their objects.
  private static let system = ["system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000]

  private static func className(_ pod: JSON) -> String { pod["spec"]["priorityClassName"].string ?? "" }

  static func facts(_ object: JSON, _ attributes: AdmissionAttributes) -> Set<AdmissionFact> {
    if attributes.creates("pods") { return [className(object).isEmpty ? .priorityClasses : .priorityClass(className(object))] }
    return marksDefault(object, attributes) ? [.priorityClasses] : []
  }

  private static func marksDefault(_ object: JSON, _ attributes: AdmissionAttributes) -> Bool {
    let writes = attributes.operation == .create || attributes.operation == .update
    return writes && attributes.concerns("priorityclasses", group: "scheduling.k8s.io") && object["globalDefault"] == true
  }

  /// Of several defaults, which only a race can make, the lowest.
  private static func defaultClass(_ cluster: some ClusterFacts) -> JSON? {
    cluster.objects(.priorityClasses).filter { $0["globalDefault"] == true }.min { ($0["value"].int ?? 0) < ($1["value"].int ?? 0) }
  }

  static func mutate(_ pod: inout JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    if attributes.updates("pods"), let old = attributes.old {
      for field in ["priority", "preemptionPolicy"] where pod["spec"][field].isNull { pod["spec"][field] = old["spec"][field] }
      return
    }
    guard attributes.creates("pods") else { return }
    let name = className(pod)
    var value = 0
    var policy = "PreemptLowerPriority"
    let priorityClass = name.isEmpty ? defaultClass(cluster) : cluster.object(.priorityClass(name))
    if let priorityClass {
      value = priorityClass["value"].int ?? 0
      policy = priorityClass["preemptionPolicy"].string ?? policy
      pod["spec"]["priorityClassName"] = priorityClass["metadata"]["name"]
    } else if let builtin = system[name] {
      value = builtin
    } else if !name.isEmpty {
      throw .forbidden(pod, attributes, "no PriorityClass with name \(name) was found")
    }
    let tail = "from the given PriorityClass name"
    if let given = pod["spec"]["priority"].int, given != value {
      throw .forbidden(
        pod, attributes,
        "the integer value of priority (\(given)) must not be provided in pod spec; priority admission controller computed \(value) \(tail)"
      )
    }
    if let given = pod["spec"]["preemptionPolicy"].string, given != policy {
      throw .forbidden(
        pod, attributes,
        "the string value of PreemptionPolicy (\(given)) must not be provided in pod spec; priority admission controller computed \(policy) \(tail)"
      )
    }
    pod["spec"]["priority"] = JSON(value)
    pod["spec"]["preemptionPolicy"] = .string(policy)
  }

  /// There is one default class at most.
  static func validate(_ object: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    guard marksDefault(object, attributes), let present = defaultClass(cluster) else { return }
    let name = present["metadata"]["name"]
    if attributes.operation == .update, name == object["metadata"]["name"] { return }
    throw .forbidden(
      object, attributes, "PriorityClass \(name.string ?? "") is already marked as default. Only one default can exist")
  }
}
