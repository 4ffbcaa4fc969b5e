import JSONCodec
import Testing

@testable import Admission

@Suite struct PodSecurityCheckTests {
  static let good: JSON = [
    "securityContext": ["runAsNonRoot": true, "seccompProfile": ["type": "RuntimeDefault"]],
    "containers": [
      [
        "name": "c", "image": "nginx",
        "securityContext": ["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]],
      ]
    ],
  ]

  private static func details(_ spec: JSON, _ standard: PodSecurityStandard, annotations: JSON = .null) -> String {
    PodSecurityViolation.details(
      PodSecurityCheck.violations(of: CheckedPod(metadata: ["annotations": annotations], spec: spec), standard))
  }

  @Test func thereAreNineteenChecks() {
    #expect(PodSecurityCheck.all.count == 19)
    #expect(Set(PodSecurityCheck.all.map(\.id)).count == 19)
    #expect(PodSecurityCheck.all.map(\.id).prefix(3) == ["appArmorProfile", "capabilities_baseline", "hostNamespaces"])
    #expect(PodSecurityCheck.all.last?.id == "seccompProfile_restricted")
  }

  @Test func aPodThatSaysNothingBreaksRestrictedInFourWays() {
    #expect(
      Self.details(pod()["spec"], PodSecurityStandard(.restricted))
        == "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), "
        + "unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), "
        + "runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), "
        + "seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")")
    #expect(Self.details(pod()["spec"], PodSecurityStandard(.baseline)).isEmpty)
    #expect(Self.details(Self.good, PodSecurityStandard(.restricted)).isEmpty)
  }

