import JSONCodec
import KubernetesAPI
import PodLifecycle
import Testing

@Suite struct RestartRuleTests {
  private func exit(_ code: Int) -> ContainerExit { ContainerExit(code: code, finishedAt: t0) }

  @Test func exitCodesMayAskForARestart() {
    let rules: JSON = [
      ["action": "Restart", "exitCodes": ["operator": "In", "values": [42, 43]]]
    ]
    let one = Container(container("app", ["restartPolicy": "Never", "restartPolicyRules": rules]))
    #expect(one.restarts(after: exit(42), role: .regular, pod: .never))
    #expect(!one.restarts(after: exit(1), role: .regular, pod: .always))
    #expect(!one.restarts(after: exit(0), role: .regular, pod: .always))
    #expect(one.restarts(after: exit(43), role: .initial, pod: .never))
    let others = Container(
      container(
        "app",
        ["restartPolicy": "Never", "restartPolicyRules": [["action": "Restart", "exitCodes": ["operator": "NotIn", "values": [0]]]]]))
    #expect(others.restarts(after: exit(7), role: .regular, pod: .never))
    #expect(!others.restarts(after: exit(0), role: .regular, pod: .never))
  }

  @Test func aPodThatARuleKeepsAliveGoesOn() {
    let rules: JSON = [["action": "Restart", "exitCodes": ["operator": "In", "values": [42]]]]
    let pod = makePod([container("app", ["restartPolicy": "Never", "restartPolicyRules": rules])], restartPolicy: "Never")
    let again = standing(["app": .exited(42, at: 9)])
    #expect(podActions(for: pod, observed: again, now: at(10)) == [.startContainer(name: "app", attempt: 1)])
    #expect(podPhase(of: pod, observed: again) == .running)
    #expect(podPhase(of: pod, observed: standing(["app": .exited(1, at: 9)])) == .failed)
  }

  @Test func aPodThatWantsAppArmorIsRefused() {
    let node = Node(["status": ["allocatable": ["pods": "10"]]])
    let own = makePod([container("app", ["securityContext": ["appArmorProfile": ["type": "RuntimeDefault"]]])])
    #expect(podRejection(of: own, on: node, others: [])?.reason == "AppArmor")
    let none = makePod(spec: ["securityContext": ["appArmorProfile": ["type": "Unconfined"]]])
    #expect(podRejection(of: none, on: node, others: []) == nil)
  }
}
