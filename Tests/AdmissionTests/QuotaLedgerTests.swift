import JSONCodec
import KubernetesAPI
import Testing

@testable import Admission

/// A generator that gives the same numbers in every run.
private struct SeededNumbers: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ (state >> 29)
  }
}

/// Whatever is created in whatever order: what the charges add up to is what a recount finds, and never above a limit.
@Suite struct QuotaLedgerTests {
  private static let now = Timestamp(secondsSinceEpoch: 1_800_000_000)
  private static let pods = CountedResource(group: "", resource: "pods")
  private static let services = CountedResource(group: "", resource: "services")

  private static func randomPod(_ numbers: inout SeededNumbers, _ name: String) -> JSON {
    let cpu = ["100m", "0.25", "1", "1500u"].randomElement(using: &numbers)!
    let memory = ["64Mi", "1G", "3Gi", "1e8"].randomElement(using: &numbers)!
    let requests: JSON = ["requests": ["cpu": .string(cpu), "memory": .string(memory)]]
    var object = pod(name, ["containers": [["name": "c", "resources": requests]]])
    if Bool.random(using: &numbers) {
      object["spec"]["initContainers"] = [["name": "i", "resources": requests, "restartPolicy": "Always"]]
    }
    if Bool.random(using: &numbers) { object["spec"]["activeDeadlineSeconds"] = 60 }
    if Bool.random(using: &numbers) { object["spec"]["overhead"] = ["cpu": "10m"] }
    return object
  }

  private static func randomService(_ numbers: inout SeededNumbers, _ name: String) -> JSON {
    let type = ["ClusterIP", "NodePort", "LoadBalancer"].randomElement(using: &numbers)!
    return ["metadata": ["name": .string(name)], "spec": ["type": .string(type), "ports": [["port": 80], ["port": 443]]]]
  }

  @Test(arguments: 1...20)
  func chargesAddUpToARecount(_ seed: UInt64) throws {
    var numbers = SeededNumbers(state: seed)
    var quotas: [JSON] = [
      [
        "metadata": ["name": "all"],
        "spec": ["hard": ["pods": "12", "requests.cpu": "8", "services.nodeports": "6", "count/services": "9"]],
      ],
      ["metadata": ["name": "short"], "spec": ["hard": ["requests.memory": "6Gi", "pods": "5"], "scopes": ["Terminating"]]],
    ]
    var objects: [CountedResource: [JSON]] = [Self.pods: [], Self.services: []]
    for i in quotas.indices { quotas[i]["status"] = ResourceQuotas.status(of: quotas[i], objects: objects, now: Self.now) }
    var refused = 0
    for step in 0..<40 {
      let isPod = Bool.random(using: &numbers)
      let object = isPod ? Self.randomPod(&numbers, "p\(step)") : Self.randomService(&numbers, "s\(step)")
      let request = isPod ? attributes() : attributes(.create, "services", kind: "Service")
      do throws(AdmissionRefusal) {
        for charge in try ResourceQuotas.check(quotas, object: object, attributes: request, now: Self.now) {
          let i = quotas.firstIndex { $0["metadata"]["name"].string == charge.name }
          if let i { quotas[i] = charge.quota }
        }
        objects[isPod ? Self.pods : Self.services]?.append(object)
      } catch {
        #expect(error.message.contains("exceeded quota"))
        refused += 1
      }
    }
    #expect(refused > 0 && objects.values.allSatisfy { !$0.isEmpty })
    for quota in quotas {
      let recounted = ResourceAmounts(ResourceQuotas.status(of: quota, objects: objects, now: Self.now)["used"])
      let hard = ResourceAmounts(quota["spec"]["hard"])
      #expect(ResourceAmounts(quota["status"]["used"]) == recounted)
      #expect(recounted.names == hard.names)
      #expect(recounted.names.allSatisfy { recounted[$0]! <= hard[$0]! })
    }
  }
}
