import JSONCodec
import KubernetesAPI

/// Which of the built-in plug-ins do something beyond upstream's defaults.
package struct AdmissionSettings: Sendable {
  /// The level of namespaces without Pod Security labels.
  package var podSecurityDefaults = PodSecurityPolicy.privileged
  /// Kinds that get a finalizer which a controller takes away once nothing uses the object. A kind whose controller does
  /// not run must not stand here: its objects would stay for ever.
  package var protectedKinds: Set<String> = ["PersistentVolume", "PersistentVolumeClaim", "VolumeAttributesClass"]
  /// New nodes get the taint not-ready, which a controller takes away when the node becomes ready.
  package var taintsNewNodes = true
  /// Pods tolerate taints named like the extended resources that they request. Off by default, as upstream.
  package var toleratesExtendedResources = false

  package init() {}
}

/// The built-in admission plug-ins, in upstream's order.
///
/// A write goes through these steps; each works on what the one before left:
///  1. `applyDefaults` of the schema;
///  2. `mutate`, with the facts that `facts` names;
///  3. mutating policies and webhooks, and `mutate` once more where they changed something;
///  4. `applyDefaults` again, for what steps 2 and 3 added, and a pod's `status.qosClass`;
///  5. validation of the schema (422);
///  6. `validate`, with facts gathered anew, because step 2 may have named a storage class or a service account;
///  7. validating policies and webhooks;
///  8. `ResourceQuotas.check` last, so that nothing is charged that is refused afterwards; its charges are written with the
///     quotas' revisions as preconditions, before the object. A dry run checks and writes nothing.
/// A refusal in step 2 therefore hides mistakes that step 5 would name, as upstream.
/// Deletions go through `mutate` alone, with the stored object.
package struct AdmissionChain: Sendable {
  package var settings: AdmissionSettings

  package init(_ settings: AdmissionSettings = AdmissionSettings()) { self.settings = settings }

  /// Fills in what plug-ins know, or refuses.
  package func mutate(
    _ object: inout JSON, attributes: AdmissionAttributes, cluster: some ClusterFacts
  ) throws(AdmissionRefusal) {
    try NamespaceLifecycle.check(object, attributes, cluster)
    guard attributes.operation == .create || attributes.operation == .update else { return }
    LimitRanger.mutate(&object, attributes, cluster)
    try ServiceAccountAdmission.mutate(&object, attributes, cluster)
    if settings.taintsNewNodes { NewNodes.taint(&object, attributes) }
    try PodPriority.mutate(&object, attributes, cluster)
    DefaultTolerations.mutate(&object, attributes)
    if settings.toleratesExtendedResources { ExtendedResourceTolerations.mutate(&object, attributes) }
    DefaultClasses.mutate(&object, attributes, cluster)
    StorageProtection.mutate(&object, attributes, kinds: settings.protectedKinds)
    try RuntimeClassAdmission.mutate(&object, attributes, cluster)
  }

  /// Looks at the object as it would be stored; quota comes after it.
  package func validate(
    _ object: JSON, attributes: AdmissionAttributes, cluster: some ClusterFacts
  ) throws(AdmissionRefusal) -> AdmissionFindings {
    guard attributes.operation == .create || attributes.operation == .update else { return AdmissionFindings() }
    try LimitRanger.validate(object, attributes, cluster)
    try ServiceAccountAdmission.validate(object, attributes, cluster)
    let findings = try PodSecurityAdmission(defaults: settings.podSecurityDefaults).validate(object, attributes, cluster)
    try PodPriority.validate(object, attributes, cluster)
    try ClaimResize.validate(object, attributes, cluster)
    try RuntimeClassAdmission.validate(object, attributes, cluster)
    return findings
  }

  /// What `mutate` and `validate` will ask about this request.
  package func facts(for object: JSON, attributes: AdmissionAttributes) -> Set<AdmissionFact> {
    guard attributes.operation == .create || attributes.operation == .update else { return [] }
    var facts: Set<AdmissionFact> = []
    if let namespace = attributes.namespace, NamespaceLifecycle.needsNamespace(attributes) { facts.insert(.namespace(namespace)) }
    facts.formUnion(LimitRanger.facts(attributes))
    facts.formUnion(ServiceAccountAdmission.facts(object, attributes))
    facts.formUnion(PodSecurityAdmission(defaults: settings.podSecurityDefaults).facts(object, attributes))
    facts.formUnion(PodPriority.facts(object, attributes))
    facts.formUnion(DefaultClasses.facts(object, attributes))
    facts.formUnion(ClaimResize.facts(object, attributes))
    facts.formUnion(RuntimeClassAdmission.facts(object, attributes))
    return facts
  }
}
