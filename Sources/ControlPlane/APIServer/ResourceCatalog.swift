import APIMachinery
import Synchronization

/// What kinds the server has right now: the built-in ones, and custom ones that come and go. A request works with the registry
/// that was current when it began.
final class ResourceCatalog: Sendable {
  private struct State {
    var registry: SchemaRegistry
    var discovery: Discovery
  }
  private let state: Mutex<State>

  init(_ registry: SchemaRegistry) { state = Mutex(State(registry: registry, discovery: Discovery(registry: registry))) }

  var registry: SchemaRegistry { state.withLock { $0.registry } }
  /// Documents about the current kinds; made anew when they change, so that none outlives them.
  var discovery: Discovery { state.withLock { $0.discovery } }

  func replace(_ registry: SchemaRegistry) {
    let discovery = Discovery(registry: registry)
    state.withLock { $0 = State(registry: registry, discovery: discovery) }
  }
}
