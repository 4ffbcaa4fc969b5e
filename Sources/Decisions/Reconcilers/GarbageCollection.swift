import JSONCodec
import KubernetesAPI

/// What becomes of one object in the graph of owners and dependents, whatever its kind.
///
/// Source: Kubernetes' documentation "Garbage Collection" and "Finalizers": an object goes when none of its owners is
/// left; a foreground deletion waits for dependents with blockOwnerDeletion; orphaning takes the owner off them.
package enum GarbageCollection {
  package static let foreground = "foregroundDeletion"
  package static let orphan = "orphan"

  package enum OwnerState: Sendable, Equatable {
    case solid
    /// It is not there, or another object has its name.
    case missing
    /// It is being deleted in the foreground and waits for its dependents.
    case waiting
  }

  package enum Action: Sendable, Equatable {
    /// Takes references to these owners off the object.
    case release(uids: Set<String>)
    /// Says in the object's references that it blocks nobody: it is part of a ring.
    case unblock
    /// Background, Foreground or Orphan.
    case delete(propagation: String)
    case removeFinalizer(String)
    /// Looks at the dependents next.
    case visitDependents
    /// Takes this owner off every dependent, then the finalizer off the owner.
    case orphanDependents
  }

  package static func waits(_ object: JSON) -> Bool { object.isBeingDeleted && object.meta.finalizers.contains(foreground) }
  package static func orphans(_ object: JSON) -> Bool { object.isBeingDeleted && object.meta.finalizers.contains(orphan) }
  /// False for what the collector has nothing to do with, which is nearly everything.
  package static func concerns(_ object: JSON) -> Bool {
    !object["metadata"]["ownerReferences"].isEmpty || waits(object) || orphans(object)
  }

  /// `owner` tells the state of a reference's owner; it is asked only where it matters.
  package static func actions(
    for object: JSON, dependents: [JSON], owner: (JSON) async throws -> OwnerState
  ) async rethrows -> [Action] {
    if orphans(object) { return [.orphanDependents] }
    if waits(object) {
      let blocking = dependents.filter { blocks($0, object.uid) }
      return blocking.isEmpty ? [.removeFinalizer(foreground)] : [.visitDependents]
    }
    guard !object.isBeingDeleted else { return [] }
    var states: [(uid: String, state: OwnerState)] = []
    for reference in object.meta.ownerReferences { states.append((reference["uid"].string ?? "", try await owner(reference))) }
    guard !states.isEmpty else { return [] }
    if states.contains(where: { $0.state == .solid }) {
      let others = Set(states.filter { $0.state != .solid }.map(\.uid))
      return others.isEmpty ? [] : [.release(uids: others)]
    }
    if states.contains(where: { $0.state == .waiting }), !dependents.isEmpty {
      // In a ring each would wait for the next for ever.
      return (dependents.contains(where: waits) ? [.unblock] : []) + [.delete(propagation: "Foreground")]
    }
    let finalizers = object.meta.finalizers
    return [.delete(propagation: finalizers.contains(orphan) ? "Orphan" : finalizers.contains(foreground) ? "Foreground" : "Background")]
  }

  private static func blocks(_ dependent: JSON, _ owner: String) -> Bool {
    dependent.meta.ownerReferences.contains { $0["uid"].string == owner && $0["blockOwnerDeletion"].bool == true }
  }
}
