import JSONCodec
import KubernetesAPI
import Testing

@testable import APIMachinery

@Suite struct TableTests {
  static let now = Timestamp(rfc3339: "2026-01-11T00:00:00Z")!

  private func resource(_ group: String, _ plural: String, version: String = "v1") throws -> ResourceInfo {
    try #require(SchemaRegistry.shared.resource(group: group, version: version, plural: plural))
  }

  private func cells(_ group: String, _ plural: String, version: String = "v1", _ object: JSON) throws -> [JSON] {
    let result = table(resource: try resource(group, plural, version: version), objects: [object], now: Self.now)
    #expect(result["columnDefinitions"].array?.count == result["rows"][0]["cells"].array?.count)
    return result["rows"][0]["cells"].array ?? []
  }

  private func json(_ text: String) throws -> JSON { try JSON.parse(text) }

  static let durations: [(seconds: Int64, text: String)] = [
    (-2, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (121, "2m1s"), (599, "9m59s"), (600, "10m"),
    (10_799, "179m"), (10_800, "3h"), (10_860, "3h1m"), (28_799, "7h59m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"),
    (176_400, "2d1h"), (691_199, "7d23h"), (691_200, "8d"), (63_071_999, "729d"), (63_072_000, "2y"), (63_158_400, "2y1d"),
    (252_288_000, "8y"), (300_000_000, "9y"),
  ]

  @Test(arguments: durations) func humanDurations(_ example: (seconds: Int64, text: String)) {
    #expect(humanDuration(nanoseconds: example.seconds * 1_000_000_000) == example.text)
  }

  @Test func document() throws {
    let pod = try json(
      #"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","creationTimestamp":"2026-01-10T23:59:55Z"},"status":{"phase":"Failed"}}"#)
    let result = table(
      resource: try resource("", "pods"), objects: [pod], now: Self.now, listMetadata: ["resourceVersion": "12"])
    #expect(result["kind"] == "Table")
    #expect(result["apiVersion"] == "meta.k8s.io/v1")
    #expect(result["metadata"] == ["resourceVersion": "12"])
    let columns = result["columnDefinitions"].array ?? []
    #expect(
      columns.map { $0["name"].string } == [
        "Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates",
      ])
    #expect(columns.map { $0["priority"].int } == [0, 0, 0, 0, 0, 1, 1, 1, 1])
    #expect(columns[0]["format"] == "name")
    let row = result["rows"][0]
    #expect(row["object"]["kind"] == "PartialObjectMetadata")
    #expect(row["object"]["apiVersion"] == "meta.k8s.io/v1")
    #expect(row["object"]["status"].isNull)
    #expect(row["conditions"][0]["reason"] == "Failed")
    #expect(row["cells"][4] == "5s")
    let whole = table(resource: try resource("", "pods"), objects: [pod], now: Self.now, includeObject: .object, version: .v1beta1)
    #expect(whole["rows"][0]["object"] == pod)
    #expect(whole["apiVersion"] == "meta.k8s.io/v1beta1")
    let none = table(resource: try resource("", "pods"), objects: [pod], now: Self.now, includeObject: .none, includesColumns: false)
    #expect(none["rows"][0]["object"].isNull)
    #expect(none["columnDefinitions"].array?.isEmpty == true)
  }

  @Test func partialObjects() throws {
    let object = try json(#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"b"}},"spec":{}}"#)
    #expect(
      partialObjectMetadata(object).text()
        == #"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"p","labels":{"a":"b"}}}"#)
    let list = partialObjectMetadataList([object], listMetadata: ["resourceVersion": "3"])
    #expect(list["kind"] == "PartialObjectMetadataList")
    #expect(list["items"][0]["metadata"]["name"] == "p")
    #expect(list["metadata"]["resourceVersion"] == "3")
  }

  struct PodExample: Sendable {
    let what: String
    var spec = #"{"containers":[{"name":"a"}]}"#
    let status: String
    var metadata = #"{"name":"p"}"#
    /// Ready, Status, Restarts.
    let cells: [String]
  }

  static let two = #"{"containers":[{"name":"a"},{"name":"b"}]}"#
  static let withInit = #"{"initContainers":[{"name":"i"},{"name":"j"}],"containers":[{"name":"a"}]}"#
  static let withSidecar = #"{"initContainers":[{"name":"s","restartPolicy":"Always"},{"name":"j"}],"containers":[{"name":"a"}]}"#
  static let deleted = #"{"name":"p","deletionTimestamp":"2026-01-10T00:00:00Z"}"#

  static let pods: [PodExample] = [
    PodExample(what: "pending", status: #"{"phase":"Pending"}"#, cells: ["0/1", "Pending", "0"]),
    PodExample(
      what: "running", status: #"{"phase":"Running","containerStatuses":[{"name":"a","ready":true,"state":{"running":{}}}]}"#,
      cells: ["1/1", "Running", "0"]),
    PodExample(
      what: "ready without running does not count",
      status: #"{"phase":"Running","containerStatuses":[{"name":"a","ready":true,"state":{}}]}"#, cells: ["0/1", "Running", "0"]),
    PodExample(what: "evicted", status: #"{"phase":"Failed","reason":"Evicted"}"#, cells: ["0/1", "Evicted", "0"]),
    PodExample(
      what: "gated", status: #"{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]}"#,
      cells: ["0/1", "SchedulingGated", "0"]),
    PodExample(
      what: "back-off, restarted a while ago",
      status:
        #"{"phase":"Running","containerStatuses":[{"name":"a","ready":false,"restartCount":3,"lastState":{"terminated":{"finishedAt":"2026-01-10T23:58:50Z"}},"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}"#,
      cells: ["0/1", "CrashLoopBackOff", "3 (70s ago)"]),
    PodExample(
      what: "the first container has the last word", spec: two,
      status:
        #"{"phase":"Pending","containerStatuses":[{"name":"a","state":{"waiting":{"reason":"ErrImagePull"}}},{"name":"b","state":{"waiting":{"reason":"ContainerCreating"}}}]}"#,
      cells: ["0/2", "ErrImagePull", "0"]),
    PodExample(
      what: "ended by a signal",
      status: #"{"phase":"Failed","containerStatuses":[{"name":"a","state":{"terminated":{"signal":9,"exitCode":137}}}]}"#,
      cells: ["0/1", "Signal:9", "0"]),
    PodExample(
      what: "ended with a code", status: #"{"phase":"Failed","containerStatuses":[{"name":"a","state":{"terminated":{"exitCode":3}}}]}"#,
      cells: ["0/1", "ExitCode:3", "0"]),
    PodExample(
      what: "completed beside a running one", spec: two,
      status:
        #"{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],"containerStatuses":[{"name":"a","state":{"terminated":{"reason":"Completed","exitCode":0}}},{"name":"b","ready":true,"state":{"running":{}}}]}"#,
      cells: ["1/2", "Running", "0"]),
    PodExample(
      what: "completed beside a running one, not ready", spec: two,
      status:
        #"{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"a","state":{"terminated":{"reason":"Completed","exitCode":0}}},{"name":"b","ready":true,"state":{"running":{}}}]}"#,
      cells: ["1/2", "NotReady", "0"]),
    PodExample(
      what: "completed beside a failed one", spec: two,
      status:
        #"{"phase":"Failed","containerStatuses":[{"name":"a","state":{"terminated":{"reason":"Completed","exitCode":0}}},{"name":"b","state":{"terminated":{"reason":"Error","exitCode":1}}}]}"#,
      cells: ["0/2", "Error", "0"]),
    PodExample(
      what: "second init container runs", spec: withInit,
      status:
        #"{"phase":"Pending","initContainerStatuses":[{"name":"i","restartCount":2,"state":{"terminated":{"exitCode":0}}},{"name":"j","state":{"running":{}}}],"containerStatuses":[{"name":"a","restartCount":7,"state":{"waiting":{"reason":"PodInitializing"}}}]}"#,
      cells: ["0/1", "Init:1/2", "2"]),
    PodExample(
      what: "init container fails", spec: withInit,
      status: #"{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":1,"reason":"Error"}}}]}"#,
      cells: ["0/1", "Init:Error", "0"]),
    PodExample(
      what: "init container waits", spec: withInit,
      status: #"{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}"#,
      cells: ["0/1", "Init:CrashLoopBackOff", "0"]),
    PodExample(
      what: "init container has not begun", spec: withInit,
      status: #"{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"waiting":{"reason":"PodInitializing"}}}]}"#,
      cells: ["0/1", "Init:0/2", "0"]),
    PodExample(
      what: "a sidecar counts", spec: withSidecar,
      status:
        #"{"phase":"Running","initContainerStatuses":[{"name":"s","ready":true,"started":true,"restartCount":1,"state":{"running":{}}},{"name":"j","restartCount":5,"state":{"terminated":{"exitCode":0}}}],"containerStatuses":[{"name":"a","ready":true,"restartCount":1,"state":{"running":{}}}]}"#,
      cells: ["2/2", "Running", "2"]),
    PodExample(
      what: "terminating", status: #"{"phase":"Running"}"#, metadata: deleted, cells: ["0/1", "Terminating", "0"]),
    PodExample(what: "terminating but ended", status: #"{"phase":"Succeeded"}"#, metadata: deleted, cells: ["0/1", "Succeeded", "0"]),
    PodExample(
      what: "node lost", status: #"{"phase":"Running","reason":"NodeLost"}"#, metadata: deleted, cells: ["0/1", "Unknown", "0"]),
  ]

  @Test(arguments: pods) func podCells(_ example: PodExample) throws {
    let pod: JSON = [
      "apiVersion": "v1", "kind": "Pod", "metadata": try json(example.metadata), "spec": try json(example.spec),
      "status": try json(example.status),
    ]
    let row = try cells("", "pods", pod)
    #expect(row[1...3].map(\.string) == example.cells, "\(example.what)")
  }

  @Test func widePodCells() throws {
    let pod = try json(
      #"""
      {"metadata":{"name":"p"},"spec":{"nodeName":"n1","readinessGates":[{"conditionType":"x"},{"conditionType":"y"}]},
       "status":{"podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}],"conditions":[{"type":"x","status":"True"}]}}
      """#)
    #expect(try cells("", "pods", pod)[4...] == ["<unknown>", "10.0.0.1", "n1", "<none>", "1/2"])
  }

  struct Example: Sendable {
    let group: String
    let plural: String
    var version = "v1"
    let object: String
    let cells: JSON
  }

  static let meta = #""metadata":{"name":"x","creationTimestamp":"2026-01-10T00:00:00Z"}"#

  static let nodesAndCore: [Example] = [
    Example(
      group: "", plural: "nodes",
      object:
        #"{"metadata":{"name":"n","creationTimestamp":"2026-01-10T00:00:00Z","labels":{"node-role.kubernetes.io/worker":"","node-role.kubernetes.io/control-plane":"","kubernetes.io/role":"edge","a":"b"}},"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"Hostname","address":"h"},{"type":"InternalIP","address":"10.1.1.1"}],"nodeInfo":{"kubeletVersion":"v1.36.2","osImage":"Debian 12","kernelVersion":"6.1","architecture":"amd64","containerRuntimeVersion":"swiftlet://1"}}}"#,
      cells: [
        "n", "Ready,SchedulingDisabled", "control-plane,edge,worker", "24h", "v1.36.2", "10.1.1.1", "<none>", "Debian 12",
        "6.1 (amd64)", "swiftlet://1",
      ]),
    Example(
      group: "", plural: "nodes", object: #"{"metadata":{"name":"n"},"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}"#,
      cells: ["n", "NotReady", "<none>", "<unknown>", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]),
    Example(
      group: "", plural: "events",
      object:
        #"{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p","fieldPath":"spec.containers{a}"},"type":"Normal","reason":"Pulled","message":" done\n","source":{"component":"kubelet","host":"n1"},"firstTimestamp":"2026-01-10T23:00:00Z","lastTimestamp":"2026-01-10T23:59:00Z","count":4}"#,
      cells: ["60s", "Normal", "Pulled", "pod/p", "spec.containers{a}", "kubelet, n1", "done", "60m", 4, "e"]),
    Example(
      group: "events.k8s.io", plural: "events",
      object:
        #"{"metadata":{"name":"e"},"regarding":{"kind":"Node","name":"n"},"type":"Warning","reason":"R","note":"m","reportingController":"c","reportingInstance":"i","eventTime":"2026-01-10T23:59:50.000000Z","series":{"count":7,"lastObservedTime":"2026-01-10T23:59:55.000000Z"}}"#,
      cells: ["5s", "Warning", "R", "node/n", "", "c, i", "m", "10s", 7, "e"]),
    Example(group: "", plural: "namespaces", object: "{\(meta),\"status\":{\"phase\":\"Active\"}}", cells: ["x", "Active", "24h"]),
    Example(
      group: "", plural: "configmaps", object: "{\(meta),\"data\":{\"a\":\"\"},\"binaryData\":{\"b\":\"\"}}", cells: ["x", 2, "24h"]),
    Example(group: "", plural: "secrets", object: "{\(meta),\"type\":\"Opaque\"}", cells: ["x", "Opaque", 0, "24h"]),
    Example(
      group: "", plural: "resourcequotas",
      object:
        "{\(meta),\"status\":{\"hard\":{\"pods\":\"4\",\"limits.cpu\":\"2\",\"cpu\":\"1\"},\"used\":{\"pods\":\"1\",\"cpu\":\"500m\",\"limits.cpu\":\"0\"}}}",
      cells: ["x", "cpu: 500m/1, pods: 1/4", "limits.cpu: 0/2", "24h"]),
    Example(group: "", plural: "limitranges", object: "{\(meta)}", cells: ["x", "2026-01-10T00:00:00Z"]),
  ]

  static let template =
    #""template":{"spec":{"nodeSelector":{"b":"2","a":"1"},"containers":[{"name":"a","image":"i"},{"name":"b","image":"j"}]}}"#

  static let workloads: [Example] = [
    Example(
      group: "apps", plural: "deployments",
      object:
        "{\(meta),\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":{\"app\":\"w\"},\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"2\",\"1\"]},{\"key\":\"z\",\"operator\":\"DoesNotExist\"}]},\(template)},\"status\":{\"readyReplicas\":2,\"updatedReplicas\":1,\"availableReplicas\":2}}",
      cells: ["x", "2/3", 1, 2, "24h", "a,b", "i,j", "a in (1,2),app=w,!z"]),
    Example(
      group: "apps", plural: "replicasets",
      object: "{\(meta),\"spec\":{\"replicas\":3,\(template)},\"status\":{\"replicas\":2,\"readyReplicas\":1}}",
      cells: ["x", 3, 2, 1, "24h", "a,b", "i,j", "<none>"]),
    Example(
      group: "apps", plural: "daemonsets",
      object:
        "{\(meta),\"spec\":{\(template)},\"status\":{\"desiredNumberScheduled\":5,\"currentNumberScheduled\":4,\"numberReady\":3,\"updatedNumberScheduled\":2,\"numberAvailable\":1}}",
      cells: ["x", 5, 4, 3, 2, 1, "a=1,b=2", "24h", "a,b", "i,j", "<none>"]),
    Example(
      group: "apps", plural: "statefulsets", object: "{\(meta),\"spec\":{\"replicas\":1,\(template)}}",
      cells: ["x", "0/1", "24h", "a,b", "i,j"]),
    Example(
      group: "apps", plural: "controllerrevisions",
      object:
        #"{"metadata":{"name":"x","ownerReferences":[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"s","controller":true}]},"revision":4}"#,
      cells: ["x", "statefulset.apps/s", 4, "<unknown>"]),
    Example(
      group: "batch", plural: "jobs",
      object:
        "{\(meta),\"spec\":{\"completions\":3,\(template)},\"status\":{\"succeeded\":1,\"startTime\":\"2026-01-10T23:59:00Z\",\"completionTime\":\"2026-01-10T23:59:10Z\",\"conditions\":[{\"type\":\"Complete\",\"status\":\"True\"}]}}",
      cells: ["x", "Complete", "1/3", "10s", "24h", "a,b", "i,j", "<none>"]),
    Example(
      group: "batch", plural: "jobs",
      object: "{\(meta),\"spec\":{\"parallelism\":2,\"selector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"?\"}]}}}",
      cells: ["x", "Running", "0/1 of 2", "", "24h", "", "", "<error>"]),
    Example(
      group: "batch", plural: "cronjobs",
      object:
        "{\(meta),\"spec\":{\"schedule\":\"* * * * *\",\"suspend\":false,\"jobTemplate\":{\"spec\":{\(template)}}},\"status\":{\"active\":[{}],\"lastScheduleTime\":\"2026-01-10T23:59:00Z\"}}",
      cells: ["x", "* * * * *", "<none>", "False", 1, "60s", "24h", "a,b", "i,j", "<none>"]),
    Example(
      group: "autoscaling", plural: "horizontalpodautoscalers", version: "v2",
      object:
        "{\(meta),\"spec\":{\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"d\"},\"minReplicas\":1,\"maxReplicas\":9,\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"averageUtilization\":80}}},{\"type\":\"External\",\"external\":{\"target\":{\"averageValue\":\"5\"}}},{\"type\":\"Pods\"}]},\"status\":{\"currentReplicas\":2,\"currentMetrics\":[{\"resource\":{\"current\":{\"averageUtilization\":20}}}]}}",
      cells: ["x", "Deployment/d", "cpu: 20%/80%, <unknown> (avg)/5 (avg) + 1 more...", "1", 9, 2, "24h"]),
  ]

  static let network: [Example] = [
    Example(
      group: "", plural: "services",
      object:
        "{\(meta),\"spec\":{\"type\":\"NodePort\",\"clusterIPs\":[\"10.96.0.1\"],\"ports\":[{\"port\":80,\"nodePort\":30080,\"protocol\":\"TCP\"},{\"port\":53,\"protocol\":\"UDP\"}],\"selector\":{\"b\":\"1\",\"a\":\"2\"}}}",
      cells: ["x", "NodePort", "10.96.0.1", "<none>", "80:30080/TCP,53/UDP", "24h", "a=2,b=1"]),
    Example(
      group: "", plural: "services",
      object:
        "{\(meta),\"spec\":{\"type\":\"LoadBalancer\",\"clusterIPs\":[\"None\"],\"externalIPs\":[\"9.9.9.9\"]},\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"2.2.2.2\"},{\"hostname\":\"a.b\"},{\"ip\":\"1.1.1.1\"}]}}}",
      cells: ["x", "LoadBalancer", "None", "1.1.1.1,2.2.2.2,a.b,9.9.9.9", "<none>", "24h", "<none>"]),
    Example(
      group: "", plural: "services", object: "{\(meta),\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"a.b\"}}",
      cells: ["x", "ExternalName", "<none>", "a.b", "<none>", "24h", "<none>"]),
    Example(
      group: "", plural: "endpoints",
      object: "{\(meta),\"subsets\":[{\"addresses\":[{\"ip\":\"1.1.1.1\"},{\"ip\":\"::1\"}],\"ports\":[{\"port\":80},{\"port\":81}]}]}",
      cells: ["x", "1.1.1.1:80,[::1]:80,1.1.1.1:81 + 1 more...", "24h"]),
    Example(
      group: "discovery.k8s.io", plural: "endpointslices",
      object:
        "{\(meta),\"addressType\":\"IPv4\",\"ports\":[{\"port\":80},{\"name\":\"n\"},{}],\"endpoints\":[{\"addresses\":[\"1\"]},{\"addresses\":[\"2\",\"3\",\"4\"]}]}",
      cells: ["x", "IPv4", "80,n,*", "1,2,3 + 1 more...", "24h"]),
    Example(
      group: "networking.k8s.io", plural: "ingresses",
      object:
        "{\(meta),\"spec\":{\"tls\":[{}],\"rules\":[{\"host\":\"a\"},{\"host\":\"b\"},{\"host\":\"c\"},{\"host\":\"d\"}]},\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"1.1.1.1\"}]}}}",
      cells: ["x", "<none>", "a,b,c + 1 more...", "1.1.1.1", "80, 443", "24h"]),
    Example(
      group: "networking.k8s.io", plural: "ingressclasses",
      object:
        #"{"metadata":{"name":"x","annotations":{"ingressclass.kubernetes.io/is-default-class":"true"}},"spec":{"controller":"c","parameters":{"kind":"K","apiGroup":"g","name":"n"}}}"#,
      cells: ["x (default)", "c", "K.g/n", "<unknown>"]),
    Example(
      group: "networking.k8s.io", plural: "networkpolicies", object: "{\(meta),\"spec\":{\"podSelector\":{}}}",
      cells: ["x", "<none>", "24h"]),
  ]

  static let rest: [Example] = [
    Example(
      group: "", plural: "persistentvolumes",
      object:
        "{\(meta),\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteMany\",\"ReadWriteOnce\"],\"persistentVolumeReclaimPolicy\":\"Retain\",\"claimRef\":{\"namespace\":\"n\",\"name\":\"c\"},\"storageClassName\":\"s\",\"volumeMode\":\"Filesystem\"},\"status\":{\"phase\":\"Bound\"}}",
      cells: ["x", "1Gi", "RWO,RWX", "Retain", "Bound", "n/c", "s", "<unset>", "", "24h", "Filesystem"]),
    Example(
      group: "", plural: "persistentvolumeclaims",
      object: "{\(meta),\"spec\":{\"storageClassName\":\"s\"},\"status\":{\"phase\":\"Pending\",\"capacity\":{\"storage\":\"1Gi\"}}}",
      cells: ["x", "Pending", "", "", "", "s", "<unset>", "24h", "<unset>"]),
    Example(
      group: "storage.k8s.io", plural: "storageclasses",
      object: #"{"metadata":{"name":"x","annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},"provisioner":"p"}"#,
      cells: ["x (default)", "p", "Delete", "Immediate", false, "<unknown>"]),
    Example(
      group: "rbac.authorization.k8s.io", plural: "rolebindings",
      object:
        "{\(meta),\"roleRef\":{\"kind\":\"Role\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"u\"},{\"kind\":\"User\",\"name\":\"v\"},{\"kind\":\"ServiceAccount\",\"name\":\"s\",\"namespace\":\"n\"}]}",
      cells: ["x", "Role/r", "24h", "u, v", "", "n/s"]),
    Example(
      group: "policy", plural: "poddisruptionbudgets", object: "{\(meta),\"spec\":{\"minAvailable\":2,\"maxUnavailable\":\"50%\"}}",
      cells: ["x", "2", "50%", 0, "24h"]),
    Example(
      group: "certificates.k8s.io", plural: "certificatesigningrequests",
      object:
        "{\(meta),\"spec\":{\"signerName\":\"s\",\"username\":\"u\",\"expirationSeconds\":3600},\"status\":{\"certificate\":\"YQ==\",\"conditions\":[{\"type\":\"Approved\"}]}}",
      cells: ["x", "24h", "s", "u", "60m", "Approved,Issued"]),
    Example(
      group: "scheduling.k8s.io", plural: "priorityclasses", object: "{\(meta),\"value\":-1,\"preemptionPolicy\":\"Never\"}",
      cells: ["x", -1, false, "24h", "Never"]),
    Example(
      group: "coordination.k8s.io", plural: "leases", object: "{\(meta),\"spec\":{\"holderIdentity\":\"h\"}}", cells: ["x", "h", "24h"]),
  ]

  @Test(arguments: nodesAndCore + workloads + network + rest) func rows(_ example: Example) throws {
    #expect(.array(try cells(example.group, example.plural, version: example.version, json(example.object))) == example.cells)
  }

  @Test func otherTables() throws {
    let status = statusTable(["kind": "Status", "status": "Failure", "reason": "NotFound", "message": "gone"])
    #expect(status["rows"][0]["cells"] == ["Failure", "NotFound", "gone"])
    let scale = scaleTable(
      ["metadata": ["name": "d", "resourceVersion": "4"], "spec": ["replicas": 3], "status": ["replicas": 2]], now: Self.now)
    #expect(scale["rows"][0]["cells"] == ["d", 3, 2, "<unknown>"])
    #expect(tableColumns(group: "example.com", resource: "widgets").map(\.title) == ["Name", "Created At"])
  }

  /// Every resource of the registry gives rows whose cells match its columns, even for an empty object.
  @Test func everyResource() throws {
    for resource in SchemaRegistry.shared.resources where resource.verbs.contains("list") {
      let object: JSON = ["metadata": ["name": "x"]]
      let result = table(resource: resource, objects: [object], now: Self.now)
      let columns = result["columnDefinitions"].array ?? []
      #expect(columns.count == result["rows"][0]["cells"].array?.count, "\(resource.plural)")
      #expect(columns.contains { $0["name"].string == "Name" }, "\(resource.plural)")
    }
  }
}
