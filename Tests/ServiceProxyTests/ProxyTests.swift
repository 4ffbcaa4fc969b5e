import JSONCodec
import KubernetesClient
import Logging
import NFTables
import NetworkLab
import ServiceRules
import Synchronization
import Testing

@testable import ServiceProxy

@Suite(.enabled(if: isRoot), .serialized)
struct ProxyTests {
  private func configuration(_ lab: Lab) -> ServiceProxyConfiguration {
    var configuration = ServiceProxyConfiguration(
      nodeName: "node", nodeAddresses: ["192.0.2.1"], podCIDRs: ["10.244.0.0/16"], serviceCIDRs: ["10.96.0.0/16"])
    configuration.hostNamespace = lab.node.thread.namespace
    configuration.health = nil
    configuration.metrics = nil
    return configuration
  }

  private func proxy(_ lab: Lab, _ api: FakeAPI) throws -> ServiceProxy {
    try ServiceProxy(configuration(lab), client: KubernetesClient(transport: api), log: Logger(label: "test"))
  }

  @Test func followsTheServerAndRestoresWhatOthersFlush() async throws {
    let lab = try Lab()
    let servers = try lab.pods.map { try Echo(on: $0, port: 8080) }
    defer { servers.forEach { $0.stop() } }
    let api = FakeAPI()
    api.put("services", service("web", ip: "10.96.0.20"))
    api.put("endpointslices", slice("web", [EndpointFixture(Lab.address(0))]))
    let proxy = try proxy(lab, api)
    let running = Task { try await proxy.run() }
    defer { running.cancel() }
    #expect(try await eventually { try await lab.outside.call("10.96.0.20", 80).server == "a" })
    api.put("endpointslices", slice("web", [EndpointFixture(Lab.address(1))]))
    #expect(try await eventually { try await lab.outside.call("10.96.0.20", 80).server == "b" })

    for damage in [
      "nft flush ruleset", "nft delete table ip swiftlet-services", "nft flush map ip swiftlet-services endpoints",
      "nft flush chain ip swiftlet-services services",
    ] {
      try lab.node.run(damage)
      #expect(try await eventually { try await lab.outside.call("10.96.0.20", 80).server == "b" }, "\(damage)")
    }
    let failures = await proxy.statistics.failures
    #expect(failures == 0)
    api.remove("services", "web")
    #expect(try await eventually { try await lab.outside.call("10.96.0.20", 80).server == nil })
  }

  @Test func aPodThatEndsGetsNoNewConnections() async throws {
    let lab = try Lab()
    let servers = try lab.pods.map { try Echo(on: $0, port: 8080) }
    defer { servers.forEach { $0.stop() } }
    let api = FakeAPI()
    let both = { (isReady: Bool) in
      slice(
        "web",
        [
          EndpointFixture(Lab.address(0), ready: isReady, terminating: !isReady, pod: "first"),
          EndpointFixture(Lab.address(1), pod: "second"),
        ])
    }
    api.put("services", service("web", ip: "10.96.0.20"))
    api.put("endpointslices", both(true))
    let proxy = try proxy(lab, api)
    let running = Task { try await proxy.run() }
    defer { running.cancel() }
    #expect(try await eventually { await proxy.isSettled })
    #expect(proxy.serves("first") && !proxy.serves("somebody else"))

    // The slices say it only later, as they would: the kernel has it at once, and other nodes are waited for.
    let told = Mutex(false)
    let ending = Task {
      await proxy.withdraw("first", isTold: true)
      return told.withLock { $0 }
    }
    #expect(try await eventually { await proxy.isSettled })
    try await Task.sleep(for: .milliseconds(50))
    for _ in 0..<20 { #expect(try await lab.outside.call("10.96.0.20", 80).server == "b") }
    try await Task.sleep(for: .milliseconds(200))
    told.withLock { $0 = true }
    api.put("endpointslices", both(false))
    #expect(await ending.value, "it did not wait for the slices")

    // Nobody else is left: a pod that ends is better than none. And nobody waits who is cancelled.
    let last = Task { await proxy.withdraw("second", isTold: true) }
    try await Task.sleep(for: .milliseconds(100))
    #expect(try await lab.outside.call("10.96.0.20", 80).server != nil)
    last.cancel()
    await last.value
    let clock = ContinuousClock()
    #expect(await clock.measure { await proxy.withdraw("second", isTold: false) } < .milliseconds(400))
  }

  @Test func aNewProcessAdoptsWhatIsThere() async throws {
    let lab = try Lab()
    let api = FakeAPI()
    let sticky: JSON = ["sessionAffinity": "ClientIP"]
    for index in 0..<20 {
      api.put("services", service("s\(index)", ip: "10.96.0.\(20 + index)", spec: index % 2 == 0 ? sticky : [:]))
      api.put("endpointslices", slice("s\(index)", (0...index).map { EndpointFixture("10.244.1.\(1 + $0)") }))
    }
    let first = try proxy(lab, api)
    let running = Task { try await first.run() }
    #expect(try await eventually { await first.isSettled })
    running.cancel()
    try? await running.value
    let handles = try lab.node.run("nft -a list table ip swiftlet-services")
    let monitor = try lab.node.run("nft list ruleset | md5sum")

    let second = try proxy(lab, api)
    let again = Task { try await second.run() }
    #expect(try await eventually { await second.isSettled })
    again.cancel()
    try? await again.value
    #expect(try lab.node.run("nft -a list table ip swiftlet-services") == handles)
    #expect(try lab.node.run("nft list ruleset | md5sum") == monitor)

    api.remove("services", "s3")
    let third = try proxy(lab, api)
    let more = Task { try await third.run() }
    #expect(try await eventually { await third.isSettled })
    more.cancel()
    try? await more.value
    #expect(try lab.node.run("nft list ruleset").contains("10.96.0.24"))
    #expect(try !lab.node.run("nft list ruleset").contains("10.96.0.23 "))
    try await ServiceProxy.remove(configuration(lab))
    #expect(try lab.node.run("nft list ruleset").isEmpty)
  }
}
