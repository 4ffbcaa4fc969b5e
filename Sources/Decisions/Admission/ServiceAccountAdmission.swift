import JSONCodec
import KubernetesAPI

/// Pods run as a service account that exists, with its token mounted and its pull secrets; mirror pods have none.
enum ServiceAccountAdmission {
  /// Seconds that a pod's default token lives; the kubelet renews it.
  static let tokenSeconds = 3607
  static let tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"
  static let mirrorAnnotation = "kubernetes.io/config.mirror"

  private static func isMirror(_ pod: JSON) -> Bool { !pod["metadata"]["annotations"][mirrorAnnotation].isNull }

  private static func addsEphemeralContainers(_ attributes: AdmissionAttributes) -> Bool {
    attributes.resource == "pods" && attributes.group.isEmpty && attributes.subresource == "ephemeralcontainers"
      && attributes.operation == .update
  }

  private static func accountName(_ pod: JSON) -> String {
    let name = pod["spec"]["serviceAccountName"].string ?? ""
    return name.isEmpty ? "default" : name
  }

  static func facts(_ pod: JSON, _ attributes: AdmissionAttributes) -> Set<AdmissionFact> {
    guard attributes.creates("pods") || addsEphemeralContainers(attributes), !isMirror(pod), let namespace = attributes.namespace else {
      return []
    }
    return [.serviceAccount(namespace: namespace, name: accountName(pod))]
  }

  private static func account(
    _ pod: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts
  ) throws(AdmissionRefusal) -> JSON {
    let (namespace, name) = (attributes.namespace ?? "", accountName(pod))
    if let account = cluster.object(.serviceAccount(namespace: namespace, name: name)) { return account }
    throw .forbidden(
      pod, attributes, "error looking up service account \(namespace)/\(name): serviceaccount \"\(name)\" not found")
  }

  static func mutate(_ pod: inout JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    guard attributes.creates("pods") else { return }
    if isMirror(pod) { return try checkMirror(pod, attributes) }
    let account = try account(pod, attributes, cluster)
    var spec = pod["spec"]
    spec["serviceAccountName"] = .string(accountName(pod))
    spec["serviceAccount"] = spec["serviceAccountName"]
    if spec["automountServiceAccountToken"].bool ?? account["automountServiceAccountToken"].bool ?? true {
      mountToken(&spec, suffix: attributes.nameSuffix)
    }
    if spec["imagePullSecrets"].isEmpty { spec["imagePullSecrets"] = account["imagePullSecrets"] }
    pod["spec"] = spec
  }

  static func validate(_ pod: JSON, _ attributes: AdmissionAttributes, _ cluster: some ClusterFacts) throws(AdmissionRefusal) {
    let isEphemeral = addsEphemeralContainers(attributes)
    guard attributes.creates("pods") || isEphemeral else { return }
    if isMirror(pod) {
      if !isEphemeral { try checkMirror(pod, attributes) }
      return
    }
    let account = try account(pod, attributes, cluster)
    let enforces: Set<String> = ["1", "t", "T", "TRUE", "true", "True"]
    guard enforces.contains(account["metadata"]["annotations"]["kubernetes.io/enforce-mountable-secrets"].string ?? "") else { return }
    let problem =
      isEphemeral
      ? foreignSecret(in: pod["spec"]["ephemeralContainers"], "ephemeral container", account) : foreignSecret(of: pod, account)
    if let problem { throw .forbidden(pod, attributes, problem) }
  }

  // MARK: mirror pods

  /// The kubelet runs them from a file before there is a server to ask for tokens and secrets.
  private static func checkMirror(_ pod: JSON, _ attributes: AdmissionAttributes) throws(AdmissionRefusal) {
    if !pod["spec"]["serviceAccountName"].isEmpty {
      throw .forbidden(pod, attributes, "a mirror pod may not reference service accounts")
    }
    if referencesSecrets(pod["spec"]) { throw .forbidden(pod, attributes, "a mirror pod may not reference secrets") }
    let sources = (pod["spec"]["volumes"].array ?? []).flatMap { $0["projected"]["sources"].array ?? [] }
    if sources.contains(where: { !$0["serviceAccountToken"].isNull }) {
      throw .forbidden(pod, attributes, "a mirror pod may not use ServiceAccountToken volume projections")
    }
  }

