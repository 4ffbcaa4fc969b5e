import JSONCodec
import LinuxKernel
import NFTables
import Netlink
import ServiceProxy
import ServiceRules

#if canImport(Glibc)
  import Glibc
#endif

// How long the kernel takes to learn services, in a network namespace of its own: services-bench [services] [endpoints of each]
let counts = CommandLine.arguments.dropFirst().compactMap { Int($0) }
let serviceCount = counts.first ?? 10_000
let endpointCount = counts.dropFirst().first ?? 2

func milliseconds(_ duration: Duration) -> Double {
  Double(duration.components.attoseconds) / 1e15 + Double(duration.components.seconds) * 1000
}
func text(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }

func service(_ index: Int) -> JSON {
  [
    "metadata": ["namespace": "bench", "name": .string("s\(index)")],
    "spec": [
      "type": "ClusterIP", "clusterIP": .string("10.\(96 + index / 60_000).\(index / 250 % 240).\(1 + index % 250)"),
      "ports": [["port": 80, "protocol": "TCP", "name": "http"]],
    ],
  ]
}

func slice(_ index: Int, shift: Int = 0) -> JSON {
  let endpoints = (0..<endpointCount).map { place -> JSON in
    let number = index * endpointCount + place + (place == 0 ? shift : 0)
    return [
      "addresses": [.string("10.\(128 + number / 62_500).\(number / 250 % 250).\(1 + number % 250)")], "nodeName": "other",
      "conditions": ["ready": true],
    ]
  }
  return [
    "metadata": ["namespace": "bench", "name": .string("s\(index)-a"), "labels": ["kubernetes.io/service-name": .string("s\(index)")]],
    "addressType": "IPv4", "endpoints": .array(endpoints), "ports": [["name": "http", "port": 8080, "protocol": "TCP"]],
  ]
}

func residentMegabytes() -> Double {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return Double(usage.ru_maxrss) / 1024
}

let machine = try NamespaceThread(.new)
let kernel = try KernelRules(.existing(machine.namespace))
let layout = RuleLayout(.ipv4, tableName: "bench", podRange: IPPrefix("10.128.0.0/9"), serviceRange: IPPrefix("10.96.0.0/12"))
var state = ServiceState(options: RuleOptions(layouts: [layout], node: NodeFacts(name: "node", nodePortAddresses: [])))
let services = (0..<serviceCount).map { service($0) }
let slices = (0..<serviceCount).map { slice($0) }
let before = residentMegabytes()

let clock = ContinuousClock()
var changes: [Change] = []
let deciding = try clock.measure {
  state.replace(services: services)
  state.replace(slices: slices)
  _ = state.update()
  changes = state.differences(0, from: nil)
}
let start = clock.now
try await kernel.apply(changes, to: layout.table)
let telling = clock.now - start
print(
  "\(serviceCount) services x \(endpointCount) endpoints: rules decided \(text(milliseconds(deciding))) ms, in the kernel \(text(milliseconds(telling))) ms"
)

for (what, isMore) in [("one endpoint replaced", false), ("one endpoint more or less", true)] {
  var times: [Double] = []
  for round in 0..<41 {
    let index = (round * 7919) % serviceCount
    var changed = slice(index, shift: 1_000_000 + round)
    if isMore { changed["endpoints"] = .array(Array((changed["endpoints"].array ?? []).dropLast(round % 2))) }
    let began = clock.now
    state.put(slice: changed)
    _ = state.update()
    try await kernel.apply(state.takeChanges(0), to: layout.table)
    times.append(milliseconds(clock.now - began))
  }
  times.sort()
  print("\(what): median \(text(times[times.count / 2])) ms, worst \(text(times[times.count - 1])) ms")
}
let reading = clock.now
let found = try await kernel.read(layout.table)
let left = state.differences(0, from: found)
print("read back and compared: \(text(milliseconds(clock.now - reading))) ms, \(left.count) differences")
print("peak memory: \(text(residentMegabytes())) MB, of which \(text(before)) MB before (the objects as JSON)")
