import JSONCodec
import KubernetesAPI
import Testing

@testable import Kubelet

/// What an external cloud-controller-manager expects of a node: the taint that it lifts, an address to confirm, and that its own word stays.
@Suite struct CloudNodeTests {
  private static let now = Timestamp(rfc3339: "2026-11-23T10:00:00Z")!
  private let input = NodeStatusInput(facts: MachineFacts())

  private func configuration(_ cloud: KubeletConfiguration.ExternalCloud?) -> KubeletConfiguration {
    var configuration = KubeletConfiguration(nodeName: "n1", addresses: ["10.0.0.5"], version: "v1", dataDirectory: "/none")
    configuration.cloud = cloud
    return configuration
  }

  @Test func withoutACloudTheNodeSaysItself() {
    let node = newNode(configuration(nil), input, now: Self.now)
    #expect(node["spec"]["taints"].isNull && node["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"].isNull)
    #expect(node["status"]["addresses"][0] == ["type": "InternalIP", "address": "10.0.0.5"])
  }

  @Test func withOneItWaitsToBeInitialized() {
    let node = newNode(configuration(.init(nodeIP: nil)), input, now: Self.now)
    #expect(node["spec"]["taints"] == [["key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"]])
    #expect(node["spec"]["providerID"].isNull && node["status"]["addresses"].isNull)
    let told = newNode(configuration(.init(nodeIP: "10.0.0.5")), input, now: Self.now)
    #expect(told["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"].string == "10.0.0.5")
    #expect(told["status"]["addresses"][0]["address"].string == "10.0.0.5")
  }

  @Test func whatTheCloudSaysStays() {
    let said: JSON = [["type": "ExternalIP", "address": "192.0.2.7"], ["type": "InternalIP", "address": "10.0.0.9"]]
    for cloud in [KubeletConfiguration.ExternalCloud(nodeIP: nil), .init(nodeIP: "10.0.0.5")] {
      let status = nodeStatus(previous: ["addresses": said], configuration(cloud), input, now: Self.now)
      #expect(status["addresses"] == said)
    }
    #expect(nodeStatus(previous: ["addresses": said], configuration(nil), input, now: Self.now)["addresses"] != said)
  }
}
