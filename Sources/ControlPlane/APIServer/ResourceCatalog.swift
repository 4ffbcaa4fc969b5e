import APIMachinery
import Synchronization

/// What kinds the server has right now: the built-in ones, custom ones that come and go, and those of servers behind it. A request
/// works with the registry that was current when it began.
final class ResourceCatalog: Sendable {
  private struct State {
    var registry: SchemaRegistry
    var openAPI: OpenAPIDocuments
    var discovery: Discovery
    var external: [ExternalVersion] = []
    /// Watches of custom kinds that are under way: what to do when their kind is no longer served.
    var watches: [UInt64: (group: String, version: String, plural: String, end: @Sendable () -> Void)] = [:]
    var watchesEver: UInt64 = 0
  }
  private let state: Mutex<State>
  /// Tells its one reader that the kinds which this server serves itself have changed; begins with what there is.
  let changes: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation

  init(_ registry: SchemaRegistry) {
    let openAPI = OpenAPIDocuments(registry: registry, version: APIServer.version["gitVersion"].string ?? "")
    state = Mutex(State(registry: registry, openAPI: openAPI, discovery: Discovery(registry: registry, openAPI: openAPI, external: [])))
    (changes, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    continuation.yield()
  }

  var registry: SchemaRegistry { state.withLock { $0.registry } }
  /// Documents about the current kinds; made anew when they change, so that none outlives them.
  var discovery: Discovery { state.withLock { $0.discovery } }
  var external: [ExternalVersion] { state.withLock { $0.external } }

  func replace(_ registry: SchemaRegistry) {
    let ended = state.withLock { state -> [@Sendable () -> Void] in
      state.registry = registry
      state.openAPI = state.openAPI.following(registry)
      state.discovery = Discovery(registry: registry, openAPI: state.openAPI, external: state.external)
      return state.watches.values.filter {
        registry.resource(group: $0.group, version: $0.version, plural: $0.plural)?.isServed != true
      }.map(\.end)
    }
    for end in ended { end() }
    continuation.yield()
  }

  /// Calls `end` once the kind is gone: whoever watches it would wait for ever. Gives a number for `left`, nil where it is gone already.
  func watching(_ resource: ResourceInfo, end: @escaping @Sendable () -> Void) -> UInt64? {
    state.withLock { state in
      guard state.registry.resource(group: resource.group, version: resource.version, plural: resource.plural)?.isServed == true else {
        return nil
      }
      state.watchesEver += 1
      state.watches[state.watchesEver] = (resource.group, resource.version, resource.plural, end)
      return state.watchesEver
    }
  }

  func left(_ watch: UInt64) { state.withLock { _ = $0.watches.removeValue(forKey: watch) } }

  func setExternal(_ external: [ExternalVersion]) {
    state.withLock { state in
      guard state.external != external else { return }
      state.external = external
      state.discovery = Discovery(registry: state.registry, openAPI: state.openAPI, external: external)
    }
  }
}
