import FoundationEssentials
import JSONCodec
import KubernetesAPI

/// A container's variables from its image, `envFrom`, `env` and the services, in kubelet's order and with its texts.
package struct ContainerEnvironment: PodEnvironments {
  private let objects: any ObjectSource
  private let services: any ServiceSource
  private let allocatable: @Sendable () -> [String: Quantity]

  package init(
    objects: any ObjectSource, services: any ServiceSource, allocatable: @escaping @Sendable () -> [String: Quantity]
  ) {
    self.objects = objects
    self.services = services
    self.allocatable = allocatable
  }

  package func environment(
    of container: Container, in pod: Pod, podIPs: [String], hostIPs: [String], image: [String]
  ) async throws -> [String] {
    let facts = DownwardAPI(pod: pod, podIPs: podIPs, hostIPs: hostIPs, allocatable: allocatable())
    let all = try await services.services()
    let serviceVariables = ServiceEnvironment.variables(ServiceEnvironment.services(for: pod, among: all))
    let serviceValues = Dictionary(serviceVariables.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })

    var variables = Variables()
    for source in container.envFrom { try await add(source, pod.namespace, to: &variables) }
    for variable in container.env {
      guard let name = variable["name"].string else { continue }
      if variable["valueFrom"].isNull {
        // Only what was defined before, and services, can be named.
        let value = expandVariables(variable["value"].string ?? "") { variables[$0] ?? serviceValues[$0] }
        variables.set(name, value)
      } else if let value = try await value(variable["valueFrom"], container, facts) {
        variables.set(name, value)
      }
    }
    for (name, value) in serviceVariables where variables[name] == nil { variables.set(name, value) }
    let own = image.filter { variables[String($0.prefix { $0 != "=" })] == nil }
    return own + variables.list
  }

  /// Nil: an optional source does not exist, the variable is not set.
  private func value(_ source: JSON, _ container: Container, _ facts: DownwardAPI) async throws -> String? {
    if let path = source["fieldRef"]["fieldPath"].string { return try facts.field(path) }
    if !source["resourceFieldRef"].isNull { return try facts.resource(source["resourceFieldRef"], container: container) }
    let namespace = facts.pod.namespace
    for kind in [ObjectKind.configMap, .secret] {
      let selector = source[kind == .configMap ? "configMapKeyRef" : "secretKeyRef"]
      guard !selector.isNull else { continue }
      let name = selector["name"].string ?? ""
      let key = selector["key"].string ?? ""
      let isOptional = selector["optional"].bool ?? false
      guard let object = try await objects.object(kind, namespace, name) else {
        if isOptional { return nil }
        throw ContainerConfigError("\(kind.rawValue) \"\(name)\" not found")
      }
      if let value = ObjectData.values(of: object, kind)[key] { return String(decoding: value, as: UTF8.self) }
      if isOptional { return nil }
      throw ContainerConfigError("couldn't find key \(key) in \(kind.title) \(namespace)/\(name)")
    }
    throw ContainerConfigError("a variable's valueFrom names no source that this node knows")
  }

  private func add(_ source: JSON, _ namespace: String, to variables: inout Variables) async throws {
    let prefix = source["prefix"].string ?? ""
    for kind in [ObjectKind.configMap, .secret] {
      let reference = source[kind == .configMap ? "configMapRef" : "secretRef"]
      guard !reference.isNull else { continue }
      let name = reference["name"].string ?? ""
      guard let object = try await objects.object(kind, namespace, name) else {
        if reference["optional"].bool ?? false { continue }
        throw ContainerConfigError("\(kind.rawValue) \"\(name)\" not found")
      }
      for (key, value) in ObjectData.values(of: object, kind, withBinary: false).sorted(by: { $0.key < $1.key }) {
        variables.set(prefix + key, String(decoding: value, as: UTF8.self))
      }
    }
  }

  /// Name and value in the order in which the names first came; a later value wins.
  private struct Variables {
    private var order: [String] = []
    private var values: [String: String] = [:]

    subscript(_ name: String) -> String? { values[name] }

    mutating func set(_ name: String, _ value: String) {
      // A name with "=" or NUL cannot be told to a process.
      guard !name.isEmpty, !name.utf8.contains(where: { $0 == UInt8(ascii: "=") || $0 == 0 }) else { return }
      if values.updateValue(value, forKey: name) == nil { order.append(name) }
    }

    var list: [String] { order.map { "\($0)=\(values[$0] ?? "")" } }
  }
}