  /// Changes to a spec that baseline lets pass, and the text of the refusal.
  static let baselineTable: [(change: @Sendable (inout JSON) -> Void, text: String)] = [
    (
      {
        $0["hostIPC"] = true; $0["hostNetwork"] = true
      }, "host namespaces (hostNetwork=true, hostIPC=true)"
    ),
    (
      { $0["volumes"] = [["name": "a", "hostPath": ["path": "/"]], ["name": "b", "hostPath": ["path": "/"]]] },
      "hostPath volumes (volumes \"a\", \"b\")"
    ),
    (
      { $0["containers"] = [["name": "c", "ports": [["hostPort": 80], ["hostPort": 443]]]] },
      "hostPort (container \"c\" uses hostPorts 443, 80)"
    ),
    (
      {
        $0["containers"] = [["name": "c", "livenessProbe": ["httpGet": ["host": "a.example"]]]]
        $0["initContainers"] = [["name": "b", "lifecycle": ["preStop": ["tcpSocket": ["host": "b.example"]]]]]
      }, "probe or lifecycle host (containers \"b\", \"c\" use probe or lifecycle hosts \"a.example\", \"b.example\")"
    ),
    (
      { $0["containers"] = [["name": "c", "securityContext": ["privileged": true]]] },
      "privileged (container \"c\" must not set securityContext.privileged=true)"
    ),
    (
      { $0["ephemeralContainers"] = [["name": "debug", "securityContext": ["capabilities": ["add": ["SYS_ADMIN", "KILL", "BPF"]]]]] },
      "non-default capabilities (container \"debug\" must not include \"BPF\", \"SYS_ADMIN\" in securityContext.capabilities.add)"
    ),
    (
      { $0["containers"] = [["name": "c", "securityContext": ["procMount": "Unmasked"]]] },
      "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")"
    ),
    (
      { $0["securityContext"] = ["seLinuxOptions": ["user": "u", "role": "r"]] },
      "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: user may not be set; role may not be set)"
    ),
    (
      {
        $0["securityContext"] = ["seLinuxOptions": ["type": "bad"]]
        $0["containers"] = [["name": "c", "securityContext": ["seLinuxOptions": ["type": "worse"]]]]
      }, "seLinuxOptions (pod and container \"c\" set forbidden securityContext.seLinuxOptions: types \"bad\", \"worse\")"
    ),
    (
      { $0["securityContext"] = ["seccompProfile": ["type": "Unconfined"]] },
      "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")"
    ),
    (
      { $0["securityContext"] = ["sysctls": [["name": "kernel.msgmax"], ["name": "net.ipv4.tcp_rmem"], ["name": "net.core.somaxconn"]]] },
      "forbidden sysctls (kernel.msgmax, net.core.somaxconn)"
    ),
    (
      { $0["securityContext"] = ["windowsOptions": ["hostProcess": true]] },
      "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"
    ),
    (
      { $0["securityContext"] = ["appArmorProfile": ["type": "Unconfined"]] },
      "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")"
    ),
  ]

  @Test(arguments: baselineTable.indices)
  func baselineRefusesWithUpstreamsText(_ i: Int) {
    var spec = pod()["spec"]
    Self.baselineTable[i].change(&spec)
    #expect(Self.details(spec, PodSecurityStandard(.baseline)) == Self.baselineTable[i].text)
  }

  static let restrictedTable: [(change: @Sendable (inout JSON) -> Void, text: String)] = [
    (
      {
        $0["volumes"] = [
          ["name": "a", "hostPath": ["path": "/"]], ["name": "b", "nfs": ["path": "/"]], ["name": "d", "emptyDir": .object(JSONObject())],
        ]
      },
      "restricted volume types (volumes \"a\", \"b\" use restricted volume types \"hostPath\", \"nfs\")"
    ),
    (
      { $0["securityContext"]["runAsNonRoot"] = false },
      "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"
    ),
    ({ $0["securityContext"]["runAsUser"] = 0 }, "runAsUser=0 (pod must not set runAsUser=0)"),
    (
      { $0["securityContext"]["seccompProfile"] = .null },
      "seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    ),
    (
      {
        var containers = $0["containers"].array!
        containers[0]["securityContext"]["capabilities"] = ["add": ["CHOWN"]]
        $0["containers"] = .array(containers)
      },
      "unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]; container \"c\" must not include \"CHOWN\" in securityContext.capabilities.add)"
    ),
    (
      {
        var containers = $0["containers"].array!
        containers[0]["securityContext"]["procMount"] = "Unmasked"
        $0["containers"] = .array(containers)
        $0["hostUsers"] = false
      }, "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")"
    ),
  ]

  @Test(arguments: restrictedTable.indices)
  func restrictedRefusesWithUpstreamsText(_ i: Int) {
    var spec = Self.good
    Self.restrictedTable[i].change(&spec)
    #expect(Self.details(spec, PodSecurityStandard(.restricted)) == Self.restrictedTable[i].text)
  }

  @Test func annotationsOfAppArmorCountToo() {
    let text = Self.details(
      pod()["spec"], PodSecurityStandard(.baseline),
      annotations: [
        "container.apparmor.security.beta.kubernetes.io/c": "unconfined", "container.apparmor.security.beta.kubernetes.io/d": "localhost/x",
      ])
    #expect(text.hasPrefix("forbidden AppArmor profile (annotation must not set AppArmor profile type to \"container.apparmor"))
  }

  /// Rules appear and change with releases.
  @Test func versionsDecideWhichRulesApply() {
    func restricted(_ minor: Int, _ spec: JSON) -> String { Self.details(spec, PodSecurityStandard(.restricted, .minor(minor))) }
    func baseline(_ minor: Int, _ spec: JSON) -> String { Self.details(spec, PodSecurityStandard(.baseline, .minor(minor))) }
    let probe: JSON = ["containers": [["name": "c", "livenessProbe": ["httpGet": ["host": "a"]]]]]
    #expect(baseline(33, probe).isEmpty && !baseline(34, probe).isEmpty && !baseline(99, probe).isEmpty)
    let sysctl: JSON = ["securityContext": ["sysctls": [["name": "net.ipv4.tcp_keepalive_time"]]]]
    #expect(!baseline(28, sysctl).isEmpty && baseline(29, sysctl).isEmpty)
    let engine: JSON = ["securityContext": ["seLinuxOptions": ["type": "container_engine_t"]]]
    #expect(!baseline(30, engine).isEmpty && baseline(31, engine).isEmpty)
    var root = Self.good
    root["securityContext"]["runAsUser"] = 0
    #expect(restricted(22, root).isEmpty && !restricted(23, root).isEmpty)
    root["hostUsers"] = false
    #expect(!restricted(34, root).isEmpty && restricted(35, root).isEmpty)
    let windows: JSON = ["os": ["name": "windows"], "securityContext": ["runAsNonRoot": true], "containers": [["name": "c"]]]
    #expect(!restricted(24, windows).isEmpty && restricted(25, windows).isEmpty)
    // Before 1.22 the default capabilities may be added back, and baseline's check stands alone.
    var capabilities = Self.good
    capabilities["containers"] = [["name": "c", "securityContext": ["allowPrivilegeEscalation": false, "capabilities": ["add": ["BPF"]]]]]
    #expect(restricted(21, capabilities).hasPrefix("non-default capabilities"))
    #expect(restricted(22, capabilities).hasPrefix("unrestricted capabilities"))
  }
}

@Suite struct PodSecurityAdmissionTests {
  private static let prefix = "pod-security.kubernetes.io/"

  private static func findings(
    _ object: JSON, _ attributes: AdmissionAttributes, _ labels: JSON, pods: [JSON] = []
  ) throws -> AdmissionFindings {
    try AdmissionChain().validate(
      object, attributes: attributes, cluster: facts([.namespace("team"): [namespace(labels)], .pods(namespace: "team"): pods]))
  }