  private static func referencesSecrets(_ spec: JSON) -> Bool {
    if !spec["imagePullSecrets"].isEmpty { return true }
    let containers = ["containers", "initContainers", "ephemeralContainers"].flatMap { spec[$0].array ?? [] }
    let inContainers = containers.contains { container in
      (container["envFrom"].array ?? []).contains { !$0["secretRef"].isNull }
        || (container["env"].array ?? []).contains { !$0["valueFrom"]["secretKeyRef"].isNull }
    }
    if inContainers { return true }
    let byReference = ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"]
    return (spec["volumes"].array ?? []).contains { volume in
      !volume["secret"].isNull || !volume["azureFile"]["secretName"].isEmpty || !volume["csi"]["nodePublishSecretRef"].isNull
        || byReference.contains { !volume[$0]["secretRef"].isNull }
        || (volume["projected"]["sources"].array ?? []).contains { !$0["secret"].isNull }
    }
  }

  // MARK: the token

  private static func mountToken(_ spec: inout JSON, suffix: String) {
    let lists = ["initContainers", "containers"]
    func needs(_ container: JSON) -> Bool { !(container["volumeMounts"].array ?? []).contains { $0["mountPath"].string == tokenPath } }
    guard lists.contains(where: { (spec[$0].array ?? []).contains(where: needs) }) else { return }
    let existing = (spec["volumes"].array ?? []).first { ($0["name"].string ?? "").hasPrefix("kube-api-access-") }
    let volume = existing?["name"].string ?? "kube-api-access-\(suffix)"
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

  // MARK: secrets that the account may mount

  private static func names(_ list: JSON) -> Set<String> { Set((list.array ?? []).compactMap { $0["name"].string }) }

  private static func tail(_ account: JSON) -> String {
    "is not allowed because service account \(account["metadata"]["name"].string ?? "") does not reference that"
  }

  private static func foreignSecret(of pod: JSON, _ account: JSON) -> String? {
    let mountable = names(account["secrets"])
    for volume in pod["spec"]["volumes"].array ?? [] {
      guard let name = volume["secret"]["secretName"].string, !mountable.contains(name) else { continue }
      return "volume with secret.secretName=\"\(name)\" \(tail(account)) secret"
    }
    let lists = [("initContainers", "init container"), ("containers", "container")]
    for (list, role) in lists {
      if let problem = foreignSecret(in: pod["spec"][list], role, account) { return problem }
    }
    let pullable = names(account["imagePullSecrets"])
    for (i, secret) in (pod["spec"]["imagePullSecrets"].array ?? []).enumerated() {
      let name = secret["name"].string ?? ""
      if !pullable.contains(name) { return "imagePullSecrets[\(i)].name=\"\(name)\" \(tail(account)) imagePullSecret" }
    }
    return nil
  }

  private static func foreignSecret(in containers: JSON, _ role: String, _ account: JSON) -> String? {
    let mountable = names(account["secrets"])
    for container in containers.array ?? [] {
      let head = "\(role) \(container["name"].string ?? "") with"
      for variable in container["env"].array ?? [] {
        guard let name = variable["valueFrom"]["secretKeyRef"]["name"].string, !mountable.contains(name) else { continue }
        return "\(head) envVar \(variable["name"].string ?? "") referencing secret.secretName=\"\(name)\" \(tail(account)) secret"
      }
      for source in container["envFrom"].array ?? [] {
        guard let name = source["secretRef"]["name"].string, !mountable.contains(name) else { continue }
        return "\(head) envFrom referencing secret.secretName=\"\(name)\" \(tail(account)) secret"
      }
    }
    return nil
  }
}
