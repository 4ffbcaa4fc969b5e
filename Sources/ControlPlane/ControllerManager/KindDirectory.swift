import APIMachinery
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Reconcilers
import Synchronization

/// All kinds whose objects can be listed, watched and deleted: built-in ones, and custom ones as their definitions come
/// and go.
final class KindDirectory: Sendable {
  static let definitions = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", isNamespaced: false)

  let builtIn: [Kind]
  private let caches: SharedCaches
  private let custom = Mutex<[String: Kind]>([:])

  init(caches: SharedCaches) {
    self.caches = caches
    var seen: Set<String> = ["/events", "events.k8s.io/events"]
    // Those whose caches others read already, so that nothing is kept in two versions.
    var kinds: [Kind] = [.autoscaler, .disruptionBudget]
    for kind in kinds { seen.insert("\(kind.group)/\(kind.plural)") }
    for resource in SchemaRegistry.shared.resources
    where resource.isServed && ["list", "watch", "delete"].allSatisfy(resource.verbs.contains) {
      guard seen.insert("\(resource.group)/\(resource.plural)").inserted else { continue }
      kinds.append(Kind(resource.group, resource.version, resource.kind, resource.plural, isNamespaced: resource.isNamespaced))
    }
    builtIn = kinds
  }

  var all: [Kind] { builtIn + custom.withLock { Array($0.values) } }

  /// Any version of a group's kind will do.
  func kind(apiVersion: String, _ name: String) -> Kind? {
    let group = apiVersion.contains("/") ? String(apiVersion.prefix { $0 != "/" }) : ""
    return builtIn.first { $0.group == group && $0.kind == name }
      ?? custom.withLock { $0.values.first { $0.group == group && $0.kind == name } }
  }

  /// Tells of each custom kind as it appears, until the task is cancelled.
  func followDefinitions(_ appeared: @escaping @Sendable (Kind) -> Void) async {
    let (changes, continuation) = AsyncStream.makeStream(of: (old: JSON?, new: JSON?).self)
    caches[Self.definitions].observe { continuation.yield(($0, $1)) }
    for await change in changes {
      let name = (change.new ?? change.old ?? .null).objectName.name
      let kind = change.new.flatMap(Self.kind)
      let known = custom.withLock { $0[name] }
      guard kind != known else { continue }
      custom.withLock { $0[name] = kind }
      if let known { caches.drop(known) }
      if let kind { appeared(kind) }
    }
  }

  /// The kind of a definition that is served.
  private static func kind(_ definition: JSON) -> Kind? {
    let conditions = definition["status"]["conditions"].array ?? []
    guard conditions.contains(where: { $0["type"].string == "Established" && $0["status"].string == "True" }),
      let version = (definition["spec"]["versions"].array ?? []).first(where: { $0["served"].bool == true && $0["storage"].bool == true })
        ?? (definition["spec"]["versions"].array ?? []).first(where: { $0["served"].bool == true })
    else { return nil }
    let names = definition["spec"]["names"]
    return Kind(
      definition["spec"]["group"].string ?? "", version["name"].string ?? "", names["kind"].string ?? "", names["plural"].string ?? "",
      isNamespaced: definition["spec"]["scope"].string == "Namespaced")
  }
}
