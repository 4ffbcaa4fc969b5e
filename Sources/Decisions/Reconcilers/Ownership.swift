import JSONCodec
import KubernetesAPI

/// The reference by which a dependent names the controller it belongs to.
func controllerReference(_ owner: JSON, _ kind: Kind) -> JSON {
  [
    "apiVersion": .string(kind.apiVersion), "kind": .string(kind.kind), "name": owner["metadata"]["name"], "uid": .string(owner.uid),
    "controller": true, "blockOwnerDeletion": true,
  ]
}

extension JSON {
  var controllerUID: String? { meta.controller?["uid"].string }

  /// The key of the controller of a kind, where this object has one of that kind.
  func controllerName(_ kind: Kind) -> ObjectName? {
    guard let reference = meta.controller, reference["kind"].string == kind.kind,
      (reference["apiVersion"].string ?? "").prefix(while: { $0 != "/" }) == kind.apiVersion.prefix(while: { $0 != "/" })
    else { return nil }
    return ObjectName(self["metadata"]["namespace"].string ?? "", reference["name"].string ?? "")
  }
}

/// The dependents that belong to an owner, after orphans that its selector matches are taken in and those that it
/// matches no more are let go.
struct Claims {
  var members: [JSON] = []
  var writes: [Write] = []

  /// `isCandidate` filters what may be adopted or released (pods that have ended stay with whom they are). Members
  /// have the finalizer where there is one.
  init(
    of owner: JSON, _ ownerKind: Kind, _ kind: Kind, selector: LabelSelector, in cluster: any ClusterReader, finalizer: String? = nil,
    considering isCandidate: (JSON) -> Bool = { _ in true }
  ) {
    let namespace = owner["metadata"]["namespace"].string ?? ""
    for object in cluster.controlled(kind, by: owner.uid) where isCandidate(object) {
      if selector.matches(object["metadata"]["labels"]) {
        members.append(object)
      } else if !owner.isBeingDeleted {
        let others = object.meta.ownerReferences.filter { $0["uid"].string != owner.uid }
        writes.append(Self.references(kind, object, others, object.meta.finalizers.filter { $0 != finalizer }))
      }
    }
    guard !owner.isBeingDeleted else { return }
    for object in cluster.orphans(kind, namespace: namespace)
    where !object.isBeingDeleted && selector.matches(object["metadata"]["labels"]) && isCandidate(object) {
      let references = object.meta.ownerReferences.filter { $0["uid"].string != owner.uid } + [controllerReference(owner, ownerKind)]
      let finalizers = object.meta.finalizers.filter { $0 != finalizer } + (finalizer.map { [$0] } ?? [])
      writes.append(Self.references(kind, object, references, finalizers))
      var adopted = object
      adopted["metadata"]["finalizers"] = JSON(finalizers)
      adopted["metadata"]["ownerReferences"] = .array(references)
      members.append(adopted)
    }
  }

  private static func references(_ kind: Kind, _ object: JSON, _ references: [JSON], _ finalizers: [String]) -> Write {
    var metadata: JSON = [
      "uid": .string(object.uid), "resourceVersion": object["metadata"]["resourceVersion"], "ownerReferences": .array(references),
    ]
    if finalizers != object.meta.finalizers { metadata["finalizers"] = JSON(finalizers) }
    return .patch(kind, object.objectName, uid: object.uid, ["metadata": metadata])
  }
}

/// The keys of the controllers of a kind that a change of a dependent concerns: its controller before and now, or,
/// where it has none, all that would adopt it.
func ownerKeys(of change: Change, _ kind: Kind, in cluster: any ClusterReader, selector: (JSON) -> LabelSelector?) -> [ObjectName] {
  var keys: [ObjectName] = []
  for state in change.states {
    if let key = state.controllerName(kind), !keys.contains(key) { keys.append(key) }
  }
  guard let new = change.new, new.meta.controller == nil, !new.isBeingDeleted else { return keys }
  if let old = change.old, old["metadata"]["labels"] == new["metadata"]["labels"], old.meta.controller == nil { return keys }
  for owner in cluster.objects(kind, namespace: new["metadata"]["namespace"].string) {
    guard let selector = selector(owner), !selector.selectsEverything, selector.matches(new["metadata"]["labels"]) else { continue }
    if !keys.contains(owner.objectName) { keys.append(owner.objectName) }
  }
  return keys
}
