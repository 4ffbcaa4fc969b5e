import JSONCodec
import KubernetesAPI

/// The objects that a controller decides from: a snapshot in memory, at most a moment behind the server but never
/// behind this controller's own writes.
package protocol ClusterReader: Sendable {
  func object(_ kind: Kind, _ name: ObjectName) -> JSON?
  /// All of a kind, in one namespace or in all of them.
  func objects(_ kind: Kind, namespace: String?) -> [JSON]
  /// Those whose controller has this uid.
  func controlled(_ kind: Kind, by uid: String) -> [JSON]
  /// Those in a namespace that no controller has.
  func orphans(_ kind: Kind, namespace: String) -> [JSON]
  func pods(onNode: String) -> [JSON]
}

extension ClusterReader {
  package func object(_ kind: Kind, _ namespace: String, _ name: String) -> JSON? { object(kind, ObjectName(namespace, name)) }
}

/// A change of one object: `old` nil where it is new, `new` nil where it is gone.
package struct Change: Sendable {
  package let kind: Kind
  package let old: JSON?
  package let new: JSON?
  package init(_ kind: Kind, old: JSON?, new: JSON?) {
    self.kind = kind
    self.old = old
    self.new = new
  }
  /// The object as it is or was last.
  package var object: JSON { new ?? old ?? .null }
  var name: ObjectName { object.objectName }
  /// The states that there are, the old one first.
  var states: [JSON] { [old, new].compactMap { $0 } }
}

/// What a decision depends on beside the objects.
package struct Circumstances: Sendable {
  package let now: Timestamp
  /// What the server refused the last time for this key.
  package let failure: WriteFailure?
  package init(now: Timestamp, failure: WriteFailure? = nil) {
    self.now = now
    self.failure = failure
  }
}

/// A controller: from what it sees to what it writes, without doing anything itself.
package protocol Reconciler: Sendable {
  /// Names it in logs and as the source of its events, such as `replicaset-controller`.
  var name: String { get }
  /// The kinds that it reads; a change of any of them is offered to `keys`.
  var watched: [Kind] { get }
  /// The objects to look at after a change.
  func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName]
  func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write]
}

extension JSON {
  package var objectName: ObjectName { ObjectName(self["metadata"]["namespace"].string ?? "", self["metadata"]["name"].string ?? "") }
  package var meta: ObjectMeta { ObjectMeta(self["metadata"]) }
  package var uid: String { self["metadata"]["uid"].string ?? "" }
  var isBeingDeleted: Bool { !self["metadata"]["deletionTimestamp"].isNull }
  var created: Timestamp { self["metadata"]["creationTimestamp"].timestamp ?? Timestamp(nanosecondsSinceEpoch: 0) }
  func condition(_ type: String) -> JSON? { self["status"]["conditions"].array?.first { $0["type"].string == type } }
}
