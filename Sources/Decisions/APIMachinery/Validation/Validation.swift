import JSONCodec

/// Everything that is wrong with an object that has been pruned and defaulted; empty where it may be stored.
///
/// `old` is the stored object on an update. With a `subresource` only what that subresource changes is looked at. The object may then
/// also be of the subresource's own kind (Binding, Scale, TokenRequest, Eviction), as it came in the request.
package func validate(_ object: JSON, old: JSON?, resource: ResourceInfo, subresource: String? = nil) -> [FieldError] {
  var findings = Findings()
  if let subresource, let kind = resource.subresource(subresource)?.kind, kind != resource.kind, object["kind"].string == kind {
    findings.request(object, kind: kind)
    return findings.errors
  }
  findings.metadata(object, old: old, resource: resource)
  if let custom = resource.custom { return findings.errors + custom.errors(of: object, old: old) }
  switch (resource.kind, subresource) {
  case ("Pod", "ephemeralcontainers"): findings.ephemeralContainersUpdate(object, old: old ?? .null)
  case ("Pod", "resize"): findings.resize(object, old: old ?? .null)
  case ("CertificateSigningRequest", .some): findings.certificateConditions(object, old: old)
  case ("PodCertificateRequest", "status"): findings.podCertificateStatus(object, old: old ?? .null)
  case ("StorageVersionMigration", "status"): findings.storageMigrationStatus(object, old: old ?? .null)
  case (_, "scale"): findings.notNegative(object["spec"]["replicas"], FieldPath("spec.replicas"))
  case (_, .some): break
  default:
    findings.spec(object, old: old, resource: resource)
    // An event may say anything, and a node's taints have a path of their own.
    if !["Event", "Node", "CustomResourceDefinition"].contains(resource.kind) {
      findings.schemaRules(object, resource.type, .root, isRoot: true)
    }
  }
  return findings.errors
}

extension Findings {
  /// What a client sends to a subresource that has a kind of its own.
  fileprivate mutating func request(_ object: JSON, kind: String) {
    switch kind {
    case "Binding":
      if object["target"]["name"].isEmpty { required(FieldPath("target.name")) }
      oneOf(object["target"]["kind"], FieldPath("target.kind"), ["Node", "<empty>"])
    case "Scale": notNegative(object["spec"]["replicas"], FieldPath("spec.replicas"))
    case "TokenRequest": lifetime(object["spec"]["expirationSeconds"], FieldPath("spec.expirationSeconds"))
    default: break
    }
  }

  /// How long a token may live, in seconds.
  mutating func lifetime(_ seconds: JSON, _ path: FieldPath) {
    guard let value = seconds.int else { return }
    if value < 600 { invalid(path, seconds, "may not specify a duration less than 10 minutes") }
    if value > 1 << 32 { invalid(path, seconds, "may not specify a duration larger than 2^32 seconds") }
  }

