import JSONCodec
import Testing

@testable import APIMachinery

func registered(_ plural: String, _ group: String = "", _ version: String = "v1") -> ResourceInfo {
  SchemaRegistry.shared.resource(group: group, version: version, plural: plural)!
}

func defaulted(_ plural: String, _ object: JSON) -> JSON { defaulted(plural, "", object) }

func defaulted(_ plural: String, _ group: String, _ object: JSON) -> JSON {
  var object = object
  applyDefaults(&object, resource: registered(plural, group))
  return object
}

@Suite struct DefaultingTests {
  @Test func aPodGetsWhatUpstreamGivesIt() {
    let pod = defaulted("pods", ["metadata": ["name": "a"], "spec": ["containers": [["name": "c", "image": "nginx"]]]])
    #expect(
      pod["spec"] == [
        "containers": [
          [
            "name": "c", "image": "nginx", "imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File", "resources": .object(JSONObject()),
          ]
        ],
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "securityContext": .object(JSONObject()),
        "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler", "enableServiceLinks": true,
      ])
  }

  @Test(arguments: [
    ("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1.27", "IfNotPresent"), ("localhost:5000/nginx", "Always"),
    ("localhost:5000/nginx:1", "IfNotPresent"), ("nginx@sha256:abc", "IfNotPresent"), ("nginx:latest@sha256:abc", "Always"),
  ])
  func pullPolicyFollowsTheTag(_ image: String, _ policy: String) {
    let pod = defaulted("pods", ["spec": ["containers": [["name": "c", "image": .string(image)]]]])
    #expect(pod["spec"]["containers"][0]["imagePullPolicy"].string == policy)
  }

  /// Pod spec given, path, value after defaulting.
  @Test(
    arguments: [
      (#"{"volumes":[{"name":"v"}]}"#, ["volumes", "0", "emptyDir"], "{}"),
      (#"{"volumes":[{"name":"v","hostPath":{"path":"/x"}}]}"#, ["volumes", "0", "hostPath", "type"], #""""#),
      (#"{"volumes":[{"name":"v","configMap":{"name":"x"}}]}"#, ["volumes", "0", "configMap", "defaultMode"], "420"),
      (
        #"{"volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}}]}"#,
        ["volumes", "0", "projected", "sources", "0", "serviceAccountToken", "expirationSeconds"], "3600"
      ),
      (#"{"terminationGracePeriodSeconds":0}"#, ["terminationGracePeriodSeconds"], "0"),
      (#"{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}]}"#, ["containers", "0", "resources", "requests", "cpu"], #""1""#),
      (
        #"{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"},"requests":{"cpu":"100m"}}}]}"#,
        ["containers", "0", "resources", "requests", "cpu"], #""100m""#
      ),
      (
        #"{"containers":[{"name":"c","resources":{"limits":{"cpu":"1500001n"}}}]}"#, ["containers", "0", "resources", "limits", "cpu"],
        #""2m""#
      ),
      (
        #"{"hostNetwork":true,"containers":[{"name":"c","ports":[{"containerPort":80}]}]}"#, ["containers", "0", "ports", "0", "hostPort"],
        "80"
      ),
      (#"{"containers":[{"name":"c","ports":[{"containerPort":80}]}]}"#, ["containers", "0", "ports", "0", "protocol"], #""TCP""#),
      (
        #"{"containers":[{"name":"c","livenessProbe":{"httpGet":{"port":80}}}]}"#,
        ["containers", "0", "livenessProbe", "failureThreshold"], "3"
      ),
      (
        #"{"containers":[{"name":"c","livenessProbe":{"httpGet":{"port":80}}}]}"#, ["containers", "0", "livenessProbe", "httpGet", "path"],
        #""/""#
      ),
      (
        #"{"containers":[{"name":"c","lifecycle":{"preStop":{"httpGet":{"port":80}}}}]}"#,
        ["containers", "0", "lifecycle", "preStop", "httpGet", "scheme"], #""HTTP""#
      ),
      (
        #"{"containers":[{"name":"c","env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}]}"#,
        ["containers", "0", "env", "0", "valueFrom", "fieldRef", "apiVersion"], #""v1""#
      ),
      (#"{"serviceAccount":"x"}"#, ["serviceAccountName"], #""x""#),
      (#"{"serviceAccountName":"x"}"#, ["serviceAccount"], #""x""#),
      (#"{"initContainers":[{"name":"i","image":"a:1"}]}"#, ["initContainers", "0", "imagePullPolicy"], #""IfNotPresent""#),
      (
        #"{"resources":{"limits":{"cpu":"2"}},"containers":[{"name":"a","resources":{"requests":{"cpu":"300m"}}},{"name":"b","resources":{"requests":{"cpu":"400m"}}}]}"#,
        ["resources", "requests", "cpu"], #""700m""#
      ),
    ] as [(String, [String], String)])
  func partsOfAPodAreFilledIn(_ spec: String, _ path: [String], _ expected: String) throws {
    let pod = defaulted("pods", ["spec": try JSON.parse(spec)])
    let value = path.reduce(pod["spec"]) { json, step in Int(step).map { json[$0] } ?? json[step] }
    #expect(value.text() == expected)
  }

  @Test func templatesLackWhatOnlyPodsGet() {
    let deployment = defaulted(
      "deployments", "apps",
      ["spec": ["template": ["spec": ["containers": [["name": "c", "image": "a:1", "resources": ["limits": ["cpu": "1"]]]]]]]])
    let spec = deployment["spec"]
    #expect(spec["replicas"] == 1 && spec["revisionHistoryLimit"] == 10 && spec["progressDeadlineSeconds"] == 600)
    #expect(spec["strategy"] == ["type": "RollingUpdate", "rollingUpdate": ["maxUnavailable": "25%", "maxSurge": "25%"]])
    let template = spec["template"]["spec"]
    #expect(template["restartPolicy"] == "Always" && template["containers"][0]["imagePullPolicy"] == "IfNotPresent")
    #expect(template["enableServiceLinks"].isNull && template["containers"][0]["resources"]["requests"].isNull)
  }

  @Test func workloadsOfAppsGetTheirStrategies() {
    let daemonSet = defaulted("daemonsets", "apps", ["spec": .object(JSONObject())])
    #expect(daemonSet["spec"]["updateStrategy"] == ["type": "RollingUpdate", "rollingUpdate": ["maxUnavailable": 1, "maxSurge": 0]])
    let onDelete = defaulted("daemonsets", "apps", ["spec": ["updateStrategy": ["type": "OnDelete"]]])
    #expect(onDelete["spec"]["updateStrategy"] == ["type": "OnDelete"])
    let set = defaulted("statefulsets", "apps", ["spec": ["volumeClaimTemplates": [["metadata": ["name": "d"]]]]])
    #expect(set["spec"]["updateStrategy"] == ["type": "RollingUpdate", "rollingUpdate": ["partition": 0]])
    #expect(set["spec"]["persistentVolumeClaimRetentionPolicy"] == ["whenDeleted": "Retain", "whenScaled": "Retain"])
    #expect(set["spec"]["volumeClaimTemplates"][0]["kind"] == "PersistentVolumeClaim")
    #expect(set["spec"]["volumeClaimTemplates"][0]["status"]["phase"] == "Pending")
    #expect(set["spec"]["volumeClaimTemplates"][0]["spec"]["volumeMode"] == "Filesystem")
  }

  @Test func jobsSelectTheirOwnPods() {
    let job = defaulted("jobs", "batch", ["metadata": ["name": "j", "uid": "u-1"], "spec": ["template": .object(JSONObject())]])
    #expect(
      job["spec"]["completions"] == 1 && job["spec"]["backoffLimit"] == 6 && job["spec"]["podReplacementPolicy"] == "TerminatingOrFailed")
    #expect(job["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] == "u-1")
    #expect(job["spec"]["template"]["metadata"]["labels"]["job-name"] == "j")
  }

  /// Service spec given, path, value.
  @Test(
    arguments: [
      (#"{"ports":[{"port":80}]}"#, ["ports", "0", "targetPort"], "80"),
      (#"{"ports":[{"port":80,"targetPort":"web"}]}"#, ["ports", "0", "targetPort"], #""web""#),
      (#"{}"#, ["type"], #""ClusterIP""#),
      (#"{}"#, ["internalTrafficPolicy"], #""Cluster""#),
      (#"{}"#, ["externalTrafficPolicy"], "null"),
      (#"{"type":"NodePort"}"#, ["externalTrafficPolicy"], #""Cluster""#),
      (#"{"type":"ExternalName"}"#, ["internalTrafficPolicy"], "null"),
      (#"{"type":"LoadBalancer"}"#, ["allocateLoadBalancerNodePorts"], "true"),
      (#"{"sessionAffinity":"ClientIP"}"#, ["sessionAffinityConfig", "clientIP", "timeoutSeconds"], "10800"),
      (#"{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":1}}}"#, ["sessionAffinityConfig"], "null"),
    ] as [(String, [String], String)])
  func servicesAreFilledIn(_ spec: String, _ path: [String], _ expected: String) throws {
    let service = defaulted("services", ["spec": try JSON.parse(spec)])
    let value = path.reduce(service["spec"]) { json, step in Int(step).map { json[$0] } ?? json[step] }
    #expect(value.text() == expected)
  }

  /// A client that reads protobuf and writes the same bytes back, as typed Go clients do, changes nothing.
  @Test(
    arguments: [
      (
        "", "pods",
        #"{"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"E","valueFrom":{"resourceFieldRef":{"resource":"r"}}}]}]}}"#
      ),
      ("", "pods", #"{"status":{"containerStatuses":[{"name":"c","state":{"running":{}}}]}}"#),
      ("apps", "deployments", #"{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"spec":{"containers":[{"name":"c"}]}}}}"#),
      ("", "services", #"{"spec":{"ports":[{"port":80}]}}"#), ("", "events", #"{"reason":"R","involvedObject":{"name":"x"}}"#),
      ("", "nodes", #"{"status":{"nodeInfo":{"machineID":"m"}}}"#), ("storage.k8s.io", "csinodes", #"{"spec":{}}"#),
      ("rbac.authorization.k8s.io", "clusterroles", "{}"),
      ("discovery.k8s.io", "endpointslices", #"{"endpoints":[{"addresses":["1.2.3.4"]}]}"#),
      (
        "batch", "cronjobs",
        #"{"spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"c"}]}}}}}}"#
      ),
      ("networking.k8s.io", "ingresses", #"{"spec":{"rules":[{"http":{"paths":[{"path":"/","backend":{"service":{"name":"s"}}}]}}]}}"#),
      (
        "apiextensions.k8s.io", "customresourcedefinitions",
        #"{"spec":{"group":"g","names":{"plural":"as","kind":"A"},"versions":[{"name":"v1"}]}}"#
      ),
      ("admissionregistration.k8s.io", "validatingwebhookconfigurations", #"{"webhooks":[{"name":"a.b.c"}]}"#),
      ("autoscaling", "horizontalpodautoscalers", #"{"spec":{"metrics":[{"type":"Resource","resource":{"name":"cpu"}}]}}"#),
    ])
  func theWireChangesNothing(_ group: String, _ plural: String, _ text: String) throws {
    let resource = SchemaRegistry.shared.resources.first { $0.group == group && $0.plural == plural }!
    var object = try JSON.parse(text)
    object["apiVersion"] = .string(group.isEmpty ? resource.version : "\(group)/\(resource.version)")
    object["kind"] = .string(resource.kind)
    applyDefaults(&object, resource: resource)
    var back = try decodeProtobuf(try encodeProtobuf(object, type: resource.type))
    applyDefaults(&back, resource: resource)
    #expect(back == object, "\(back.text()) and \(object.text())")
  }

  @Test func otherKinds() {
    #expect(defaulted("namespaces", ["metadata": ["name": "n"]])["metadata"]["labels"]["kubernetes.io/metadata.name"] == "n")
    #expect(defaulted("namespaces", ["metadata": ["name": "n"]])["status"]["phase"] == "Active")
    #expect(defaulted("secrets", [:])["type"] == "Opaque")
    #expect(
      defaulted("secrets", ["data": ["a": "YQ==", "b": "Yg=="], "stringData": ["b": "hello"]])
        == ["data": ["a": "YQ==", "b": "aGVsbG8="], "type": "Opaque", "metadata": .object(JSONObject())])
    #expect(defaulted("nodes", ["status": ["capacity": ["cpu": "1"]]])["status"]["allocatable"] == ["cpu": "1"])
    #expect(defaulted("configmaps", ["data": ["a": "b"]]) == ["data": ["a": "b"], "metadata": .object(JSONObject())])
    #expect(
      defaulted("networkpolicies", "networking.k8s.io", ["spec": ["egress": [.object(JSONObject())]]])["spec"]["policyTypes"] == [
        "Ingress", "Egress",
      ])
    let binding = defaulted(
      "rolebindings", "rbac.authorization.k8s.io",
      ["roleRef": ["kind": "Role", "name": "r"], "subjects": [["kind": "User", "name": "u"], ["kind": "ServiceAccount", "name": "s"]]])
    #expect(binding["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io")
    #expect(binding["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io" && binding["subjects"][1]["apiGroup"].isNull)
    let range = defaulted("limitranges", ["spec": ["limits": [["type": "Container", "max": ["cpu": "2"], "min": ["memory": "1Mi"]]]]])
    #expect(range["spec"]["limits"][0]["default"] == ["cpu": "2"])
    #expect(range["spec"]["limits"][0]["defaultRequest"] == ["cpu": "2", "memory": "1Mi"])
  }

  @Test func defaultingTwiceChangesNothing() {
    let once = defaulted("pods", ["spec": ["containers": [["name": "c", "image": "nginx"]], "volumes": [["name": "v"]]]])
    #expect(defaulted("pods", once) == once)
  }
}
