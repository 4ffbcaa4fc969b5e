import JSONCodec
import Testing

@testable import Admission

@Suite struct RuntimeClassAdmissionTests {
  private static let sandboxed = facts([
    .runtimeClass("kata"): [
      [
        "metadata": ["name": "kata"], "handler": "kata", "overhead": ["podFixed": ["cpu": "250m"]],
        "scheduling": ["nodeSelector": ["vm": "yes"], "tolerations": [["key": "vm", "operator": "Exists"]]],
      ]
    ],
    .runtimeClass("plain"): [["metadata": ["name": "plain"], "handler": "runc"]],
  ])

  private static func message(_ spec: JSON) -> String? { refusal(pod("web", spec), attributes(), sandboxed) }

  @Test func theClassGivesOverheadAndNodes() throws {
    let spec: JSON = [
      "runtimeClassName": "kata", "nodeSelector": ["a": "b"], "tolerations": [["key": "vm", "operator": "Equal", "value": "1"]],
    ]
    let result = try mutated(pod("web", spec), attributes(), Self.sandboxed)["spec"]
    #expect(result["overhead"] == ["cpu": "250m"])
    #expect(result["nodeSelector"] == ["a": "b", "vm": "yes"])
    // The pod's own toleration is part of the class's.
    #expect(result["tolerations"].array?.map { $0["key"] } == ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "vm"])
  }

  @Test func refusals() {
    let head = "pods \"web\" is forbidden:"
    #expect(Self.message(["runtimeClassName": "none"]) == "\(head) pod rejected: RuntimeClass \"none\" not found")
    #expect(
      Self.message(["runtimeClassName": "kata", "overhead": ["cpu": "1"]])
        == "\(head) pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    #expect(Self.message(["runtimeClassName": "kata", "overhead": ["cpu": "0.25"]]) == nil)
    for spec in [["overhead": ["cpu": "1"]], ["runtimeClassName": "plain", "overhead": ["cpu": "1"]]] as [JSON] {
      #expect(
        Self.message(spec) == "\(head) pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
    }
    #expect(
      Self.message(["runtimeClassName": "kata", "nodeSelector": ["vm": "no"]])
        == "\(head) conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no")
  }

  static let merges: [(first: [JSON], second: [JSON], keys: [JSON])] = [
    ([["operator": "Exists"]], [["key": "a", "operator": "Exists"]], [["operator": "Exists"]]),
    (
      [["key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5]],
      [["key": "a", "operator": "Exists", "effect": "NoExecute"]],
      [["key": "a", "operator": "Exists", "effect": "NoExecute"]]
    ),
    ([["key": "a", "value": "1"]], [["key": "a", "value": "2"]], [["key": "a", "value": "1"], ["key": "a", "value": "2"]]),
    ([["key": "a", "value": "1"]], [["key": "a", "value": "1"]], [["key": "a", "value": "1"]]),
  ]

  @Test(arguments: merges.indices)
  func tolerationsThatAnotherIncludesGo(_ i: Int) {
    let row = Self.merges[i]
    #expect(RuntimeClassAdmission.merge(row.first, row.second) == row.keys)
  }
}
