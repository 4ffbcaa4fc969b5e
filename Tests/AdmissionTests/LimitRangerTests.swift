import JSONCodec
import Testing

@testable import Admission

@Suite struct LimitRangerTests {
  private static func ranges(_ items: JSON...) -> GatheredFacts {
    facts([.limitRanges(namespace: "team"): [["metadata": ["name": "limits"], "spec": ["limits": .array(items)]]]])
  }

  @Test func containersGetDefaultsAndAnAnnotationTells() throws {
    let cluster = Self.ranges([
      "type": "Container", "default": ["cpu": "500m", "memory": "1Gi"], "defaultRequest": ["cpu": "100m", "memory": "256Mi"],
    ])
    let spec: JSON = [
      "containers": [["name": "c", "resources": ["requests": ["cpu": "200m"]]], ["name": "d"]],
      "initContainers": [
        ["name": "i", "resources": ["limits": ["cpu": "1", "memory": "1Gi"], "requests": ["cpu": "1", "memory": "1Gi"]]]
      ],
    ]
    let result = try mutated(pod("web", spec), attributes(), cluster)
    let containers = result["spec"]["containers"]
    #expect(containers[0]["resources"] == ["requests": ["cpu": "200m", "memory": "256Mi"], "limits": ["cpu": "500m", "memory": "1Gi"]])
    #expect(containers[1]["resources"] == ["requests": ["cpu": "100m", "memory": "256Mi"], "limits": ["cpu": "500m", "memory": "1Gi"]])
    #expect(result["spec"]["initContainers"][0]["resources"] == spec["initContainers"][0]["resources"])
    #expect(
      result["metadata"]["annotations"]["kubernetes.io/limit-ranger"].string
        == "LimitRanger plugin set: memory request for container c; cpu, memory limit for container c; "
        + "cpu, memory request for container d; cpu, memory limit for container d")
    // Without defaults nothing is written.
    #expect(try mutated(pod(), attributes(), Self.ranges(["type": "Container", "max": ["cpu": "9"]]))["metadata"]["annotations"].isNull)
  }

  /// The bound, what is asked for and what is answered.
  static let table: [(item: JSON, requests: JSON, limits: JSON, problem: String?)] = [
    (["type": "Container", "min": ["cpu": "50m"]], ["cpu": "10m"], .null, "minimum cpu usage per Container is 50m, but request is 10m"),
    (
      ["type": "Container", "min": ["cpu": "50m"]], ["cpu": "60m"], ["cpu": "40m"],
      "minimum cpu usage per Container is 50m, but limit is 40m"
    ),
    (["type": "Container", "min": ["cpu": "50m"]], .null, .null, "minimum cpu usage per Container is 50m.  No request is specified"),
    (["type": "Container", "min": ["cpu": "50m"]], ["cpu": "0.05"], .null, nil),
    (
      ["type": "Container", "max": ["memory": "1Gi"]], .null, ["memory": "2Gi"],
      "maximum memory usage per Container is 1Gi, but limit is 2Gi"
    ),
    (
      ["type": "Container", "max": ["memory": "1Gi"]], ["memory": "1Gi"], .null,
      "maximum memory usage per Container is 1Gi.  No limit is specified"
    ),
    (["type": "Container", "max": ["memory": "1Gi"]], .null, ["memory": "1024Mi"], nil),
    (
      ["type": "Container", "maxLimitRequestRatio": ["cpu": "2"]], ["cpu": "100m"], ["cpu": "350m"],
      "cpu max limit to request ratio per Container is 2, but provided ratio is 3.500000"
    ),
    (
      ["type": "Container", "maxLimitRequestRatio": ["cpu": "2"]], ["cpu": "0"], ["cpu": "350m"],
      "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"
    ),
    (
      ["type": "Container", "maxLimitRequestRatio": ["cpu": "2"]], ["cpu": "1"], .null,
      "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"
    ),
    (["type": "Container", "maxLimitRequestRatio": ["cpu": "1.5"]], ["cpu": "2"], ["cpu": "3"], nil),
    (["type": "Pod", "max": ["cpu": "1"]], ["cpu": "1"], ["cpu": "2"], "maximum cpu usage per Pod is 1, but limit is 2"),
    (
      ["type": "Container", "min": ["cpu": "50m"], "max": ["memory": "1Gi"]], ["cpu": "10m"], ["memory": "2Gi"],
      "[minimum cpu usage per Container is 50m, but request is 10m, maximum memory usage per Container is 1Gi, but limit is 2Gi]"
    ),
  ]

  @Test(arguments: table.indices)
  func boundsOfPods(_ i: Int) {
    let row = Self.table[i]
    let message = refusal(pod(requests: row.requests, limits: row.limits), attributes(), Self.ranges(row.item))
    #expect(message == row.problem.map { "pods \"web\" is forbidden: \($0)" })
  }

  @Test func aPodIsTheSumOfWhatRunsBesideEachOther() {
    let item: JSON = ["type": "Pod", "max": ["cpu": "1"]]
    func spec(sidecar: Bool) -> JSON {
      let limits: JSON = ["limits": ["cpu": "600m"]]
      return [
        "containers": [["name": "a", "resources": ["limits": ["cpu": "500m"]]]],
        "initContainers": [["name": "i", "resources": limits, "restartPolicy": sidecar ? "Always" : .null]],
      ]
    }
    #expect(refusal(pod("web", spec(sidecar: false)), attributes(), Self.ranges(item)) == nil)
    #expect(
      refusal(pod("web", spec(sidecar: true)), attributes(), Self.ranges(item))
        == "pods \"web\" is forbidden: maximum cpu usage per Pod is 1, but limit is 1100m")
  }

  @Test func claimsHaveRequestsOnly() {
    let item: JSON = ["type": "PersistentVolumeClaim", "min": ["storage": "1Gi"], "max": ["storage": "10Gi"]]
    func message(_ size: String) -> String? {
      let claim: JSON = [
        "metadata": ["name": "data"], "spec": ["storageClassName": "", "resources": ["requests": ["storage": .string(size)]]],
      ]
      return refusal(claim, attributes(.create, "persistentvolumeclaims", kind: "PersistentVolumeClaim"), Self.ranges(item))
    }
    #expect(message("5Gi") == nil)
    #expect(
      message("20Gi")
        == "persistentvolumeclaims \"data\" is forbidden: maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi")
    #expect(
      message("100Mi")
        == "persistentvolumeclaims \"data\" is forbidden: minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 100Mi")
  }
}
