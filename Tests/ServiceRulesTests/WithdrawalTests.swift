import JSONCodec
import NFTables
import Testing

@testable import ServiceRules

/// Pods of this node that end are out of the rules before slices say so.
@Suite struct WithdrawalTests {
  private func slice(_ pods: [(address: String, uid: String, node: String, ready: Bool, terminating: Bool)]) -> JSON {
    [
      "metadata": ["namespace": "default", "name": "web-1", "labels": ["kubernetes.io/service-name": "web"]], "addressType": "IPv4",
      "ports": .array([["name": "", "port": 8080, "protocol": "TCP"]]),
      "endpoints": .array(
        pods.map { pod -> JSON in
          [
            "addresses": JSON([pod.address]), "nodeName": .string(pod.node), "targetRef": ["uid": .string(pod.uid)],
            "conditions": ["ready": .bool(pod.ready), "serving": true, "terminating": .bool(pod.terminating)],
          ]
        }),
    ]
  }

  private func state(_ pods: [(address: String, uid: String, node: String, ready: Bool, terminating: Bool)]) -> ServiceState {
    let layout = RuleLayout(.ipv4, tableName: "t", podRange: IPPrefix("10.244.0.0/16"), serviceRange: IPPrefix("10.96.0.0/16"))
    var state = ServiceState(options: RuleOptions(layouts: [layout], node: NodeFacts(name: "here", nodePortAddresses: [])))
    state.put(service: [
      "metadata": ["namespace": "default", "name": "web"],
      "spec": ["clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"], "ports": .array([["port": 80, "protocol": "TCP"]])],
    ])
    state.put(slice: slice(pods))
    return state
  }

  /// The addresses of all endpoints in the rules.
  private func addresses(_ state: inout ServiceState) -> Set<String> {
    _ = state.update()
    var found: Set<String> = []
    for case .addElements(RuleLayout.SetName.endpoints.rawValue, let elements) in state.differences(0, from: nil) {
      for element in elements {
        guard case .data(let bytes) = element.value else { continue }
        for start in stride(from: 0, through: bytes.count - 4, by: 4) where bytes[start] == 10 && bytes[start + 1] == 244 {
          found.insert(bytes[start..<start + 4].map { String($0) }.joined(separator: "."))
        }
      }
    }
    return found
  }

  @Test func outAtOnceAndOnlyThatOne() {
    var state = state([
      ("10.244.1.2", "a", "here", true, false), ("10.244.1.3", "b", "here", true, false), ("10.244.2.2", "c", "there", true, false),
    ])
    #expect(addresses(&state) == ["10.244.1.2", "10.244.1.3", "10.244.2.2"])
    #expect(state.servedPods == ["a", "b"], "other nodes' pods are theirs to withdraw")
    state.withdraw(pod: "a")
    #expect(state.hasChanges && state.isOffered(pod: "a"))
    #expect(addresses(&state) == ["10.244.1.3", "10.244.2.2"])
    state.withdraw(pod: "a")
    #expect(!state.hasChanges)
  }

  @Test func theLastOneServesUntilAnotherIsReady() {
    var state = state([("10.244.1.2", "a", "here", true, false)])
    state.withdraw(pod: "a")
    #expect(addresses(&state) == ["10.244.1.2"], "better a pod that ends than none")
    state.put(slice: slice([("10.244.1.2", "a", "here", true, false), ("10.244.1.3", "b", "here", true, false)]))
    #expect(addresses(&state) == ["10.244.1.3"])
  }

  @Test func slicesThatSayItEndTheWait() {
    var state = state([("10.244.1.2", "a", "here", true, false), ("10.244.1.3", "b", "here", true, false)])
    state.withdraw(pod: "a")
    #expect(state.isOffered(pod: "a"))
    state.put(slice: slice([("10.244.1.2", "a", "here", false, true), ("10.244.1.3", "b", "here", true, false)]))
    #expect(!state.isOffered(pod: "a") && state.servedPods == ["a", "b"], "it still serves, as one that ends")
    state.put(slice: slice([("10.244.1.3", "b", "here", true, false)]))
    #expect(!state.isOffered(pod: "a") && state.servedPods == ["b"])
    state.remove(slice: slice([]))
    #expect(state.servedPods.isEmpty)
  }

  @Test func anotherPodWithTheSameAddressIsAnother() {
    var state = state([("10.244.1.2", "a", "here", true, false), ("10.244.2.2", "c", "there", true, false)])
    state.withdraw(pod: "a")
    state.put(slice: slice([("10.244.1.2", "next", "here", true, false), ("10.244.2.2", "c", "there", true, false)]))
    #expect(addresses(&state) == ["10.244.1.2", "10.244.2.2"])
  }

  @Test func aPodThatIsNotReadyIsNotWaitedFor() {
    var json = slice([("10.244.1.2", "a", "here", false, false)])
    json["endpoints"] = .array([
      ["addresses": ["10.244.1.2"], "nodeName": "here", "targetRef": ["uid": "a"], "conditions": ["ready": false, "serving": false]]
    ])
    var state = state([])
    state.put(slice: json)
    #expect(state.servedPods.isEmpty)
  }

  @Test func theOldestMarksAreForgotten() {
    var pods = WithdrawnPods()
    let isNew = (0...WithdrawnPods.most).map { pods.insert("\($0)") }
    let again = pods.insert("\(WithdrawnPods.most)")
    #expect(isNew.allSatisfy { $0 } && !again)
    #expect(!pods.contains("0") && pods.contains("\(WithdrawnPods.most)") && !pods.contains(nil))
  }
}