  /// The rules of a kind.
  fileprivate mutating func spec(_ object: JSON, old: JSON?, resource: ResourceInfo) {
    switch (resource.group, resource.kind) {
    case ("", "Pod"): pod(object, old: old)
    case ("", "Service"): service(object, old: old)
    case ("", "ConfigMap"): configMap(object, old: old)
    case ("", "Secret"): secret(object, old: old)
    case ("", "Namespace"): break
    case ("", "Node"): node(object, old: old)
    case ("", "Event"), ("events.k8s.io", "Event"): event(object, old: old)
    case ("", "ResourceQuota"): resourceQuota(object, old: old)
    case ("", "LimitRange"): limitRange(object)
    case ("", "PersistentVolume"): persistentVolume(object, old: old)
    case ("", "PersistentVolumeClaim"): persistentVolumeClaim(object, old: old)
    case ("", "ReplicationController"): replicationController(object)
    case ("", "PodTemplate"): template(object["template"], FieldPath("template"), restartPolicies: ["Always", "OnFailure", "Never"])
    case ("apps", "Deployment"): deployment(object, old: old)
    case ("apps", "ReplicaSet"): replicaSet(object, old: old)
    case ("apps", "DaemonSet"): daemonSet(object, old: old)
    case ("apps", "StatefulSet"): statefulSet(object, old: old)
    case ("batch", "Job"): job(object, old: old)
    case ("batch", "CronJob"): cronJob(object)
    case ("coordination.k8s.io", "Lease"): lease(object)
    case ("discovery.k8s.io", "EndpointSlice"): endpointSlice(object, old: old)
    case ("policy", "PodDisruptionBudget"): podDisruptionBudget(object)
    case ("rbac.authorization.k8s.io", _): rbac(object, old: old, kind: resource.kind)
    case ("scheduling.k8s.io", "PriorityClass"): priorityClass(object, old: old)
    case ("networking.k8s.io", "NetworkPolicy"): networkPolicy(object)
    case ("networking.k8s.io", "Ingress"): ingress(object)
    case ("storage.k8s.io", "StorageClass"): storageClass(object, old: old)
    case ("storage.k8s.io", "VolumeAttachment"): volumeAttachment(object, old: old)
    case ("storage.k8s.io", "CSIDriver"): csiDriver(object, old: old)
    case ("storage.k8s.io", "VolumeAttributesClass"): volumeAttributesClass(object, old: old)
    case ("", "Endpoints"): endpoints(object)
    case ("resource.k8s.io", "ResourceClaim"), ("resource.k8s.io", "ResourceClaimTemplate"):
      if let old { immutable(object["spec"], old["spec"], FieldPath("spec")) }
    case ("networking.k8s.io", "IPAddress"): ipAddress(object, old: old)
    case ("networking.k8s.io", "ServiceCIDR"): serviceCIDR(object, old: old)
    case ("apps", "ControllerRevision"): controllerRevision(object, old: old)
    case ("autoscaling", _): autoscaler(object)
    case ("networking.k8s.io", "IngressClass"): ingressClass(object, old: old)
    case ("node.k8s.io", "RuntimeClass"): runtimeClass(object, old: old)
    case ("certificates.k8s.io", "CertificateSigningRequest"): certificateRequest(object, old: old)
    case ("certificates.k8s.io", "PodCertificateRequest"): podCertificateRequest(object, old: old)
    case ("storagemigration.k8s.io", _): storageMigration(object, old: old)
    case ("flowcontrol.apiserver.k8s.io", "FlowSchema"): flowSchema(object)
    case ("flowcontrol.apiserver.k8s.io", _): priorityLevel(object)
    case ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
      ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"):
      webhooks(object)
    case ("admissionregistration.k8s.io", let kind) where kind.hasSuffix("Binding"):
      admissionPolicyBinding(object, isMutating: kind.hasPrefix("Mutating"))
    case ("admissionregistration.k8s.io", let kind): admissionPolicy(object, isMutating: kind.hasPrefix("Mutating"))
    case ("apiextensions.k8s.io", _): definition(object, old: old, hooks: resource.hooks)
    case ("apiregistration.k8s.io", _): apiService(object)
    default: break
    }
  }

  /// Required texts and known values as the schema text says, where no rule of the kind has said more already.
  fileprivate mutating func schemaRules(_ object: JSON, _ type: SchemaType, _ path: FieldPath, isRoot: Bool = false) {
    for field in type.fields {
      if isRoot, ["metadata", "status", "kind", "apiVersion"].contains(field.name) { continue }
      let value = object[field.name]
      switch field.value {
      case .string:
        if value.isEmpty {
          // Empty means something there: no header text, or the API server's own audience.
          let mayBeEmpty = field.name == "value" || field.name == "audience"
          if field.isRequired, !mayBeEmpty, !hasError(at: path / field.name) { required(path / field.name) }
        } else if !field.enumValues.isEmpty, !field.enumValues.contains(value.string ?? ""), !hasError(at: path / field.name) {
          notSupported(path / field.name, value, field.enumValues)
        }
      case .list(.string) where !field.enumValues.isEmpty:
        for (i, item) in value.items.enumerated() where !field.enumValues.contains(item.string ?? "") {
          let at = (path / field.name)[i]
          if !hasError(at: at) { notSupported(at, item, field.enumValues) }
        }
      case .object(let inner):
        if value.object != nil, inner.packageName != "meta/v1" { schemaRules(value, inner, path / field.name) }
      case .list(.object(let inner)):
        if inner.packageName == "meta/v1" { continue }
        for (i, item) in value.items.enumerated() { schemaRules(item, inner, (path / field.name)[i]) }
      default: break
      }
    }
  }
}
