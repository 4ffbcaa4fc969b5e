import JSONCodec

/// Pod Security: pods are held to the level that their namespace enforces; pods and workloads give warnings and audit
/// annotations by the levels that it names for those. There are no exemptions.
struct PodSecurityAdmission {
  /// Of more pods than these only the first are looked at when a namespace changes its level.
  static let podsCheckedMax = 3_000

  let defaults: PodSecurityPolicy

  /// Subresources that cannot change what a pod runs.
  private static let harmlessSubresources: Set<String> = [
    "exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status",
  ]

  private enum Subject { case pod, workload, namespace, nothing }

  private func subject(_ attributes: AdmissionAttributes) -> Subject {
    switch (attributes.group, attributes.resource) {
    case ("", "namespaces"): attributes.subresource.isEmpty ? .namespace : .nothing
    case ("", "pods"): Self.harmlessSubresources.contains(attributes.subresource) ? .nothing : .pod
    case ("", "replicationcontrollers"), ("", "podtemplates"), ("apps", "replicasets"), ("apps", "deployments"), ("apps", "statefulsets"),
      ("apps", "daemonsets"), ("batch", "jobs"), ("batch", "cronjobs"):
      attributes.subresource.isEmpty ? .workload : .nothing
    default: .nothing
    }
  }

  func facts(_ object: JSON, _ attributes: AdmissionAttributes) -> Set<AdmissionFact> {
    switch subject(attributes) {
    case .pod where isInsignificant(object, attributes): []
    case .pod, .workload: attributes.namespace.map { [.namespace($0)] } ?? []
    case .namespace: standardToCheckPods(object, attributes) == nil ? [] : [.pods(namespace: object["metadata"]["name"].string ?? "")]
    case .nothing: []
    }
  }

  func validate(
    _ object: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts
  ) throws(AdmissionRefusal) -> AdmissionFindings {
    switch subject(attributes) {
    case .nothing: return AdmissionFindings()
    case .namespace: return try validateNamespace(object, attributes, cluster)
    case .pod:
      if isInsignificant(object, attributes) { return AdmissionFindings() }
      return try evaluate(
        CheckedPod(metadata: object["metadata"], spec: object["spec"]), object, isEnforced: true, attributes, cluster)
    case .workload:
      guard let template = Self.template(of: object, attributes.resource) else { return AdmissionFindings() }
      return try evaluate(
        CheckedPod(metadata: template["metadata"], spec: template["spec"]), object, isEnforced: false, attributes, cluster)
    }
  }

  private static func template(of object: JSON, _ resource: String) -> JSON? {
    let template =
      switch resource {
      case "podtemplates": object["template"]
      case "cronjobs": object.at("spec", "jobTemplate", "spec", "template")
      default: object["spec"]["template"]
      }
    return template.isNull ? nil : template
  }

  private func evaluate(
    _ pod: CheckedPod, _ object: JSON, isEnforced: Bool, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts
  ) throws(AdmissionRefusal) -> AdmissionFindings {
    let labels = attributes.namespace.flatMap { cluster.object(.namespace($0)) }?["metadata"]["labels"] ?? .null
    let (policy, errors) = PodSecurityPolicy.read(labels: labels, defaults: defaults)
    var findings = AdmissionFindings()
    if !errors.isEmpty {
      let texts = errors.map { "\($0.field): \($0.message)" }
      findings.auditAnnotations[PodSecurityPolicy.labelPrefix + "error"] =
        "Failed to parse policy: " + (texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]")
    }
    if isEnforced {
      findings.auditAnnotations[PodSecurityPolicy.labelPrefix + "enforce-policy"] = policy.enforce.description
      let violations = PodSecurityCheck.violations(of: pod, policy.enforce)
      guard violations.isEmpty else {
        var refusal = AdmissionRefusal.forbidden(
          object, attributes, "violates PodSecurity \"\(policy.enforce)\": \(PodSecurityViolation.details(violations))")
        refusal.auditAnnotations = findings.auditAnnotations
        throw refusal
      }
    }
    func wouldViolate(_ standard: PodSecurityStandard) -> String? {
      let violations = PodSecurityCheck.violations(of: pod, standard)
      return violations.isEmpty ? nil : "would violate PodSecurity \"\(standard)\": \(PodSecurityViolation.details(violations))"
    }
    findings.auditAnnotations[PodSecurityPolicy.labelPrefix + "audit-violations"] = wouldViolate(policy.audit)
    if let warning = wouldViolate(policy.warn) { findings.warnings.append(warning) }
    return findings
  }

  private func isInsignificant(_ pod: JSON, _ attributes: AdmissionAttributes) -> Bool {
    guard let old = attributes.old, attributes.operation == .update else { return false }
    return !Self.isSignificant(pod, old)
  }