  @Test func aPodIsHeldToTheLevelThatItsNamespaceEnforces() {
    let labels: JSON = ["pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.30"]
    let message = refusal(pod(), attributes(), facts([.namespace("team"): [namespace(labels)]]))
    #expect(
      message?.hasPrefix(
        "pods \"web\" is forbidden: violates PodSecurity \"restricted:v1.30\": allowPrivilegeEscalation != false (container \"c\" must")
        == true)
    #expect(refusal(pod()) == nil)
  }

  @Test func workloadsGiveWarningsAndAuditAnnotationsOnly() throws {
    let deployment: JSON = [
      "metadata": ["name": "web"], "spec": ["template": ["spec": ["hostNetwork": true, "containers": [["name": "c"]]]]],
    ]
    let request = attributes(.create, "deployments", group: "apps", kind: "Deployment")
    let found = try Self.findings(
      deployment, request, ["pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/audit": "baseline"])
    let text = "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
    #expect(found.warnings == [text])
    #expect(found.auditAnnotations == [Self.prefix + "audit-violations": text])
    let cronJob: JSON = ["metadata": ["name": "web"], "spec": ["jobTemplate": ["spec": ["template": deployment["spec"]["template"]]]]]
    let cron = try Self.findings(
      cronJob, attributes(.create, "cronjobs", group: "batch", kind: "CronJob"), ["pod-security.kubernetes.io/warn": "baseline"])
    #expect(cron.warnings == [text])
    #expect(cron.auditAnnotations.isEmpty)
  }

  @Test func updatesThatChangeNothingThatIsCheckedPass() throws {
    let labels: JSON = ["pod-security.kubernetes.io/enforce": "restricted"]
    var changed = pod()
    changed["metadata"]["labels"]["a"] = "b"
    _ = try Self.findings(changed, attributes(.update, old: pod()), labels)
    _ = try Self.findings(changed, attributes(.update, subresource: "status", old: pod()), labels)
    var debugged = pod()
    debugged["spec"]["ephemeralContainers"] = [["name": "debug", "image": "busybox"]]
    #expect(throws: AdmissionRefusal.self) {
      try Self.findings(debugged, attributes(.update, subresource: "ephemeralcontainers", old: pod()), labels)
    }
    var image = pod()
    image["spec"]["containers"] = [["name": "c", "image": "other"]]
    #expect(throws: AdmissionRefusal.self) { try Self.findings(image, attributes(.update, old: pod()), labels) }
  }

  @Test func labelsAreReadStrictlyAndFailClosed() throws {
    let (policy, errors) = PodSecurityPolicy.read(
      labels: [
        "pod-security.kubernetes.io/enforce": "strict", "pod-security.kubernetes.io/warn": "odd",
        "pod-security.kubernetes.io/audit-version": "1.30",
      ], defaults: .privileged)
    #expect(policy.enforce.level == .restricted && policy.warn.level == .privileged && policy.audit.version == .latest)
    #expect(
      errors.map(\.field) == [
        "metadata.labels[pod-security.kubernetes.io/enforce]", "metadata.labels[pod-security.kubernetes.io/audit-version]",
        "metadata.labels[pod-security.kubernetes.io/warn]",
      ])
    let request = attributes(.create, "namespaces", kind: "Namespace", namespace: nil)
    let refused = #expect(throws: AdmissionRefusal.self) {
      try Self.findings(namespace(["pod-security.kubernetes.io/enforce": "strict"]), request, .null)
    }
    #expect(refused?.code == 422 && refused?.reason == "Invalid")
    #expect(
      refused?.message
        == "Namespace \"team\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"
    )
    // What was wrong before may stay.
    let wrong = namespace(["pod-security.kubernetes.io/enforce": "strict"])
    _ = try Self.findings(wrong, attributes(.update, "namespaces", kind: "Namespace", namespace: nil, old: wrong), .null)
    #expect(["v1.0", "v1.30", "latest"].allSatisfy { PodSecurityVersion($0) != nil })
    #expect(["v1.01", "1.30", "v2.0", "v1.", "v1.-1", ""].allSatisfy { PodSecurityVersion($0) == nil })
  }

  @Test func aStricterLevelWarnsOfPodsThatAreThere() throws {
    func owned(_ name: String, _ spec: JSON) -> JSON {
      var object = pod(name, spec)
      object["metadata"]["ownerReferences"] = [["controller": true, "uid": "r1"]]
      return object
    }
    let host: JSON = ["hostNetwork": true, "containers": [["name": "c"]]]
    let pods =
      [owned("b", host), owned("a", host), pod("z", host), pod("fine"), pod("p", ["hostPID": true, "hostNetwork": true])]
      + [pod("v", ["volumes": [["name": "x", "hostPath": ["path": "/"]]]])]
    let request = attributes(.update, "namespaces", kind: "Namespace", namespace: nil, old: namespace())
    let stricter = namespace(["pod-security.kubernetes.io/enforce": "baseline"])
    #expect(
      try Self.findings(stricter, request, .null, pods: pods).warnings == [
        "existing pods in namespace \"team\" violate the new PodSecurity enforce level \"baseline:latest\"",
        "a (and 3 other pods): host namespaces", "v: hostPath volumes",
      ])
    // Towards less there is nothing to tell, and nothing to look up.
    let looser = attributes(.update, "namespaces", kind: "Namespace", namespace: nil, old: stricter)
    #expect(try Self.findings(namespace(), looser, .null, pods: pods).warnings.isEmpty)
    #expect(AdmissionChain().facts(for: namespace(), attributes: looser).isEmpty)
    #expect(AdmissionChain().facts(for: stricter, attributes: request) == [.pods(namespace: "team")])
  }
}
