import APIMachinery
import JSONCodec
import KubernetesAPI
import RevisionStore

/// What the server adds to objects, and refuses, beyond their schema: the built-in admission plug-ins.
struct Admission: Sendable {
  /// Seconds that a pod's default token lives; the kubelet renews it.
  static let tokenSeconds = 3607
  /// Seconds that pods without a toleration stay on a node that is not ready or cannot be reached.
  static let evictionTolerationSeconds = 300

  /// NamespaceLifecycle, ServiceAccount, Priority, DefaultTolerationSeconds.
  func admitCreate(_ object: inout JSON, _ request: ResourceRequest, _ context: WriteContext, _ resources: Resources) async throws {
    try await resources.access.check(object, old: nil, request, context, resources)
    if request.resource.isNamespaced { try await checkNamespace(object, request, resources) }
    switch request.resource.kind {
    case "Pod":
      if object["metadata"]["annotations"]["kubernetes.io/config.mirror"].isNull {
        try await serviceAccount(&object, request, resources)
      }
      try await priority(&object, request, resources)
    case "CertificateSigningRequest":
      try CertificateAdmission(access: resources.access).admitCreate(&object, request.resource, context.user)
    default: break
    }
  }

  func admitUpdate(
    _ object: inout JSON, old: JSON, _ request: ResourceRequest, _ context: WriteContext, _ resources: Resources
  ) async throws {
    try await resources.access.check(object, old: old, request, context, resources)
    if request.resource.kind == "CertificateSigningRequest" {
      try await CertificateAdmission(access: resources.access).admitUpdate(&object, old: old, request.resource, context)
    }
  }

  /// What depends on defaulted fields.
  func afterDefaults(_ object: inout JSON, _ resource: ResourceInfo) {
    guard resource.kind == "Pod" else { return }
    defaultTolerations(&object)
    if object["status"]["qosClass"].isNull || object["status"]["phase"].string == "Pending" {
      object["status"]["qosClass"] = .string(Pod(object).qosClass.rawValue)
    }
  }

  /// Nothing is created in a namespace that is missing or going.
  private func checkNamespace(_ object: JSON, _ request: ResourceRequest, _ resources: Resources) async throws {
    let name = request.namespace ?? ""
    let namespaces = resources.resource("namespaces")
    guard let stored = try await resources.store.get(ResourceRequest.prefix(namespaces, namespace: nil) + name, at: nil) else {
      throw APIFailure.notFound(namespaces, name)
    }
    let namespace = try resources.decoded.object(stored)
    guard !namespace["metadata"]["deletionTimestamp"].isNull else { return }
    var failure = APIFailure.forbidden(
      request.resource, object["metadata"]["name"].string ?? "",
      "unable to create new content in namespace \(name) because it is being terminated")
    failure.details["causes"] = [
      ["reason": "NamespaceTerminating", "message": .string("namespace \(name) is being terminated"), "field": "metadata.namespace"]
    ]
    throw failure
  }