  /// Whether an update changes what the checks see: of a running pod only images, annotations of profiles and ephemeral
  /// containers can change.
  private static func isSignificant(_ pod: JSON, _ old: JSON) -> Bool {
    func annotation(_ pod: JSON, _ key: String) -> JSON { pod["metadata"]["annotations"][key] }
    let podKey = "seccomp.security.alpha.kubernetes.io/pod"
    if annotation(pod, podKey) != annotation(old, podKey) { return true }
    func differ(_ a: JSON, _ b: JSON) -> Bool {
      let key = "container.seccomp.security.alpha.kubernetes.io/\(a["name"].string ?? "")"
      return a["image"] != b["image"] || annotation(pod, key) != annotation(old, key)
    }
    for list in ["containers", "initContainers"] {
      let (new, before) = (pod["spec"][list].array ?? [], old["spec"][list].array ?? [])
      if new.count != before.count || zip(new, before).contains(where: differ) { return true }
    }
    let before = old["spec"]["ephemeralContainers"].array ?? []
    return (pod["spec"]["ephemeralContainers"].array ?? []).contains { container in
      guard let same = before.first(where: { $0["name"] == container["name"] }) else { return true }
      return differ(container, same)
    }
  }

  // MARK: namespaces

  /// The standard against which the pods of a namespace must be seen, where an update makes it stricter or other.
  private func standardToCheckPods(_ namespace: JSON, _ attributes: AdmissionAttributes) -> PodSecurityStandard? {
    guard attributes.operation == .update, let old = attributes.old else { return nil }
    let new = PodSecurityPolicy.read(labels: namespace["metadata"]["labels"], defaults: defaults).policy.enforce
    let before = PodSecurityPolicy.read(labels: old["metadata"]["labels"], defaults: defaults).policy.enforce
    if new == before || new.level == .privileged { return nil }
    return new.version == before.version && new.level <= before.level ? nil : new
  }

  private func validateNamespace(
    _ namespace: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts
  ) throws(AdmissionRefusal) -> AdmissionFindings {
    let errors = PodSecurityPolicy.read(labels: namespace["metadata"]["labels"], defaults: defaults).errors
    let oldLabels = attributes.old?["metadata"]["labels"] ?? .null
    let oldErrors = attributes.operation == .update ? PodSecurityPolicy.read(labels: oldLabels, defaults: defaults).errors : []
    let name = namespace["metadata"]["name"].string ?? ""
    if !errors.isEmpty, errors != oldErrors { throw Self.invalid(name, errors) }
    var findings = AdmissionFindings()
    if let standard = standardToCheckPods(namespace, attributes) {
      findings.warnings = Self.warnings(about: cluster.objects(.pods(namespace: name)), in: name, standard)
    }
    return findings
  }

  private static func invalid(_ name: String, _ errors: [PodSecurityPolicy.LabelError]) -> AdmissionRefusal {
    let texts = errors.map { "\($0.field): \($0.message)" }
    let list = texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]"
    let causes = errors.map { error -> JSON in
      ["reason": "FieldValueInvalid", "message": .string(error.message), "field": .string(error.field)]
    }
    return AdmissionRefusal(
      code: 422, reason: "Invalid", message: "Namespace \"\(name)\" is invalid: \(list)",
      details: ["name": .string(name), "kind": "Namespace", "causes": .array(causes)])
  }

  /// One line for each set of reasons, naming the first of the pods that it is true of. Of the pods of one controller
  /// one is enough, and different pods come before more of the same.
  private static func warnings(about pods: [JSON], in namespace: String, _ standard: PodSecurityStandard) -> [String] {
    var seen: [String: (name: String, count: Int)] = [:]
    let ordered = prioritized(pods)
    for pod in ordered.prefix(podsCheckedMax) {
      let violations = PodSecurityCheck.violations(of: CheckedPod(metadata: pod["metadata"], spec: pod["spec"]), standard)
      guard !violations.isEmpty else { continue }
      let name = pod["metadata"]["name"].string ?? ""
      let reasons = PodSecurityViolation.reasons(violations)
      let before = seen[reasons]
      seen[reasons] = (min(before?.name ?? name, name), (before?.count ?? 0) + 1)
    }
    var warnings: [String] = []
    if pods.count > podsCheckedMax {
      warnings.append("new PodSecurity enforce level only checked against the first \(podsCheckedMax) of \(pods.count) existing pods")
    }
    if !seen.isEmpty {
      warnings.append("existing pods in namespace \"\(namespace)\" violate the new PodSecurity enforce level \"\(standard)\"")
    }
    let lines = seen.map { reasons, pods in
      switch pods.count {
      case 1: "\(pods.name): \(reasons)"
      case 2: "\(pods.name) (and 1 other pod): \(reasons)"
      default: "\(pods.name) (and \(pods.count - 1) other pods): \(reasons)"
      }
    }
    return warnings + lines.sorted()
  }

  /// One pod of each controller first, so that the limit leaves out twins rather than strangers.
  private static func prioritized(_ pods: [JSON]) -> [JSON] {
    var controllers: Set<String> = []
    var twins: [JSON] = []
    var result: [JSON] = []
    for pod in pods {
      let controller = (pod["metadata"]["ownerReferences"].array ?? []).first { $0["controller"] == true }?["uid"].string
      if let controller, !controllers.insert(controller).inserted { twins.append(pod) } else { result.append(pod) }
    }
    result.append(contentsOf: twins)
    return result
  }
}
