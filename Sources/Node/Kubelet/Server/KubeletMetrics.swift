import JSONCodec
import KubernetesAPI
import NIOCore

#if canImport(Glibc)
  import Glibc
#endif

/// Metrics as text (Prometheus exposition format 0.0.4). Only what was measured is written: a family without a value is left out.
enum KubeletMetrics {
  /// /metrics: the process and how many pods and containers it keeps.
  static func kubelet(pods: [JSON], nodeName: String) -> String {
    var out = MetricsText()
    out.family("kubelet_node_name", "gauge", "The node's name. The count is always 1.", [(["node": nodeName], 1)])
    let running = pods.filter { $0.at("status", "phase").string == "Running" }.count
    out.family("kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox", [([:], Double(running))])
    var states: [String: Double] = [:]
    for pod in pods {
      for status in pod.at("status", "containerStatuses").array ?? [] {
        let state = status["state"]
        let name = state["running"].object != nil ? "running" : state["terminated"].object != nil ? "exited" : "created"
        states[name, default: 0] += 1
      }
    }
    out.family(
      "kubelet_running_containers", "gauge", "Number of containers",
      states.sorted { $0.key < $1.key }.map { (["container_state": $0.key], $0.value) })
    process(&out)
    return out.text
  }

  private static func process(_ out: inout MetricsText) {
    var usage = rusage()
    if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
      let seconds = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
      out.family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", [([:], seconds)])
    }
    if let pages = readFile("/proc/self/statm")?.split(separator: " "), pages.count > 1, let resident = Double(pages[1]) {
      out.family(
        "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", [([:], resident * Double(sysconf(Int32(_SC_PAGESIZE))))]
      )
    }
  }

  /// /metrics/resource: what metrics-server reads, from the summary.
  static func resource(summary: JSON) -> String {
    var out = MetricsText()
    let node = summary["node"]
    let pods = summary["pods"].array ?? []
    out.family(
      "node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds",
      samples([([:], node)], cpuSeconds))
    out.family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes", samples([([:], node)], workingSet))
    let containers = containerEntries(pods)
    out.family(
      "container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds",
      samples(containers, cpuSeconds))
    out.family(
      "container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", samples(containers, workingSet))
    out.family(
      "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds", samples(containers, startTime))
    let podEntries = pods.map { (podLabels($0), $0) }
    out.family(
      "pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds", samples(podEntries, cpuSeconds))
    out.family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", samples(podEntries, workingSet))
    let hasFailed = summary["node"].object == nil
    out.family(
      "resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", [([:], hasFailed ? 1 : 0)])
    out.family("scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", [([:], hasFailed ? 1 : 0)])
    return out.text
  }

  /// /metrics/cadvisor: the machine, and the containers' use under cAdvisor's names.
  static func cadvisor(summary: JSON) -> String {
    var out = MetricsText()
    let containers = containerEntries(summary["pods"].array ?? [])
    out.family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", samples(containers, cpuSeconds))
    out.family(
      "container_memory_usage_bytes", "gauge", "Current memory usage in bytes.",
      samples(containers) { $0.at("memory", "usageBytes").double })
    out.family("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", samples(containers, workingSet))
    out.family("container_memory_rss", "gauge", "Size of RSS in bytes.", samples(containers) { $0.at("memory", "rssBytes").double })
    out.family(
      "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.", samples(containers, startTime))
    out.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [([:], Double(sysconf(Int32(_SC_NPROCESSORS_ONLN))))])
    let bytes = Double(sysconf(Int32(_SC_PHYS_PAGES))) * Double(sysconf(Int32(_SC_PAGESIZE)))
    out.family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.", [([:], bytes)])
    return out.text
  }

  private typealias Entry = ([String: String], JSON)

  private static func containerEntries(_ pods: [JSON]) -> [Entry] {
    pods.flatMap { pod in
      (pod["containers"].array ?? []).map { container in
        (podLabels(pod).merging(["container": container["name"].string ?? ""]) { $1 }, container)
      }
    }
  }

  private static func podLabels(_ pod: JSON) -> [String: String] {
    ["namespace": pod.at("podRef", "namespace").string ?? "", "pod": pod.at("podRef", "name").string ?? ""]
  }

  private static func samples(_ entries: [Entry], _ value: (JSON) -> Double?) -> [([String: String], Double)] {
    entries.compactMap { labels, entry in value(entry).map { (labels, $0) } }
  }

  private static func cpuSeconds(_ entry: JSON) -> Double? { entry.at("cpu", "usageCoreNanoSeconds").double.map { $0 / 1e9 } }
  private static func workingSet(_ entry: JSON) -> Double? { entry.at("memory", "workingSetBytes").double }
  private static func startTime(_ entry: JSON) -> Double? {
    entry["startTime"].string.flatMap(Timestamp.init(rfc3339:)).map { Double($0.nanosecondsSinceEpoch) / 1e9 }
  }

  private static func readFile(_ path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = fread(&buffer, 1, buffer.count, file)
    return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}

/// Families of samples, written one after the other.
struct MetricsText {
  private(set) var text = ""

  mutating func family(_ name: String, _ type: String, _ help: String, _ samples: [([String: String], Double)]) {
    guard !samples.isEmpty else { return }
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    for (labels, value) in samples {
      let list = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
      text += list.isEmpty ? name : "\(name){\(list)}"
      text += " \(Self.number(value))\n"
    }
  }

  private static func number(_ value: Double) -> String { Int64(exactly: value).map(String.init) ?? String(value) }

  private static func escaped(_ text: String) -> String {
    var out = ""
    for character in text {
      switch character {
      case "\\": out += "\\\\"
      case "\"": out += "\\\""
      case "\n": out += "\\n"
      default: out.append(character)
      }
    }
    return out
  }
}
