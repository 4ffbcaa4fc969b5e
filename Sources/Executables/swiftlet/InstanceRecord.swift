import APIServer
import FoundationEssentials
import JSONCodec
import SystemPackage

/// What an instance was started with, in `<data-dir>/instance.json`: a later start must not lose sight of what the first one made,
/// and `down` takes away exactly that.
struct InstanceRecord {
  /// Options that name things on the machine; they stay the same until `down`.
  static let places = ["run-dir", "log-dir", "interface-prefix", "cgroup-root"]
  /// Options whose values are written into the cluster's objects.
  static let ranges = ["pod-cidr", "service-cidr"]

  private let path: String
  private(set) var values: [String: String] = [:]

  init(data: FilePath) {
    path = data.appending("instance.json").string
    guard let bytes = FileManager.default.contents(atPath: path), let json = try? JSON.parse(bytes) else { return }
    for (key, value) in json.object ?? JSONObject() { values[key] = value.string }
  }

  /// Compares what was recorded with how the instance is started now, and records that.
  /// - Throws: `StartFailure` naming the option that differs.
  mutating func take(_ options: [String: String], data: FilePath) throws {
    for key in Self.places + Self.ranges {
      guard let now = options[key], let before = values[key], now != before else { continue }
      func words(_ value: String) -> String { value.isEmpty ? "the default --\(key)" : "--\(key) \(value)" }
      let remedy =
        Self.ranges.contains(key)
        ? "Start it with that, or begin a new cluster: swiftlet down --purge --data-dir \(data)"
        : "Start it with that, or take it down first: swiftlet down --data-dir \(data)"
      throw StartFailure("the instance in \(data) was started with \(words(before)), and now with \(words(now)). \(remedy)")
    }
    try change { $0.merge(options) { $1 } }
  }

  /// Adds what is known only once the instance runs.
  mutating func note(_ key: String, _ value: String) throws {
    try change { $0[key] = value }
  }

  /// Forgets the places: nothing of this instance is left there.
  mutating func forgetPlaces() {
    try? change { values in for key in Self.places { values[key] = nil } }
  }

  /// Writes what changes: with a full disk a start that changes nothing goes on.
  private mutating func change(_ body: (inout [String: String]) -> Void) throws {
    let before = values
    body(&values)
    if values == before { return }
    let json = JSON.object(JSONObject(values.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
    do {
      try PrivateFile.write(Array((json.prettyText() + "\n").utf8), to: path, mode: 0o600)
    } catch {
      throw StartFailure("\(error). Free some space, or choose another --data-dir.")
    }
  }
}

extension ServerOptions {
  /// As `InstanceRecord` keeps them.
  func record(_ node: NodeOptions) -> [String: String] {
    ["kubeconfig": kubeconfig, "pod-cidr": node.podCIDR, "service-cidr": node.serviceCIDR]
  }
}

extension PathOptions {
  /// As `InstanceRecord` keeps them.
  func record(_ node: NodeOptions) -> [String: String] {
    ["run-dir": runDirectory, "log-dir": logDirectory, "interface-prefix": node.interfacePrefix, "cgroup-root": node.cgroupRoot ?? ""]
  }
}
