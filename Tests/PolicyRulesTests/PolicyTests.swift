import JSONCodec
import NFTables
import PacketTracer
import ServiceRules
import Testing

@testable import PolicyRules

struct PolicyTests {
  private func policy(_ spec: JSON, name: String = "p", namespace: String = "x") -> JSON {
    ["metadata": ["name": .string(name), "namespace": .string(namespace)], "spec": spec]
  }

  private func pod(_ name: String, _ ip: String?, node: String = "here", phase: String = "Running", labels: JSON = [:]) -> JSON {
    [
      "metadata": ["name": .string(name), "namespace": "x", "labels": labels], "spec": ["nodeName": .string(node)],
      "status": ["phase": .string(phase), "podIPs": ip.map { [["ip": .string($0)]] } ?? .null],
    ]
  }

  private func outcome(_ state: inout PolicyState, _ from: String, _ to: String, chain: String = "forward") throws -> FakeTable.Outcome {
    var dice = Dice(state: 1)
    var table = FakeTable()
    for wanted in state.tables() { try table.apply(wanted.replacement) }
    let (source, destination) = (try #require(IPAddress(from)), try #require(IPAddress(to)))
    if table.chains[chain] == nil { return .untouched }
    return try table.trace(.init(source: source, destination: destination, transport: .udp, port: 53), from: chain, &dice)
  }

  @Test func directionsThatNobodyNamedAreThoseOfTheRules() {
    #expect(Set(PolicyFacts(policy(["podSelector": [:]]))?.rules.keys.map(\.rawValue) ?? []) == ["ingress"])
    let both = PolicyFacts(policy(["podSelector": [:], "egress": [[:]]]))
    #expect(Set(both?.rules.keys.map(\.rawValue) ?? []) == ["ingress", "egress"])
    let egress = PolicyFacts(policy(["podSelector": [:], "policyTypes": ["Egress"], "ingress": [[:]]]))
    #expect(egress?.rules[.ingress] == nil && egress?.rules[.egress] == [])
  }

  @Test func blocksBecomeRangesThatDoNotTouch() throws {
    let block = PolicyFacts.Block(range: try #require(IPPrefix("10.0.0.0/29")), except: [try #require(IPPrefix("10.0.0.2/31"))])
    let next = PolicyFacts.Block(range: try #require(IPPrefix("10.0.0.8/30")), except: [])
    let ranges = AddressRanges([next, block], .ipv4)
    #expect(ranges.ranges.map { [$0.lowerBound & 0xff, $0.upperBound & 0xff] } == [[0, 1], [4, 11]])
    let boundaries = ranges.elements.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    #expect(boundaries.map(\.key) == [[0, 0, 0, 0], [10, 0, 0, 0], [10, 0, 0, 2], [10, 0, 0, 4], [10, 0, 0, 12]])
    #expect(boundaries.map(\.isIntervalEnd) == [true, false, true, false, true])
    let everything = AddressRanges([PolicyFacts.Block(range: try #require(IPPrefix("::/0")), except: [])], .ipv6)
    #expect(everything.elements == [Element([UInt8](repeating: 0, count: 16))], "nothing lies behind the last address")
  }

  @Test func portsBecomeRangesThatDoNotTouch() {
    let ranges = PortRanges([.numbers(.tcp, 81...90), .numbers(.tcp, 80...80), .numbers(.udp, 0...65535), .numbers(.tcp, 92...92)])
    #expect(ranges.ranges == [.tcp: [80...90, 92...92], .udp: [0...65535]])
  }

  @Test func noTableWherePoliciesSelectNobodyHere() {
    var state = PolicyState(node: "here", tableName: "t", families: [.ipv4, .ipv6])
    state.put(namespace: ["metadata": ["name": "x"]])
    state.put(pod: pod("a", "10.0.0.1", node: "there"))
    state.put(policy: policy(["podSelector": [:], "policyTypes": ["Ingress"]]))
    #expect(state.tables().isEmpty)
    state.put(pod: pod("b", "10.0.0.2"))
    #expect(state.tables().map(\.table.family) == [.ipv4], "and none of a family that no pod here has")
  }

  @Test func aPodIsProtectedBeforeItsStatusIsKnown() throws {
    var state = PolicyState(node: "here", tableName: "t", families: [.ipv4])
    state.put(policy: policy(["podSelector": [:], "policyTypes": ["Ingress"]]))
    state.put(pod: pod("b", nil, phase: "Pending"))
    #expect(try outcome(&state, "10.0.0.9", "10.0.0.2") == .untouched)
    state.announce(try #require(PolicyPod(pod("b", nil, phase: "Pending"), addresses: ["10.0.0.2"])))
    #expect(try outcome(&state, "10.0.0.9", "10.0.0.2") == .dropped)
    state.put(pod: pod("b", nil, phase: "Pending"))
    #expect(try outcome(&state, "10.0.0.9", "10.0.0.2") == .dropped, "late news do not open it")
    state.put(pod: pod("b", "10.0.0.7"))
    #expect(try outcome(&state, "10.0.0.9", "10.0.0.2") == .dropped, "nor do those of an earlier sandbox")
    state.replace(pods: [])
    #expect(try outcome(&state, "10.0.0.9", "10.0.0.2") == .dropped, "nor does an old list")
    state.put(pod: pod("b", nil, phase: "Failed"))
    #expect(try outcome(&state, "10.0.0.9", "10.0.0.2") == .untouched, "its address may be another's now")
    let next = try #require(PolicyPod(pod("b", nil), addresses: ["10.0.0.3"]))
    state.announce(next)
    #expect(try outcome(&state, "10.0.0.9", "10.0.0.3") == .dropped)
    state.retract(next)
    #expect(try outcome(&state, "10.0.0.9", "10.0.0.3") == .untouched)
  }

  @Test func whatTheNodeAnswersInAnothersPlaceIsAPod() throws {
    let dns = PolicyPod(
      name: ObjectName("kube-system", "dns"), node: "", labels: ["k8s-app": "kube-dns"], addresses: [try #require(IPAddress("10.96.0.10"))])
    var state = PolicyState(node: "here", tableName: "t", families: [.ipv4], standIns: [dns])
    state.put(namespace: ["metadata": ["name": "kube-system", "labels": ["kubernetes.io/metadata.name": "kube-system"]]])
    state.put(pod: pod("b", "10.0.0.2"))
    state.put(policy: policy(["podSelector": [:], "policyTypes": ["Egress"]]))
    #expect(try outcome(&state, "10.0.0.2", "10.96.0.10", chain: "input") == .dropped)
    #expect(try outcome(&state, "10.0.0.2", "192.0.2.1", chain: "input") == .untouched, "the node itself may always be called")
    #expect(try outcome(&state, "10.0.0.3", "10.96.0.10", chain: "input") == .untouched)
    let toDNS: JSON = [
      "to": [
        [
          "namespaceSelector": ["matchLabels": ["kubernetes.io/metadata.name": "kube-system"]],
          "podSelector": ["matchLabels": ["k8s-app": "kube-dns"]],
        ]
      ],
      "ports": [["protocol": "UDP", "port": 53]],
    ]
    state.put(policy: policy(["podSelector": [:], "policyTypes": ["Egress"], "egress": [toDNS]], name: "dns"))
    #expect(try outcome(&state, "10.0.0.2", "10.96.0.10", chain: "input") == .untouched)
  }

  @Test func aPodMoreIsAnElementMore() throws {
    var state = PolicyState(node: "here", tableName: "t", families: [.ipv4])
    state.put(namespace: ["metadata": ["name": "x"]])
    for index in 1...200 { state.put(pod: pod("p\(index)", "10.0.1.\(index)")) }
    state.put(policy: policy(["podSelector": [:], "policyTypes": ["Ingress"], "ingress": [["from": [["podSelector": [:]]]]]]))
    let before = try #require(state.tables().first)
    state.put(pod: pod("new", "10.0.2.1"))
    let changes = try #require(state.tables().first).changes(from: before)
    #expect(changes.count == 3)
    for change in changes {
      guard case .addElements(_, let elements) = change, elements.count == 1 else {
        Issue.record("\(change)")
        continue
      }
    }
  }

  @Test func anUnreadablePeerLetsNobodyIn() throws {
    var state = PolicyState(node: "here", tableName: "t", families: [.ipv4])
    state.put(namespace: ["metadata": ["name": "x"]])
    state.put(pod: pod("a", "10.0.0.1"))
    state.put(pod: pod("b", "10.0.0.2"))
    let odd: JSON = ["podSelector": ["matchExpressions": [["key": "a", "operator": "Like"]]]]
    state.put(policy: policy(["podSelector": [:], "policyTypes": ["Ingress"], "ingress": [["from": [odd]]]]))
    #expect(try outcome(&state, "10.0.0.1", "10.0.0.2") == .dropped)
  }
}
