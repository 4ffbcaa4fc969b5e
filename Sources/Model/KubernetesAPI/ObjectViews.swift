import JSONCodec

/// A Kubernetes object of any kind, seen through its JSON.
package protocol KubernetesObject: Sendable {
  var json: JSON { get set }
  init(_ json: JSON)
}

/// An object of a kind that has no view of its own.
package struct AnyObjectView: KubernetesObject {
  package var json: JSON
  package init(_ json: JSON) { self.json = json }
}

extension KubernetesObject {
  package var metadata: ObjectMeta {
    get { ObjectMeta(json["metadata"]) }
    set { json["metadata"] = newValue.json }
  }
  package var name: String { json["metadata"]["name"].string ?? "" }
  package var namespace: String { json["metadata"]["namespace"].string ?? "" }
  package var uid: String { json["metadata"]["uid"].string ?? "" }
  package var kind: String { json["kind"].string ?? "" }
  package var apiVersion: String { json["apiVersion"].string ?? "" }
  package var status: JSON {
    get { json["status"] }
    set { json["status"] = newValue }
  }
}

/// metav1.ObjectMeta.
package struct ObjectMeta: Sendable {
  package var json: JSON
  package init(_ json: JSON) { self.json = json }

  package var name: String { json["name"].string ?? "" }
  package var namespace: String { json["namespace"].string ?? "" }
  package var uid: String { json["uid"].string ?? "" }
  package var resourceVersion: String { json["resourceVersion"].string ?? "" }
  package var generation: Int { json["generation"].int ?? 0 }
  package var labels: JSON { json["labels"] }
  package var annotations: JSON { json["annotations"] }
  package var creationTimestamp: Timestamp? { json["creationTimestamp"].string.flatMap { Timestamp(rfc3339: $0) } }
  package var deletionTimestamp: Timestamp? { json["deletionTimestamp"].string.flatMap { Timestamp(rfc3339: $0) } }
  /// Seconds that a graceful deletion may take.
  package var deletionGracePeriodSeconds: Int? { json["deletionGracePeriodSeconds"].int }
  package var finalizers: [String] { (json["finalizers"].array ?? []).compactMap(\.string) }
  package var ownerReferences: [JSON] { json["ownerReferences"].array ?? [] }
  /// The owner with `controller: true`.
  package var controller: JSON? { ownerReferences.first { $0["controller"].bool == true } }
}

/// core/v1 Pod.
package struct Pod: KubernetesObject {
  package var json: JSON
  package init(_ json: JSON) { self.json = json }

  package var spec: PodSpec {
    get { PodSpec(json["spec"]) }
    set { json["spec"] = newValue.json }
  }
  package var phase: String { json["status"]["phase"].string ?? "Pending" }
  package var isTerminal: Bool { phase == "Succeeded" || phase == "Failed" }
  package var isMirror: Bool { !json["metadata"]["annotations"]["kubernetes.io/config.mirror"].isNull }

  /// The condition of a type, as it stands in the status.
  package func condition(_ type: String) -> JSON? {
    (json["status"]["conditions"].array ?? []).first { $0["type"].string == type }
  }

  /// The quality-of-service class that the containers' requests and limits of cpu and memory give.
  package var qosClass: QOSClass { QOSClass(spec: spec) }
}

package struct PodSpec: Sendable {
  package var json: JSON
  package init(_ json: JSON) { self.json = json }

  package var containers: [Container] { (json["containers"].array ?? []).map(Container.init) }
  package var initContainers: [Container] { (json["initContainers"].array ?? []).map(Container.init) }
  package var ephemeralContainers: [Container] { (json["ephemeralContainers"].array ?? []).map(Container.init) }
  package var volumes: [JSON] { json["volumes"].array ?? [] }
  package var nodeName: String { json["nodeName"].string ?? "" }
  package var schedulerName: String { json["schedulerName"].string ?? "default-scheduler" }
  package var restartPolicy: RestartPolicy { json["restartPolicy"].string.flatMap(RestartPolicy.init) ?? .always }
  package var hostNetwork: Bool { json["hostNetwork"].bool ?? false }
  package var hostPID: Bool { json["hostPID"].bool ?? false }
  package var hostIPC: Bool { json["hostIPC"].bool ?? false }
  package var shareProcessNamespace: Bool { json["shareProcessNamespace"].bool ?? false }
  package var serviceAccountName: String { json["serviceAccountName"].string ?? "" }
  package var securityContext: JSON { json["securityContext"] }
  package var nodeSelector: JSON { json["nodeSelector"] }
  package var tolerations: [JSON] { json["tolerations"].array ?? [] }
  package var activeDeadlineSeconds: Int? { json["activeDeadlineSeconds"].int }
  package var terminationGracePeriodSeconds: Int { json["terminationGracePeriodSeconds"].int ?? 30 }
  package var imagePullSecrets: [String] { (json["imagePullSecrets"].array ?? []).compactMap { $0["name"].string } }
  package var dnsPolicy: String { json["dnsPolicy"].string ?? "ClusterFirst" }
  package var hostname: String { json["hostname"].string ?? "" }
  package var subdomain: String { json["subdomain"].string ?? "" }
  package var priority: Int { json["priority"].int ?? 0 }
}

