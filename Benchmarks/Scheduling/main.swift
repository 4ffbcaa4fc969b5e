import JSONCodec
import KubernetesAPI
import Scheduling

// How many pods a second the scheduler gives a node to: scheduling-bench [divisor of all sizes]
//
// Decisions alone, over objects in memory: each pod is taken in as the watch tells it, decided, and seen again as bound. No server and no
// store take part; upstream's thresholds (scheduler_perf) do include its API server's writes, on other machines.
let divisor = max(1, CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1)

struct Workload {
  let name: String
  let threshold: Double
  let nodes: Int
  var pods: Int
  var initialPods = 0
  var node: (Int) -> JSON = plainNode
  var initialPod: (Int) -> JSON = { plainPod($0) }
  let pod: (Int) -> JSON
}

func plainNode(_ index: Int) -> JSON {
  let name = "node-\(index)"
  return [
    "metadata": [
      "name": .string(name),
      "labels": [
        "kubernetes.io/hostname": .string(name), "topology.kubernetes.io/zone": .string("zone-\(index % 3)"), "kubernetes.io/os": "linux",
      ],
    ],
    "status": ["allocatable": ["cpu": "4", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": 110]],
  ]
}

func plainPod(_ index: Int, cpu: String = "100m", labels: JSON = [:], namespace: String = "bench", priority: Int = 0, spec: JSON = [:])
  -> JSON
{
  var pod: JSON = [
    "metadata": [
      "name": .string("pod-\(index)"), "namespace": .string(namespace), "uid": .string("\(namespace)-\(index)-\(priority)"),
      "labels": labels,
      "creationTimestamp": "2026-01-01T00:00:00Z",
    ],
    "spec": spec,
  ]
  let volume: JSON = ["name": .string("kube-api-access-\(index)"), "projected": ["sources": []]]
  pod["spec"]["volumes"] = [volume]
  pod["spec"]["priority"] = JSON(priority)
  pod["spec"]["containers"] = [
    [
      "name": "pause", "image": "registry.k8s.io/pause:3.10", "ports": [["containerPort": 80]],
      "resources": ["requests": ["cpu": .string(cpu), "memory": "500Mi"], "limits": ["cpu": .string(cpu), "memory": "500Mi"]],
      "volumeMounts": [["name": .string("kube-api-access-\(index)"), "mountPath": "/var/run/secrets"]],
    ]
  ]
  return pod
}

func spec(_ text: String) -> JSON { (try? JSON.parse(text)) ?? .null }

let zoned = spec(
  #"{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["zone-0","zone-1"]}]}]}}}}"#
)
let spread = spec(
  #"{"topologySpreadConstraints":[{"maxSkew":5,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"color":"blue"}}}]}"#
)
let apart = spec(
  #"{"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"color":"green"}},"topologyKey":"kubernetes.io/hostname","namespaces":["bench","other"]}]}}}"#
)
func daemon(_ node: Int) -> JSON {
  spec(
    #"{"tolerations":[{"operator":"Exists"}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["node-\#(node)"]}]}]}}}}"#
  )
}

let workloads = [
  Workload(name: "basic", threshold: 270, nodes: 5_000, pods: 10_000, initialPods: 1_000, pod: { plainPod($0, namespace: "measured") }),
  Workload(
    name: "node affinity", threshold: 220, nodes: 5_000, pods: 10_000, initialPods: 5_000,
    pod: { plainPod($0, namespace: "measured", spec: zoned) }),
  Workload(
    name: "topology spreading", threshold: 85, nodes: 5_000, pods: 10_000, initialPods: 5_000,
    pod: { plainPod($0, labels: ["color": "blue"], namespace: "measured", spec: spread) }),
  Workload(
    name: "pod anti-affinity", threshold: 60, nodes: 5_000, pods: 2_000, initialPods: 1_000,
    initialPod: { plainPod($0, labels: ["color": "green"], namespace: "other", spec: apart) },
    pod: { plainPod($0, labels: ["color": "green"], spec: apart) }),
  Workload(
    name: "preemption", threshold: 160, nodes: 5_000, pods: 5_000, initialPods: 20_000, initialPod: { plainPod($0, cpu: "900m") },
    pod: { plainPod($0, cpu: "3", namespace: "measured", priority: 10) }),
  Workload(
    name: "DaemonSet", threshold: 390, nodes: 15_000, pods: 15_000,
    pod: { plainPod($0, spec: daemon($0)) }),
  Workload(
    name: "all different", threshold: 0, nodes: 5_000, pods: 2_000,
    pod: { plainPod($0, labels: ["job": .string("j\($0)")], namespace: "measured") }),
]

/// Plays the server: what the scheduler wants happens at once, and is told to it as a watch would.
struct Player {
  let core = SchedulingCore()
  var objects: [String: JSON] = [:]
  var now = Timestamp(secondsSinceEpoch: 1_800_000_000)
  var decisions: [Duration] = []
  var bound = 0

  mutating func add(_ pod: JSON) {
    objects[pod["metadata"]["uid"].string ?? ""] = pod
    core.apply(.pods, .changed(pod), now: now)
  }

  /// Until no pod is left.
  mutating func drain(measuring: Bool) {
    let clock = ContinuousClock()
    while core.pendingCount > 0 {
      let start = clock.now
      guard let outcome = core.next(now: now) else {
        guard let next = core.nextTurn else { break }
        now = max(next, now)
        continue
      }
      if measuring { decisions.append(clock.now - start) }
      switch outcome {
      case .bind(let pod, let node, _, _):
        bound += 1
        objects[pod.uid]?["spec"]["nodeName"] = .string(node)
        core.apply(.pods, .changed(objects[pod.uid] ?? .null), now: now)
      case .refuse(let refusal):
        for victim in refusal.victims {
          guard let object = objects.removeValue(forKey: victim.uid) else { continue }
          core.apply(.pods, .deleted(object), now: now)
        }
      }
    }
  }
}

func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
func seconds(_ duration: Duration) -> Double { Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18 }
func microseconds(_ duration: Duration) -> String { "\(Int(seconds(duration) * 1e6)) us" }

print("| workload | nodes | pods | pods/s | upstream's threshold | times | decision p50 | p99 |")
print("| --- | --- | --- | --- | --- | --- | --- | --- |")
for workload in workloads {
  var player = Player()
  let count = workload.nodes / divisor
  player.core.apply(.nodes, .synced((0..<count).map(workload.node)), now: player.now)
  for index in 0..<workload.initialPods / divisor { player.add(workload.initialPod(index)) }
  player.drain(measuring: false)
  let before = player.bound
  let pods = (0..<workload.pods / divisor).map(workload.pod)
  let clock = ContinuousClock()
  let start = clock.now
  for pod in pods { player.add(pod) }
  player.drain(measuring: true)
  let time = seconds(clock.now - start)
  let placed = player.bound - before
  let rate = Double(placed) / time
  player.decisions.sort()
  let times = workload.threshold > 0 ? "\((rate / workload.threshold * 10).rounded() / 10)" : "-"
  print(
    "| \(padded(workload.name, 18)) | \(count) | \(placed) of \(pods.count) | \(Int(rate)) | \(Int(workload.threshold)) | \(times) | "
      + "\(microseconds(player.decisions[player.decisions.count / 2])) | \(microseconds(player.decisions[player.decisions.count * 99 / 100])) |"
  )
}
