import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private func service(_ spec: JSON = .object(JSONObject())) -> JSON {
  var spec = spec
  spec["selector"] = ["app": "web"]
  if spec["ports"].isNull { spec["ports"] = [["name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"]] }
  if spec["clusterIP"].isNull { spec["clusterIP"] = "10.96.0.1" }
  return ["metadata": ["name": "web", "labels": ["team": "blue"]], "spec": spec]
}

extension FakeCluster {
  fileprivate func addPod(_ name: String, ready: Bool = true, ports: JSON = .null) {
    var pod: JSON = ["metadata": ["name": .string(name), "labels": ["app": "web"]]]
    pod["spec"] = ["containers": [["name": "c", "ports": ports]]]
    add(.pod, pod)
    start(get(.pod, name))
    if !ready { setReady(name, false) }
  }
  fileprivate var endpoints: [JSON] { all(.endpointSlice).flatMap { $0["endpoints"].array ?? [] } }
}

@Suite struct EndpointTests {
  private func cluster() -> FakeCluster {
    FakeCluster(EndpointSliceReconciler(), EndpointsReconciler(), EndpointSliceMirroringReconciler())
  }

  @Test func aServiceWithoutPodsHasAnEmptySlice() throws {
    let cluster = cluster()
    cluster.add(.service, service())
    try cluster.settle()
    let slice = try #require(cluster.all(.endpointSlice).first)
    #expect(cluster.all(.endpointSlice).count == 1 && slice["endpoints"].array?.isEmpty == true)
    #expect(slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].string == "endpointslice-controller.k8s.io")
    #expect(
      slice["metadata"]["labels"]["kubernetes.io/service-name"].string == "web" && slice["metadata"]["labels"]["team"].string == "blue")
    #expect(!cluster.get(.endpoints, "web").isNull && cluster.get(.endpoints, "web")["subsets"].isNull)
  }

  @Test func followsReadinessAndTermination() throws {
    let cluster = cluster()
    cluster.add(.service, service())
    cluster.addPod("a")
    cluster.addPod("b", ready: false)
    try cluster.settle()
    #expect(cluster.all(.endpointSlice).count == 1 && cluster.all(.endpointSlice)[0]["ports"][0]["port"].int == 8080)
    #expect(cluster.endpoints.map { $0["conditions"]["ready"].bool } == [true, false])
    #expect(cluster.get(.endpoints, "web")["subsets"][0]["addresses"].array?.count == 1)
    #expect(cluster.get(.endpoints, "web")["subsets"][0]["notReadyAddresses"].array?.count == 1)
    cluster.delete(.pod, "a")
    try cluster.settle()
    let going = try #require(cluster.endpoints.first { $0["targetRef"]["name"].string == "a" })
    #expect(going["conditions"] == ["ready": false, "serving": true, "terminating": true])
    #expect(cluster.get(.endpoints, "web")["subsets"][0]["addresses"].isNull)
    cluster.play()
    try cluster.settle()
    #expect(cluster.endpoints.map { $0["targetRef"]["name"].string } == ["b"])
    cluster.delete(.service, "web")
    try cluster.settle()
    #expect(cluster.all(.endpointSlice).isEmpty && cluster.get(.endpoints, "web").isNull)
  }

  @Test func namedPortsAreEachPodsOwn() throws {
    let cluster = cluster()
    cluster.add(.service, service(["ports": [["name": "http", "port": 80, "targetPort": "web"]]]))
    cluster.addPod("a", ports: [["name": "web", "containerPort": 8080]])
    cluster.addPod("b", ports: [["name": "web", "containerPort": 9090]])
    cluster.addPod("c")
    try cluster.settle()
    #expect(Set(cluster.all(.endpointSlice).map { $0["ports"][0]["port"].int }) == [8080, 9090] && cluster.endpoints.count == 2)
    #expect(cluster.get(.endpoints, "web")["subsets"].array?.count == 2)
  }

  @Test func headlessServicesAndTheUnready() throws {
    let cluster = cluster()
    cluster.add(.service, service(["clusterIP": "None", "publishNotReadyAddresses": true]))
    cluster.addPod("a", ready: false)
    cluster.change(.pod, "a") {
      $0["spec"]["hostname"] = "alpha"
      $0["spec"]["subdomain"] = "web"
    }
    try cluster.settle()
    let endpoint = try #require(cluster.endpoints.first)
    #expect(
      endpoint["conditions"]["ready"].bool == true && endpoint["conditions"]["serving"].bool == false
        && endpoint["hostname"].string == "alpha")
    #expect(cluster.all(.endpointSlice)[0]["metadata"]["labels"]["service.kubernetes.io/headless"].string == "")
  }

  @Test func slicesHoldAHundredAndStayStable() throws {
    let cluster = cluster()
    cluster.add(.service, service())
    for i in 0..<150 { cluster.addPod("p\(i)") }
    try cluster.settle()
    #expect(cluster.all(.endpointSlice).map { $0["endpoints"].array!.count }.sorted() == [50, 100])
    let before = cluster.writes
    cluster.setReady("p7", false)
    try cluster.settle()
    // One slice and the Endpoints object.
    #expect(cluster.writes == before + 2)
  }

  @Test func hintsKeepTrafficNear() throws {
    let cluster = cluster()
    cluster.add(.node, ["metadata": ["name": "node", "namespace": "", "labels": ["topology.kubernetes.io/zone": "z1"]]])
    cluster.add(.service, service(["trafficDistribution": "PreferSameNode"]))
    cluster.addPod("a")
    try cluster.settle()
    let endpoint = try #require(cluster.endpoints.first)
    #expect(
      endpoint["zone"].string == "z1" && endpoint["hints"]["forZones"][0]["name"].string == "z1"
        && endpoint["hints"]["forNodes"][0]["name"].string == "node")
  }

  @Test func mirrorsOnlyWhatIsHandwritten() throws {
    let cluster = cluster()
    cluster.add(.service, ["metadata": ["name": "db"], "spec": ["ports": [["port": 1]]]])
    cluster.add(
      .endpoints,
      [
        "metadata": ["name": "db"],
        "subsets": [["addresses": [["ip": "10.0.0.1"]], "notReadyAddresses": [["ip": "10.0.0.2"]], "ports": [["port": 1]]]],
      ])
    cluster.add(.service, service())
    cluster.addPod("a")
    try cluster.settle()
    let mirrored = cluster.all(.endpointSlice).filter {
      $0["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].string == EndpointSliceMirroringReconciler.manager
    }
    #expect(mirrored.count == 1 && mirrored[0]["metadata"]["labels"]["kubernetes.io/service-name"].string == "db")
    #expect(mirrored[0]["endpoints"].array?.map { $0["conditions"]["ready"].bool } == [true, false])
    cluster.change(.endpoints, "db") { $0["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = "true" }
    try cluster.settle()
    #expect(cluster.all(.endpointSlice).count == 1)
  }
}

@Suite struct ServiceLoadBalancerTests {
  private func node(_ name: String, _ address: String, ready: String = "True", labels: JSON = .null) -> JSON {
    [
      "metadata": ["name": .string(name), "namespace": "", "labels": labels],
      "status": [
        "addresses": [["type": "InternalIP", "address": .string(address)]], "conditions": [["type": "Ready", "status": .string(ready)]],
      ],
    ]
  }

  private func ingress(_ cluster: FakeCluster, _ name: String) -> [String] {
    (cluster.get(.service, name)["status"]["loadBalancer"]["ingress"].array ?? []).compactMap { $0["ip"].string }
  }

  @Test func nodesAreTheLoadBalancer() throws {
    let cluster = FakeCluster(ServiceLoadBalancerReconciler())
    cluster.add(.node, node("a", "10.0.0.1"))
    cluster.add(.node, node("b", "10.0.0.2"))
    cluster.add(.node, node("dead", "10.0.0.3", ready: "Unknown"))
    cluster.add(.node, node("no", "10.0.0.4", labels: ["node.kubernetes.io/exclude-from-external-load-balancers": ""]))
    cluster.add(.service, ["metadata": ["name": "lb"], "spec": ["type": "LoadBalancer"]])
    cluster.add(.service, ["metadata": ["name": "ip"], "spec": ["type": "ClusterIP"]])
    cluster.add(.service, ["metadata": ["name": "other"], "spec": ["type": "LoadBalancer", "loadBalancerClass": "example.com/x"]])
    cluster.add(.service, ["metadata": ["name": "near"], "spec": ["type": "LoadBalancer", "externalTrafficPolicy": "Local"]])
    cluster.add(
      .endpointSlice,
      [
        "metadata": ["name": "near-1", "labels": ["kubernetes.io/service-name": "near"]],
        "endpoints": [["nodeName": "b", "conditions": ["ready": true]], ["nodeName": "a", "conditions": ["ready": false]]],
      ])
    try cluster.settle()
    #expect(ingress(cluster, "lb") == ["10.0.0.1", "10.0.0.2"] && ingress(cluster, "near") == ["10.0.0.2"])
    #expect(ingress(cluster, "ip").isEmpty && ingress(cluster, "other").isEmpty)
    cluster.change(.node, "a", "") { $0["status"]["conditions"] = [["type": "Ready", "status": "Unknown"]] }
    try cluster.settle()
    #expect(ingress(cluster, "lb") == ["10.0.0.2"])
  }
}
