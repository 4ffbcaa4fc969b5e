import JSONCodec
import Testing

@testable import APIMachinery

/// Errors of an object as it comes from a client: pruned and defaulted first.
private func problems(
  _ plural: String, _ group: String, _ text: String, old oldText: String? = nil, subresource: String? = nil
) throws -> [String] {
  let resource = registered(plural, group)
  func prepared(_ text: String) throws -> JSON {
    var object = try JSON.parse(text)
    _ = try prune(&object, type: resource.type)
    applyDefaults(&object, resource: resource)
    if object["metadata"]["name"].isNull, object["metadata"]["generateName"].isNull { object["metadata"]["name"] = "x" }
    if resource.isNamespaced, object["metadata"]["namespace"].isNull { object["metadata"]["namespace"] = "default" }
    return object
  }
  let old = try oldText.map(prepared)
  return validate(try prepared(text), old: old, resource: resource, subresource: subresource).map(\.description)
}

private func podProblems(_ spec: String, old: String? = nil) throws -> [String] {
  try problems("pods", "", #"{"spec":\#(spec)}"#, old: old.map { #"{"spec":\#($0)}"# })
}

/// A container with more fields.
private func container(_ more: String) -> String { #"{"containers":[{"name":"c","image":"a:1",\#(more)}]}"# }

@Suite struct ValidationTests {
  @Test func goodObjectsHaveNoProblems() throws {
    #expect(try podProblems(#"{"containers":[{"name":"c","image":"a:1"}]}"#) == [])
    let everything = #"""
      {"volumes":[{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"token","expirationSeconds":3607}},
        {"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},
        {"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"fieldPath":"metadata.namespace"}}]}}]}},{"name":"e"}],
       "initContainers":[{"name":"i","image":"b","restartPolicy":"Always","startupProbe":{"exec":{"command":["x"]}}}],
       "containers":[{"name":"c","image":"a:1","ports":[{"containerPort":80,"name":"http"}],
         "env":[{"name":"A.b-c","value":"1"},{"name":"N","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['app']"}}},
                {"name":"L","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}}],
         "envFrom":[{"secretRef":{"name":"s"}}],
         "resources":{"limits":{"cpu":"1","memory":"1Gi","example.com/gpu":"1"},"requests":{"cpu":"500m"}},
         "volumeMounts":[{"name":"t","mountPath":"/t","readOnly":true},{"name":"e","mountPath":"/e","subPath":"a/b"}],
         "livenessProbe":{"httpGet":{"port":"http"}},"readinessProbe":{"tcpSocket":{"port":80},"successThreshold":2},
         "lifecycle":{"preStop":{"sleep":{"seconds":5}}},"securityContext":{"runAsUser":0,"seccompProfile":{"type":"RuntimeDefault"}}}],
       "tolerations":[{"operator":"Exists"},{"key":"k","effect":"NoExecute","tolerationSeconds":3,"operator":"Exists"}],
       "affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Gt","values":["1"]}]}]}}},
       "topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule"}]}
      """#
    #expect(try podProblems(everything) == [])
  }

  /// Pod spec, errors.
  @Test(
    arguments: [
      (#"{}"#, ["spec.containers: Required value"]),
      (#"{"containers":[{"image":"a"}]}"#, ["spec.containers[0].name: Required value"]),
      (#"{"containers":[{"name":"c"}]}"#, ["spec.containers[0].image: Required value"]),
      (#"{"containers":[{"name":"c","image":"a"},{"name":"c","image":"a"}]}"#, [#"spec.containers[1].name: Duplicate value: "c""#]),
      (
        #"{"containers":[{"name":"c","image":"a"}],"restartPolicy":"Sometimes"}"#,
        [#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure""#]
      ),
      (
        container(#""imagePullPolicy":"X""#),
        [#"spec.containers[0].imagePullPolicy: Unsupported value: "X": supported values: "Always", "IfNotPresent", "Never""#]
      ),
      (
        container(#""ports":[{"containerPort":70000}]"#),
        ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"]
      ),
      (container(#""ports":[{"name":"a"}]"#), ["spec.containers[0].ports[0].containerPort: Required value"]),
      (
        container(#""ports":[{"containerPort":1,"hostPort":5},{"containerPort":2,"hostPort":5}]"#),
        [#"spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//5""#]
      ),
      (
        container(#""ports":[{"containerPort":1,"name":"UP"}]"#),
        [#"spec.containers[0].ports[0].name: Invalid value: "UP": must contain only alphanumeric characters (a-z, 0-9), and hyphens (-)"#]
      ),
      (
        container(#""env":[{"name":"A","value":"x","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]"#),
        [#"spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty"#]
      ),
      (
        container(#""env":[{"name":"A=B"}]"#),
        [
          #"spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII characters other than '='"#
        ]
      ),
      (container(#""volumeMounts":[{"name":"v","mountPath":"/x"}]"#), [#"spec.containers[0].volumeMounts[0].name: Not found: "v""#]),
      (
        #"{"volumes":[{"name":"v"},{"name":"v"}],"containers":[{"name":"c","image":"a"}]}"#,
        [#"spec.volumes[1].name: Duplicate value: "v""#]
      ),
      (
        #"{"volumes":[{"name":"v","emptyDir":{},"hostPath":{"path":"/x"}}],"containers":[{"name":"c","image":"a"}]}"#,
        ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"]
      ),
      (
        #"{"volumes":[{"name":"v"}],"containers":[{"name":"c","image":"a","volumeMounts":[{"name":"v","mountPath":"/a"},{"name":"v","mountPath":"/a"}]}]}"#,
        [#"spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique"#]
      ),
      (
        #"{"volumes":[{"name":"v"}],"containers":[{"name":"c","image":"a","volumeMounts":[{"name":"v","mountPath":"/a","subPath":"../b"}]}]}"#,
        [#"spec.containers[0].volumeMounts.subPath: Invalid value: "../b": must not contain '..'"#]
      ),
      (
        container(#""resources":{"limits":{"cpu":"1"},"requests":{"cpu":"2"}}"#),
        [#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#]
      ),
      (
        container(#""resources":{"limits":{"bogus":"1"}}"#),
        [
          #"spec.containers[0].resources.limits[bogus]: Invalid value: "bogus": must be a standard resource for containers"#,
          #"spec.containers[0].resources.requests[bogus]: Invalid value: "bogus": must be a standard resource for containers"#,
        ]
      ),
      (container(#""livenessProbe":{}"#), ["spec.containers[0].livenessProbe: Required value: must specify a handler type"]),
      (
        container(#""livenessProbe":{"exec":{"command":["a"]},"successThreshold":2}"#),
        ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"]
      ),
      (
        #"{"containers":[{"name":"c","image":"a"}],"initContainers":[{"name":"i","image":"a","livenessProbe":{"exec":{"command":["a"]}}}]}"#,
        ["spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"]
      ),
      (
        #"{"containers":[{"name":"c","image":"a"}],"tolerations":[{"value":"x"}]}"#,
        [
          #"spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys""#
        ]
      ),
      (
        #"{"containers":[{"name":"c","image":"a"}],"activeDeadlineSeconds":0}"#,
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"]
      ),
      (
        #"{"containers":[{"name":"c","image":"a"}],"nodeSelector":{"a b":"c"}}"#,
        [
          #"spec.nodeSelector: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#
        ]
      ),
      (
        container(#""securityContext":{"privileged":true,"allowPrivilegeEscalation":false}"#),
        [
          #"spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"#
        ]
      ),
      (
        #"{"containers":[{"name":"c","image":"a"}],"ephemeralContainers":[{"name":"e","image":"a"}]}"#,
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"]
      ),
      (
        #"{"containers":[{"name":"c","image":"a"}],"dnsPolicy":"None"}"#,
        ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]
      ),
      (
        #"{"containers":[{"name":"c","image":"a"}],"topologySpreadConstraints":[{"topologyKey":"z","whenUnsatisfiable":"DoNotSchedule"}]}"#,
        ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"]
      ),
    ] as [(String, [String])])
  func podsAreChecked(_ spec: String, _ expected: [String]) throws { #expect(try podProblems(spec) == expected) }

  @Test func namesAreChecked() throws {
    #expect(
      try problems("pods", "", #"{"metadata":{"name":"A"},"spec":{"containers":[{"name":"c","image":"a"}]}}"#)
        == [#"metadata.name: Invalid value: "A": "# + NameProblems.subdomainText])
    let resource = registered("configmaps")
    #expect(
      validate(["metadata": ["namespace": "n"]], old: nil, resource: resource).map(\.description)
        == ["metadata.name: Required value: name or generateName is required"])
    #expect(
      try problems("namespaces", "", #"{"metadata":{"name":"a.b"}}"#).first?.hasPrefix(
        #"metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label"#) == true)
    #expect(try problems("clusterroles", "rbac.authorization.k8s.io", #"{"metadata":{"name":"system:node"}}"#) == [])
    #expect(
      try problems("clusterroles", "rbac.authorization.k8s.io", #"{"metadata":{"name":"a/b"}}"#) == [
        #"metadata.name: Invalid value: "a/b": may not contain '/'"#
      ])
    #expect(
      try problems("nodes", "", #"{"metadata":{"name":"n","namespace":"x"}}"#) == [
        "metadata.namespace: Forbidden: not allowed on this type"
      ])
  }

  /// Metadata, how the errors begin.
  @Test(
    arguments: [
      (#"{"labels":{"a":"b c"}}"#, [#"metadata.labels: Invalid value: "b c": a valid label must be"#]),
      (#"{"annotations":{"a b":"x"}}"#, [#"metadata.annotations: Invalid value: "a b": name part must consist"#]),
      (
        #"{"finalizers":["x"]}"#,
        [#"metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified"#]
      ),
      (
        #"{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":""}]}"#,
        [#"metadata.ownerReferences.uid: Invalid value: "": uid must not be empty"#]
      ),
      (
        #"{"ownerReferences":[{"apiVersion":"v1","kind":"A","name":"p","uid":"1","controller":true},{"apiVersion":"v1","kind":"A","name":"q","uid":"2","controller":true}]}"#,
        ["metadata.ownerReferences: Invalid value: ["]
      ),
    ] as [(String, [String])])
  func metadataIsChecked(_ metadata: String, _ expected: [String]) throws {
    let found = try problems("configmaps", "", #"{"metadata":\#(metadata)}"#)
    #expect(found.count == expected.count)
    for (text, beginning) in zip(found, expected) { #expect(text.hasPrefix(beginning)) }
  }

  @Test func metadataMayNotChangeOnUpdate() throws {
    #expect(
      try problems("configmaps", "", #"{"metadata":{"uid":"b"}}"#, old: #"{"metadata":{"uid":"a"}}"#)
        == [#"metadata.uid: Invalid value: "b": field is immutable"#])
    let deleted = #"{"metadata":{"deletionTimestamp":"2020-01-01T00:00:00Z","finalizers":["a/b"]}}"#
    let grown = #"{"metadata":{"deletionTimestamp":"2020-01-01T00:00:00Z","finalizers":["a/b","c/d"]}}"#
    #expect(
      try problems("configmaps", "", grown, old: deleted).first?.hasPrefix("metadata.finalizers: Forbidden: no new finalizers can be added")
        == true)
    #expect(try problems("configmaps", "", deleted, old: #"{"metadata":{"finalizers":["a/b"]}}"#) == [])
  }

  @Test func onlySomeOfAPodSpecMayChange() throws {
    let old = #"{"containers":[{"name":"c","image":"a:1"}],"nodeName":"n"}"#
    #expect(try podProblems(#"{"containers":[{"name":"c","image":"a:2"}],"nodeName":"n"}"#, old: old) == [])
    #expect(
      try podProblems(#"{"containers":[{"name":"c","image":"a:1"}],"nodeName":"n","tolerations":[{"operator":"Exists"}]}"#, old: old) == [])
    let moved = try podProblems(#"{"containers":[{"name":"c","image":"a:1"}],"nodeName":"m"}"#, old: old)
    #expect(
      moved.count == 1 && moved[0].hasPrefix("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"))
    #expect(moved[0].contains(#"+ nodeName: "m""#))
    #expect(
      try podProblems(#"{"containers":[{"name":"c","image":"a:1"},{"name":"d","image":"a:1"}],"nodeName":"n"}"#, old: old)
        == ["spec.containers: Forbidden: pod updates may not add or remove containers"])
    #expect(
      try podProblems(
        #"{"containers":[{"name":"c","image":"a:1"}],"nodeName":"n","activeDeadlineSeconds":20}"#,
        old: #"{"containers":[{"name":"c","image":"a:1"}],"nodeName":"n","activeDeadlineSeconds":10}"#)
        == ["spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"])
  }

  @Test func ephemeralContainersOnlyCome() throws {
    let old = #"{"spec":{"containers":[{"name":"c","image":"a:1"}],"ephemeralContainers":[{"name":"e","image":"a:1"}]}}"#
    let more =
      #"{"spec":{"containers":[{"name":"c","image":"a:1"}],"ephemeralContainers":[{"name":"e","image":"a:1"},{"name":"f","image":"a:1","targetContainerName":"c"}]}}"#
    #expect(try problems("pods", "", more, old: old, subresource: "ephemeralcontainers") == [])
    let less = #"{"spec":{"containers":[{"name":"c","image":"a:1"}]}}"#
    #expect(
      try problems("pods", "", less, old: old, subresource: "ephemeralcontainers") == [
        "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n"
      ])
  }

  @Test func resizeChangesOnlyCPUAndMemory() throws {
    func pod(_ resources: String, _ image: String = "a:1") -> String {
      #"{"spec":{"containers":[{"name":"c","image":"\#(image)","resources":\#(resources)}]}}"#
    }
    let old = pod(#"{"requests":{"cpu":"1"}}"#)
    #expect(try problems("pods", "", pod(#"{"requests":{"cpu":"2"}}"#), old: old, subresource: "resize") == [])
    #expect(
      try problems("pods", "", pod(#"{"requests":{"cpu":"2"}}"#, "b:1"), old: old, subresource: "resize") == [
        "spec: Forbidden: only cpu and memory resources are mutable"
      ])
    #expect(try problems("pods", "", pod("{}"), old: old, subresource: "resize").first?.contains("Pod QOS Class may not change") == true)
  }

  /// Plural, group, object, errors.
  @Test(
    arguments: [
      ("services", "", #"{"spec":{}}"#, ["spec.ports: Required value"]),
      ("services", "", #"{"spec":{"clusterIP":"None"}}"#, []),
      (
        "services", "", #"{"spec":{"ports":[{"port":80},{"port":81}]}}"#,
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"]
      ),
      (
        "services", "", #"{"spec":{"ports":[{"port":80,"nodePort":30000}]}}"#,
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]
      ),
      ("services", "", #"{"spec":{"type":"ExternalName"}}"#, ["spec.externalName: Required value"]),
      (
        "services", "", #"{"spec":{"type":"X","ports":[{"port":80}]}}"#,
        [#"spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#]
      ),
      (
        "services", "", #"{"spec":{"ports":[{"port":80}],"clusterIP":"1.2.3","clusterIPs":["1.2.3"]}}"#,
        [#"spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#]
      ),
      (
        "configmaps", "", #"{"data":{"a/b":"x"}}"#,
        [
          #"data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"#
        ]
      ),
      ("secrets", "", #"{"type":"kubernetes.io/tls"}"#, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
      (
        "secrets", "", #"{"type":"kubernetes.io/dockerconfigjson","data":{".dockerconfigjson":"eA=="}}"#,
        [#"data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character in JSON"#]
      ),
      (
        "nodes", "", #"{"spec":{"taints":[{"key":"a","effect":"X"}]}}"#,
        [#"metadata.taints[0].effect: Unsupported value: "X": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule""#]
      ),
      (
        "leases", "coordination.k8s.io", #"{"spec":{"leaseDurationSeconds":0}}"#,
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than zero"]
      ),
      (
        "events", "", #"{"involvedObject":{"namespace":"other"}}"#,
        [#"involvedObject.namespace: Invalid value: "other": does not match event.namespace"#]
      ),
      ("events", "", #"{"involvedObject":{"namespace":"default"},"reason":"R"}"#, []),
      (
        "endpointslices", "discovery.k8s.io", #"{"addressType":"IPv4","endpoints":[{"addresses":["2001:db8::1"]}],"ports":[{"port":1}]}"#,
        [#"endpoints[0].addresses[0]: Invalid value: "2001:db8::1": must be a valid IPv4 address"#]
      ),
      ("resourcequotas", "", #"{"spec":{"hard":{"pods":"1500m"}}}"#, [#"spec.hard[pods]: Invalid value: "1500m": must be an integer"#]),
      (
        "limitranges", "",
        #"{"spec":{"limits":[{"type":"Container","min":{"cpu":"2"},"max":{"cpu":"1"},"default":{"cpu":"1"},"defaultRequest":{"cpu":"1"}}]}}"#,
        [
          #"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#,
          #"spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1"#,
          #"spec.limits[0].default[cpu]: Invalid value: "1": min value 2 is greater than default value 1"#,
        ]
      ),
      (
        "persistentvolumes", "", #"{"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"}}}"#,
        ["spec: Required value: must specify a volume type"]
      ),
      (
        "persistentvolumeclaims", "", #"{"spec":{}}"#,
        ["spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"]
      ),
      (
        "deployments", "apps",
        #"{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"a"}]}}}}"#,
        [#"spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`"#]
      ),
      (
        "deployments", "apps", #"{"spec":{"selector":{},"template":{"spec":{"containers":[{"name":"c","image":"a"}]}}}}"#,
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]
      ),
      (
        "deployments", "apps",
        #"{"spec":{"replicas":-1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"a"}]}}}}"#,
        [
          #"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
          "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ]
      ),
      (
        "jobs", "batch", #"{"metadata":{"uid":"u"},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"a"}]}}}}"#,
        [#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#]
      ),
      (
        "cronjobs", "batch",
        #"{"spec":{"schedule":"x","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"a"}]}}}}}}"#,
        [#"spec.schedule: Invalid value: "x": expected exactly 5 fields, found 1: [x]"#]
      ),
      (
        "roles", "rbac.authorization.k8s.io", #"{"rules":[{"resources":["pods"]}]}"#,
        [
          "rules[0].verbs: Required value: verbs must contain at least one value",
          "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ]
      ),
      (
        "networkpolicies", "networking.k8s.io", #"{"spec":{"podSelector":{},"ingress":[{"from":[{}]}]}}"#,
        ["spec.ingress[0].from[0]: Required value: must specify a peer"]
      ),
      (
        "poddisruptionbudgets", "policy", #"{"spec":{"minAvailable":"x"}}"#,
        [
          #"spec.minAvailable: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"#
        ]
      ),
      ("storageclasses", "storage.k8s.io", #"{"provisioner":""}"#, ["provisioner: Required value"]),
      ("csidrivers", "storage.k8s.io", #"{"spec":{}}"#, []),
      (
        "ingresses", "networking.k8s.io",
        #"{"spec":{"rules":[{"http":{"paths":[{"path":"/","pathType":"Odd","backend":{"service":{"name":""}}}]}}]}}"#,
        [
          "spec.rules[0].http.paths[0].backend.service.name: Required value",
          "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
          #"spec.rules[0].http.paths[0].pathType: Unsupported value: "Odd": supported values: "Exact", "ImplementationSpecific", "Prefix""#,
        ]
      ),
      (
        "ingresses", "networking.k8s.io", #"{"spec":{}}"#, ["spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified"]
      ),
      ("ingresses", "networking.k8s.io", #"{"spec":{"defaultBackend":{"service":{"name":"a","port":{"number":80}}}}}"#, []),
    ] as [(String, String, String, [String])])
  func otherKindsAreChecked(_ plural: String, _ group: String, _ text: String, _ expected: [String]) throws {
    #expect(try problems(plural, group, text) == expected)
  }

  /// The volumes of a StatefulSet's claims are its pods', though its template does not name them.
  @Test func setsMountTheirClaims() throws {
    func set(mount: String) -> String {
      let container = #"{"name":"c","image":"a","volumeMounts":[{"name":"\#(mount)","mountPath":"/data"}]}"#
      let template = #"{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[\#(container)]}}"#
      let claim = #"{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#
      return #"{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":\#(template),"volumeClaimTemplates":[\#(claim)]}}"#
    }
    #expect(try problems("statefulsets", "apps", set(mount: "data")) == [])
    #expect(
      try problems("statefulsets", "apps", set(mount: "dat")) == [
        #"spec.template.spec.containers[0].volumeMounts[0].name: Not found: "dat""#
      ])
  }

  /// Plural, group, old, new, beginning of the only error.
  @Test(arguments: [
    (
      "deployments", "apps",
      #"{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"a"}]}}}}"#,
      #"{"spec":{"selector":{"matchLabels":{"a":"c"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"a"}]}}}}"#,
      #"spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable"#
    ),
    (
      "configmaps", "", #"{"immutable":true,"data":{"a":"1"}}"#, #"{"immutable":true,"data":{"a":"2"}}"#,
      "data: Forbidden: field is immutable when `immutable` is set"
    ),
    ("secrets", "", #"{"type":"a/b"}"#, #"{"type":"c/d"}"#, #"type: Invalid value: "c/d": field is immutable"#),
    (
      "services", "", #"{"spec":{"ports":[{"port":80}],"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"]}}"#,
      #"{"spec":{"ports":[{"port":80}],"clusterIP":"10.0.0.2","clusterIPs":["10.0.0.2"]}}"#,
      #"spec.clusterIPs[0]: Invalid value: "10.0.0.2": may not change once set"#
    ),
    ("nodes", "", #"{"spec":{"podCIDRs":["10.1.0.0/24"]}}"#, #"{"spec":{"podCIDRs":["10.2.0.0/24"]}}"#, "spec.podCIDRs: Forbidden:"),
    (
      "statefulsets", "apps",
      #"{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"a"}]}}}}"#,
      #"{"spec":{"serviceName":"x","selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"a"}]}}}}"#,
      "spec: Forbidden: updates to statefulset spec for fields other than"
    ),
    (
      "rolebindings", "rbac.authorization.k8s.io", #"{"roleRef":{"kind":"Role","name":"a"}}"#, #"{"roleRef":{"kind":"Role","name":"b"}}"#,
      "roleRef: Invalid value: "
    ),
    (
      "storageclasses", "storage.k8s.io", #"{"provisioner":"a/b"}"#, #"{"provisioner":"c/d"}"#,
      "provisioner: Forbidden: updates to provisioner are forbidden."
    ),
    ("priorityclasses", "scheduling.k8s.io", #"{"value":1}"#, #"{"value":2}"#, "value: Forbidden: may not be changed in an update."),
    (
      "persistentvolumeclaims", "",
      #"{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"storageClassName":"a"}}"#,
      #"{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"storageClassName":"b"}}"#,
      "spec: Forbidden: spec is immutable after creation"
    ),
  ])
  func updatesAreChecked(_ plural: String, _ group: String, _ old: String, _ new: String, _ expected: String) throws {
    #expect(try problems(plural, group, old, old: old) == [])
    let found = try problems(plural, group, new, old: old)
    #expect(found.count == 1 && found[0].hasPrefix(expected), "\(found)")
  }

  @Test func errorsBecomeAStatus() {
    let errors = [
      FieldError(path: "spec.a", reason: .required, message: "Required value"),
      FieldError(path: "spec.a", reason: .required, message: "Required value"),
      FieldError(path: "spec.b", reason: .invalid, message: "Invalid value: 1: too small"),
    ]
    let status = invalidStatus(errors, resource: registered("deployments", "apps"), name: "web")
    #expect(status["message"] == #"Deployment.apps "web" is invalid: [spec.a: Required value, spec.b: Invalid value: 1: too small]"#)
    #expect(
      status["code"] == 422 && status["reason"] == "Invalid" && status["details"]["kind"] == "Deployment"
        && status["details"]["group"] == "apps")
    #expect(status["details"]["causes"].items.count == 3)
    #expect(status["details"]["causes"][2] == ["reason": "FieldValueInvalid", "message": "Invalid value: 1: too small", "field": "spec.b"])
    let one = invalidStatus([errors[0]], resource: registered("pods"), name: "p")
    #expect(one["message"] == #"Pod "p" is invalid: spec.a: Required value"#)
  }

  @Test func subresourcesOfTheirOwnKind() {
    func paths(_ object: JSON, _ resource: ResourceInfo, _ subresource: String) -> [String] {
      validate(object, old: nil, resource: resource, subresource: subresource).map(\.path)
    }
    let pods = registered("pods")
    #expect(paths(["kind": "Binding", "target": .object(JSONObject())], pods, "binding") == ["target.name"])
    #expect(paths(["kind": "Binding", "target": ["name": "n", "kind": "Node"]], pods, "binding") == [])
    #expect(paths(["kind": "Scale", "spec": ["replicas": -1]], registered("deployments", "apps"), "scale") == ["spec.replicas"])
    #expect(
      paths(["kind": "TokenRequest", "spec": ["expirationSeconds": 10]], registered("serviceaccounts"), "token") == [
        "spec.expirationSeconds"
      ])
  }

  /// The server binds a pod by changing it, which an ordinary update may not.
  @Test func aPodIsBoundByItsSubresource() {
    let pod: JSON = ["kind": "Pod", "metadata": ["name": "a", "namespace": "n"], "spec": ["containers": [["name": "c", "image": "a"]]]]
    var bound = pod
    bound["spec"]["nodeName"] = "node"
    #expect(validate(bound, old: pod, resource: registered("pods"), subresource: "binding") == [])
    #expect(validate(bound, old: pod, resource: registered("pods")).map(\.path).contains("spec"))
  }

  @Test(arguments: [
    ("1.2.3.4", true), ("1.2.3.256", false), ("01.2.3.4", false), ("1.2.3", false), ("::", true), ("::1", true), ("fe80::1:2", true),
    ("1:2:3:4:5:6:7:8", true),
    ("1:2:3:4:5:6:7", false), ("::ffff:1.2.3.4", true), (":::", false), ("1::2::3", false), ("12345::", false), ("", false),
  ])
  func addressesAreRead(_ text: String, _ isAddress: Bool) { #expect(IPAddresses.isAddress(text) == isAddress) }
}