  private func serviceAccount(_ pod: inout JSON, _ request: ResourceRequest, _ resources: Resources) async throws {
    var spec = pod["spec"]
    let name = spec["serviceAccountName"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "default"
    spec["serviceAccountName"] = .string(name)
    spec["serviceAccount"] = .string(name)
    let accounts = resources.resource("serviceaccounts")
    let key = ResourceRequest.prefix(accounts, namespace: request.namespace) + name
    guard let stored = try await resources.store.get(key, at: nil) else {
      throw APIFailure.forbidden(
        request.resource, pod["metadata"]["name"].string ?? "",
        "error looking up service account \(request.namespace ?? "")/\(name): serviceaccount \"\(name)\" not found")
    }
    let account = try resources.decoded.object(stored)
    if (spec["imagePullSecrets"].array ?? []).isEmpty, !account["imagePullSecrets"].isEmpty {
      spec["imagePullSecrets"] = account["imagePullSecrets"]
    }
    let mounts = spec["automountServiceAccountToken"].bool ?? account["automountServiceAccountToken"].bool ?? true
    if mounts { Self.mountToken(&spec) }
    pod["spec"] = spec
  }

  private static let tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

  private static func mountToken(_ spec: inout JSON) {
    let lists = ["containers", "initContainers"]
    func needs(_ container: JSON) -> Bool { !(container["volumeMounts"].array ?? []).contains { $0["mountPath"].string == tokenPath } }
    guard lists.contains(where: { (spec[$0].array ?? []).contains(where: needs) }) else { return }
    let existing = (spec["volumes"].array ?? []).first { ($0["name"].string ?? "").hasPrefix("kube-api-access-") }
    let volume = existing?["name"].string ?? "kube-api-access-" + Resources.randomSuffix()
    for list in lists {
      guard let containers = spec[list].array else { continue }
      spec[list] = .array(
        containers.map { container in
          guard needs(container) else { return container }
          var container = container
          let mount: JSON = ["name": .string(volume), "readOnly": true, "mountPath": .string(tokenPath)]
          container["volumeMounts"] = .array((container["volumeMounts"].array ?? []) + [mount])
          return container
        })
    }
    guard existing == nil else { return }
    let sources: JSON = [
      ["serviceAccountToken": ["expirationSeconds": JSON(tokenSeconds), "path": "token"]],
      ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
      ["downwardAPI": ["items": [["path": "namespace", "fieldRef": ["apiVersion": "v1", "fieldPath": "metadata.namespace"]]]]],
    ]
    spec["volumes"] = .array(
      (spec["volumes"].array ?? []) + [["name": .string(volume), "projected": ["defaultMode": 420, "sources": sources]]])
  }

  private static let builtinPriorities = ["system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000]

  private func priority(_ pod: inout JSON, _ request: ResourceRequest, _ resources: Resources) async throws {
    let name = pod["spec"]["priorityClassName"].string ?? ""
    var value = 0
    var policy = "PreemptLowerPriority"
    if let builtin = Self.builtinPriorities[name] {
      value = builtin
    } else if !name.isEmpty {
      guard let classes = resources.registry.resource(group: "scheduling.k8s.io", version: "v1", plural: "priorityclasses"),
        let stored = try await resources.store.get(ResourceRequest.prefix(classes, namespace: nil) + name, at: nil)
      else {
        throw APIFailure.forbidden(
          request.resource, pod["metadata"]["name"].string ?? "", "no PriorityClass with name \(name) was found")
      }
      let priorityClass = try resources.decoded.object(stored)
      value = priorityClass["value"].int ?? 0
      policy = priorityClass["preemptionPolicy"].string ?? policy
    }
    if let given = pod["spec"]["priority"].int, given != value {
      throw APIFailure.forbidden(
        request.resource, pod["metadata"]["name"].string ?? "",
        "the integer value of priority (\(given)) must not be provided in pod spec; priority admission controller computed \(value) from the given PriorityClass name"
      )
    }
    pod["spec"]["priority"] = JSON(value)
    if pod["spec"]["preemptionPolicy"].isNull { pod["spec"]["preemptionPolicy"] = .string(policy) }
  }

  private func defaultTolerations(_ pod: inout JSON) {
    var tolerations = pod["spec"]["tolerations"].array ?? []
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
      let isTolerated = tolerations.contains { toleration in
        let matchesKey = toleration["key"].string == key || (toleration["key"].isEmpty && toleration["operator"].string == "Exists")
        return matchesKey && (toleration["effect"].isEmpty || toleration["effect"].string == "NoExecute")
      }
      guard !isTolerated else { continue }
      tolerations.append([
        "key": .string(key), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": JSON(Self.evictionTolerationSeconds),
      ])
    }
    pod["spec"]["tolerations"] = .array(tolerations)
  }
}