package enum RestartPolicy: String, Sendable { case always = "Always", onFailure = "OnFailure", never = "Never" }

package struct Container: Sendable {
  package var json: JSON
  package init(_ json: JSON) { self.json = json }

  package var name: String { json["name"].string ?? "" }
  package var image: String { json["image"].string ?? "" }
  package var command: [String] { (json["command"].array ?? []).compactMap(\.string) }
  package var args: [String] { (json["args"].array ?? []).compactMap(\.string) }
  package var workingDir: String { json["workingDir"].string ?? "" }
  package var env: [JSON] { json["env"].array ?? [] }
  package var envFrom: [JSON] { json["envFrom"].array ?? [] }
  package var ports: [JSON] { json["ports"].array ?? [] }
  package var volumeMounts: [JSON] { json["volumeMounts"].array ?? [] }
  package var resources: JSON { json["resources"] }
  package var securityContext: JSON { json["securityContext"] }
  package var imagePullPolicy: String { json["imagePullPolicy"].string ?? "IfNotPresent" }
  package var livenessProbe: JSON { json["livenessProbe"] }
  package var readinessProbe: JSON { json["readinessProbe"] }
  package var startupProbe: JSON { json["startupProbe"] }
  package var lifecycle: JSON { json["lifecycle"] }
  package var stdin: Bool { json["stdin"].bool ?? false }
  package var stdinOnce: Bool { json["stdinOnce"].bool ?? false }
  package var tty: Bool { json["tty"].bool ?? false }
  package var terminationMessagePath: String { json["terminationMessagePath"].string ?? "/dev/termination-log" }
  package var terminationMessagePolicy: String { json["terminationMessagePolicy"].string ?? "File" }
  /// `Always` makes an init container a sidecar.
  package var restartPolicy: RestartPolicy? { json["restartPolicy"].string.flatMap(RestartPolicy.init) }
  package var isSidecar: Bool { restartPolicy == .always }

  package func request(_ resource: String) -> Quantity? { json["resources"]["requests"][resource].quantity }
  package func limit(_ resource: String) -> Quantity? { json["resources"]["limits"][resource].quantity }
}

extension JSON {
  /// A quantity, which may be written as text or as a number.
  package var quantity: Quantity? {
    switch self {
    case .string(let text): Quantity(text)
    case .int(let value): Quantity(value)
    case .double(let value): Quantity("\(value)")
    default: nil
    }
  }

  package var timestamp: Timestamp? { string.flatMap { Timestamp(rfc3339: $0) } }
}

package enum QOSClass: String, Sendable {
  case guaranteed = "Guaranteed"
  case burstable = "Burstable"
  case bestEffort = "BestEffort"

  /// Guaranteed: every container limits cpu and memory and requests what it limits. Best effort: none names either.
  package init(spec: PodSpec) {
    let containers = spec.containers + spec.initContainers
    var any = false
    var all = true
    for container in containers {
      for resource in ["cpu", "memory"] {
        let limit = container.limit(resource)
        let request = container.request(resource) ?? limit
        if let value = limit, value.nanoValue > 0 { any = true } else { all = false }
        if let value = request, value.nanoValue > 0 { any = true }
        if limit != request { all = false }
      }
    }
    self = !any ? .bestEffort : all && !containers.isEmpty ? .guaranteed : .burstable
  }
}

/// core/v1 Node.
package struct Node: KubernetesObject {
  package var json: JSON
  package init(_ json: JSON) { self.json = json }

  package var podCIDR: String { json["spec"]["podCIDR"].string ?? "" }
  package var isUnschedulable: Bool { json["spec"]["unschedulable"].bool ?? false }
  package var taints: [JSON] { json["spec"]["taints"].array ?? [] }
  package var labels: JSON { json["metadata"]["labels"] }

  package func allocatable(_ resource: String) -> Quantity? { json["status"]["allocatable"][resource].quantity }

  package var isReady: Bool {
    (json["status"]["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
  }
}
