import JSONCodec
import KubernetesAPI

/// The variables that tell a container of services: `<NAME>_SERVICE_HOST` and the forms that Docker's links had. Pure.
enum ServiceEnvironment {
  /// Of all services, those that a pod is told of, in the order of their names: its namespace's (unless
  /// `enableServiceLinks` is false), and the API server's always.
  static func services(for pod: Pod, among all: [JSON]) -> [JSON] {
    var chosen: [String: JSON] = [:]
    for service in all {
      let address = service["spec"]["clusterIP"].string ?? ""
      guard !address.isEmpty, address != "None", let name = service["metadata"]["name"].string else { continue }
      let namespace = service["metadata"]["namespace"].string ?? ""
      if namespace == pod.namespace, pod.spec.json["enableServiceLinks"].bool ?? true {
        chosen[name] = service
      } else if namespace == "default", name == "kubernetes", chosen[name] == nil {
        chosen[name] = service
      }
    }
    return chosen.sorted { $0.key < $1.key }.map(\.value)
  }

  static func variables(_ services: [JSON]) -> [(name: String, value: String)] {
    var result: [(name: String, value: String)] = []
    for service in services {
      let ports = service["spec"]["ports"].array ?? []
      guard let first = ports.first, let address = service["spec"]["clusterIP"].string else { continue }
      let name = variableName(service["metadata"]["name"].string ?? "")
      result.append(("\(name)_SERVICE_HOST", address))
      result.append(("\(name)_SERVICE_PORT", "\(first["port"].int ?? 0)"))
      for port in ports {
        guard let portName = port["name"].string, !portName.isEmpty else { continue }
        result.append(("\(name)_SERVICE_PORT_\(variableName(portName))", "\(port["port"].int ?? 0)"))
      }
      let host = address.utf8.contains(UInt8(ascii: ":")) ? "[\(address)]" : address
      for (index, port) in ports.enumerated() {
        let number = port["port"].int ?? 0
        let transport = port["protocol"].string ?? "TCP"
        let lower = transport.lowercased()
        let url = "\(lower)://\(host):\(number)"
        let prefix = "\(name)_PORT_\(number)_\(transport)"
        if index == 0 { result.append(("\(name)_PORT", url)) }
        result.append((prefix, url))
        result.append(("\(prefix)_PROTO", lower))
        result.append(("\(prefix)_PORT", "\(number)"))
        result.append(("\(prefix)_ADDR", address))
      }
    }
    return result
  }

  private static func variableName(_ name: String) -> String {
    name.uppercased().split(separator: "-", omittingEmptySubsequences: false).joined(separator: "_")
  }
}
