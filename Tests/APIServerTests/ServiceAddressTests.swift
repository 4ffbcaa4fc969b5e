import JSONCodec
import Testing

@testable import APIServer

@Suite(.timeLimit(.minutes(2))) struct ServiceAddressTests {
  private func service(_ name: String, _ spec: JSON, port: JSON = ["port": 80]) -> JSON {
    var spec = spec
    spec["ports"] = [port]
    return ["kind": "Service", "apiVersion": "v1", "metadata": ["name": .string(name)], "spec": spec]
  }
  private let services = "/api/v1/namespaces/default/services"
  private let addresses = "/apis/networking.k8s.io/v1/ipaddresses"

  private func taken(_ test: TestServer) async throws -> Set<String> {
    Set((try await test.call("GET", addresses).body["items"].array ?? []).compactMap { $0["metadata"]["name"].string })
  }

  @Test func anAddressIsAnObjectThatLivesWithItsService() async throws {
    try await TestServer.with { test in
      #expect(try await taken(test) == ["10.96.0.1"])
      let made = try await test.call("POST", services, service("a", ["type": "NodePort"]))
      let address = made.body["spec"]["clusterIP"].string ?? ""
      #expect(made.status == 201 && made.body["spec"]["clusterIPs"] == [.string(address)])
      #expect((30000...32767).contains(made.body["spec"]["ports"][0]["nodePort"].int ?? 0))
      #expect(try await taken(test) == ["10.96.0.1", address])
      #expect(try await test.call("GET", "\(addresses)/\(address)").body["spec"]["parentRef"]["name"].string == "a")
      #expect(try await test.call("DELETE", services + "/a").status == 200)
      #expect(try await taken(test) == ["10.96.0.1"])
    }
  }

  @Test func refusedAndDryCreatesTakeNothing() async throws {
    try await TestServer.with { test in
      let dry = try await test.call("POST", services, query: [("dryRun", "All")], service("a", ["type": "NodePort"]))
      #expect(dry.status == 201 && dry.body["spec"]["clusterIP"].string?.hasPrefix("10.96.0.") == true)
      #expect(try await test.call("POST", services, service("a", ["sessionAffinity": "Never"])).status == 422)
      #expect(try await test.call("POST", services, service("kubernetes", .object(JSONObject()))).status == 409)
      #expect(try await taken(test) == ["10.96.0.1"])
    }
  }

  @Test func whatIsAskedForIsTakenOnce() async throws {
    try await TestServer.with { test in
      let port: JSON = ["port": 80, "nodePort": 30080]
      #expect(
        try await test.call("POST", services, service("a", ["type": "NodePort", "clusterIP": "10.96.0.9"], port: port)).status == 201)
      let address = try await test.call("POST", services, service("b", ["clusterIP": "10.96.0.9"]))
      #expect(address.status == 422 && address.body["message"].string?.contains("provided IP is already allocated") == true)
      let second = try await test.call("POST", services, service("b", ["type": "NodePort"], port: port))
      #expect(
        second.body["message"].string
          == "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated")
      let outside = try await test.call("POST", services, service("b", ["type": "NodePort"], port: ["port": 80, "nodePort": 80]))
      #expect(outside.body["message"].string?.contains("The range of valid ports is 30000-32767") == true)
    }
  }

  @Test func furtherRangesAreReadyAndStayWhileTheyAreUsed() async throws {
    try await withServer { server in
      let extra: JSON = [
        "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1", "metadata": ["name": "extra"], "spec": ["cidrs": ["10.97.0.0/24"]],
      ]
      _ = try await server.admin.create(ServiceRanges.path, extra)
      try await eventually("the range is ready") {
        let object = try await server.admin.get(ServiceRanges.path, name: "extra")
        return object["status"]["conditions"][0]["status"].string == "True"
          && object["metadata"]["finalizers"] == [.string(ServiceRanges.finalizer)]
      }
      _ = try await server.admin.create(.services("default"), service("a", ["clusterIP": "10.97.0.7"]))
      _ = try await server.admin.delete(ServiceRanges.path, name: "extra")
      try await eventually("the range is held") {
        let condition = try await server.admin.get(ServiceRanges.path, name: "extra")["status"]["conditions"][0]
        return condition["status"].string == "False" && condition["reason"].string == "Terminating"
      }
      // Nothing more is taken from a range that is to go.
      await #expect(throws: (any Error).self) {
        try await server.admin.create(.services("default"), service("b", ["clusterIP": "10.97.0.8"]))
      }
      _ = try await server.admin.delete(.services("default"), name: "a")
      try await eventually("the range is gone") { (try? await server.admin.get(ServiceRanges.path, name: "extra")) == nil }
      #expect(try await server.admin.get(ServiceRanges.path, name: "kubernetes")["metadata"]["deletionTimestamp"].isNull)
    }
  }

  @Test func anAddressWithTwoRangesHoldsNeither() {
    func range(_ text: String) -> JSON { ["spec": ["cidrs": [.string(text)]]] }
    let used = ["10.97.0.7"]
    #expect(!ServiceRanges.isFree(range("10.97.0.0/24"), others: [range("10.96.0.0/16")], addresses: used))
    #expect(ServiceRanges.isFree(range("10.97.0.0/24"), others: [range("10.97.0.0/16")], addresses: used))
    #expect(ServiceRanges.isFree(range("10.98.0.0/24"), others: [], addresses: used))
  }

  @Test func typesChangeWithoutLeaks() async throws {
    try await TestServer.with { test in
      #expect(
        try await test.call("POST", services, service("a", ["type": "NodePort"], port: ["port": 80, "nodePort": 30080])).status == 201)
      func change(_ spec: JSON) async throws -> JSON {
        let answer = try await test.call("PATCH", services + "/a", contentType: "application/merge-patch+json", ["spec": spec])
        #expect(answer.status == 200, "\(answer.body["message"])")
        return answer.body
      }
      #expect(try await change(["type": "ClusterIP"])["spec"]["ports"][0]["nodePort"].isNull)
      // The port is free again.
      #expect(
        try await test.call("POST", services, service("b", ["type": "NodePort"], port: ["port": 80, "nodePort": 30080])).status == 201)
      let name = try await change(["type": "ExternalName", "externalName": "example.org"])
      #expect(name["spec"]["clusterIP"].isNull)
      #expect(try await taken(test).count == 2)
      #expect(try await change(["type": "ClusterIP", "externalName": .null])["spec"]["clusterIP"].string?.hasPrefix("10.96.0.") == true)
      #expect(try await taken(test).count == 3)
    }
  }

  @Test func whatACrashLeftIsGivenBack() async throws {
    try await TestServer.with { test in
      let resources = test.server.resources
      _ = try await resources.store.write(.put(key: "/registry/ranges/servicenodeports/30001", value: [0x7B, 0x7D], .absent))
      var lost: JSON = ["kind": "Service", "apiVersion": "v1", "metadata": ["name": "lost", "namespace": "default"]]
      lost["spec"] = ["type": "ClusterIP", "ports": [["port": 1]]]
      _ = try await ServiceAddresses.assign(&lost, old: nil, isDryRun: false, resources)
      #expect(try await taken(test).count == 2)
      try await ServiceAddresses.repair(resources)
      #expect(try await taken(test) == ["10.96.0.1"])
      #expect(try await resources.store.get("/registry/ranges/servicenodeports/30001", at: nil) == nil)
    }
  }
}
