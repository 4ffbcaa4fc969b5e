import JSONCodec
import KubernetesAPI

/// What a pod may be told of itself: fields and resources, as text. Pure.
///
/// Source: core/v1 ObjectFieldSelector and ResourceFieldSelector.
package struct DownwardAPI: Sendable {
  package var pod: Pod
  package var podIPs: [String]
  package var hostIPs: [String]
  /// What a container without a limit may use: the node's allocatable resources.
  package var allocatable: [String: Quantity]

  package init(pod: Pod, podIPs: [String] = [], hostIPs: [String] = [], allocatable: [String: Quantity] = [:]) {
    self.pod = pod
    self.podIPs = podIPs
    self.hostIPs = hostIPs
    self.allocatable = allocatable
  }

  /// The value at `metadata.name`, `metadata.labels['key']`, `status.podIP` and their like.
  package func field(_ path: String) throws(ContainerConfigError) -> String {
    let meta = pod.json["metadata"]
    switch path {
    case "metadata.name": return pod.name
    case "metadata.namespace": return pod.namespace
    case "metadata.uid": return pod.uid
    case "metadata.labels": return Self.format(meta["labels"])
    case "metadata.annotations": return Self.format(meta["annotations"])
    case "spec.nodeName": return pod.spec.nodeName
    case "spec.serviceAccountName": return pod.spec.serviceAccountName
    case "status.hostIP": return hostIPs.first ?? ""
    case "status.hostIPs": return hostIPs.joined(separator: ",")
    case "status.podIP": return podIPs.first ?? ""
    case "status.podIPs": return podIPs.joined(separator: ",")
    default: break
    }
    for name in ["labels", "annotations"] {
      let prefix = "metadata.\(name)['"
      if path.hasPrefix(prefix), path.hasSuffix("']"), path.utf8.count > prefix.utf8.count + 2 {
        return meta[name][String(path.dropFirst(prefix.count).dropLast(2))].string ?? ""
      }
    }
    throw ContainerConfigError("unsupported fieldPath: \(path)")
  }

  /// The value of a ResourceFieldSelector in units of its divisor, rounded up.
  /// - Parameter container: where the selector names none.
  package func resource(_ selector: JSON, container: Container?) throws(ContainerConfigError) -> String {
    let name = selector["containerName"].string ?? ""
    guard let container = name.isEmpty ? container : find(name) else {
      throw ContainerConfigError("container \(name) not found")
    }
    let resource = selector["resource"].string ?? ""
    let parts = resource.split(separator: ".", maxSplits: 1).map(String.init)
    guard parts.count == 2, parts[0] == "limits" || parts[0] == "requests",
      ["cpu", "memory", "ephemeral-storage"].contains(parts[1]) || parts[1].hasPrefix("hugepages-")
    else { throw ContainerConfigError("unsupported container resource : \(resource)") }
    let zero = Quantity(0)
    let quantity: Quantity
    if parts[0] == "limits" {
      let limit = container.limit(parts[1])
      quantity = limit.map { $0 == zero ? allocatable[parts[1]] ?? zero : $0 } ?? allocatable[parts[1]] ?? zero
    } else {
      // A limit without a request is the request.
      quantity = container.request(parts[1]) ?? container.limit(parts[1]) ?? zero
    }
    var divisor = selector["divisor"].quantity ?? Quantity(1)
    if divisor == zero { divisor = Quantity(1) }
    let (whole, rest) = quantity.nanoValue.quotientAndRemainder(dividingBy: divisor.nanoValue)
    return "\(whole + (rest > 0 ? 1 : 0))"
  }

  private func find(_ name: String) -> Container? {
    (pod.spec.containers + pod.spec.initContainers + pod.spec.ephemeralContainers).first { $0.name == name }
  }

  /// `key="value"` lines in the order of the keys, values quoted as Go quotes them.
  static func format(_ map: JSON) -> String {
    (map.object.map { Array($0) } ?? []).sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
      .map { "\($0.0)=\(quoted($0.1.string ?? ""))" }.joined(separator: "\n")
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{07}": result += "\\a"
      case "\u{08}": result += "\\b"
      case "\u{0B}": result += "\\v"
      case "\u{0C}": result += "\\f"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        result += "\\x" + (digits.count == 1 ? "0" : "") + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
