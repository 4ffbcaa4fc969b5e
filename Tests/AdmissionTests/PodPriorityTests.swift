import JSONCodec
import Testing

@testable import Admission

@Suite struct PodPriorityTests {
  private static let high: JSON = ["metadata": ["name": "high"], "value": 1000, "preemptionPolicy": "Never"]

  @Test func theClassGivesThePriority() throws {
    let cluster = facts([.priorityClass("high"): [Self.high]])
    let result = try mutated(pod("web", ["priorityClassName": "high"]), attributes(), cluster)["spec"]
    #expect(result["priority"] == 1000 && result["preemptionPolicy"] == "Never")
    let system = try mutated(pod("web", ["priorityClassName": "system-node-critical"]))["spec"]
    #expect(system["priority"] == 2_000_001_000 && system["preemptionPolicy"] == "PreemptLowerPriority")
    let none = try mutated(pod())["spec"]
    #expect(none["priority"] == 0 && none["priorityClassName"].isNull)
  }

  @Test func theDefaultClassIsNamed() throws {
    let classes: [JSON] = [
      Self.high, ["metadata": ["name": "b"], "value": 7, "globalDefault": true],
      ["metadata": ["name": "a"], "value": 5, "globalDefault": true],
    ]
    let result = try mutated(pod(), attributes(), facts([.priorityClasses: classes]))["spec"]
    #expect(result["priorityClassName"] == "a" && result["priority"] == 5)
  }

  @Test func refusals() {
    #expect(refusal(pod("web", ["priorityClassName": "none"])) == "pods \"web\" is forbidden: no PriorityClass with name none was found")
    #expect(
      refusal(pod("web", ["priority": 3]))
        == "pods \"web\" is forbidden: the integer value of priority (3) must not be provided in pod spec; "
        + "priority admission controller computed 0 from the given PriorityClass name")
    #expect(
      refusal(pod("web", ["preemptionPolicy": "Never"]))
        == "pods \"web\" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; "
        + "priority admission controller computed PreemptLowerPriority from the given PriorityClass name")
  }

  @Test func anUpdateKeepsWhatItLeavesOut() throws {
    let result = try mutated(pod(), attributes(.update, old: pod("web", ["priority": 9, "preemptionPolicy": "Never"])))["spec"]
    #expect(result["priority"] == 9 && result["preemptionPolicy"] == "Never")
  }

  @Test func thereIsOneDefault() {
    let cluster = facts([.priorityClasses: [["metadata": ["name": "a"], "value": 5, "globalDefault": true]]])
    func message(_ operation: AdmissionAttributes.Operation, _ name: String, _ isDefault: JSON) -> String? {
      let request = attributes(operation, "priorityclasses", group: "scheduling.k8s.io", kind: "PriorityClass", namespace: nil)
      return refusal(["metadata": ["name": .string(name)], "value": 1, "globalDefault": isDefault], request, cluster)
    }
    #expect(message(.create, "b", false) == nil)
    #expect(message(.update, "a", true) == nil)
    #expect(
      message(.create, "b", true)
        == "priorityclasses.scheduling.k8s.io \"b\" is forbidden: PriorityClass a is already marked as default. Only one default can exist")
  }
}

@Suite struct TolerationAdmissionTests {
  @Test func podsLeaveBrokenNodesAfterAWhile() throws {
    func keys(_ tolerations: JSON) throws -> [String] {
      let result = try mutated(pod("web", ["tolerations": tolerations]))["spec"]["tolerations"].array ?? []
      return result.map { "\($0["key"].string ?? "") \($0["tolerationSeconds"].int ?? -1)" }
    }
    let (notReady, unreachable) = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    #expect(try keys(.null) == ["\(notReady) 300", "\(unreachable) 300"])
    #expect(
      try keys([["key": .string(notReady), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5]])
        == ["\(notReady) 5", "\(unreachable) 300"])
    #expect(try keys([["operator": "Exists"]]) == [" -1"])
    #expect(try keys([["operator": "Exists", "effect": "NoSchedule"]]).count == 3)
    let status = attributes(.update, subresource: "status", old: pod())
    #expect(try mutated(pod(), status)["spec"]["tolerations"].isNull)
  }

  @Test func extendedResourcesAreToleratedWhereThatIsAsked() throws {
    var settings = AdmissionSettings()
    settings.toleratesExtendedResources = true
    var object = pod(requests: ["cpu": "1", "example.com/gpu": "1"])
    try AdmissionChain(settings).mutate(&object, attributes: attributes(), cluster: facts())
    #expect(object["spec"]["tolerations"].array?.last == ["key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"])
    #expect(object["spec"]["tolerations"].array?.count == 3)
  }

  @Test func newNodesAreTaintedOnce() throws {
    let request = attributes(.create, "nodes", kind: "Node", namespace: nil)
    let once = try mutated(["metadata": ["name": "n"]], request)
    #expect(once["spec"]["taints"] == [["key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"]])
    #expect(try mutated(once, request) == once)
  }
}
