import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private func object(_ uid: String, owners: [(String, blocks: Bool)] = [], finalizers: [String] = [], deleted: Bool = false) -> JSON {
  [
    "metadata": [
      "name": .string(uid), "uid": .string(uid), "finalizers": finalizers.isEmpty ? .null : JSON(finalizers),
      "deletionTimestamp": deleted ? "2026-11-23T10:00:00Z" : .null,
      "ownerReferences": owners.isEmpty ? .null : .array(owners.map { ["uid": .string($0.0), "blockOwnerDeletion": .bool($0.blocks)] }),
    ]
  ]
}

@Suite struct GarbageCollectionTests {
  private func actions(_ object: JSON, dependents: [JSON] = [], _ states: [String: GarbageCollection.OwnerState] = [:]) async
    -> [GarbageCollection.Action]
  {
    await GarbageCollection.actions(for: object, dependents: dependents) { states[$0["uid"].string ?? ""] ?? .missing }
  }

  @Test func anObjectGoesWithItsLastOwner() async {
    #expect(await actions(object("a")) == [])
    #expect(await actions(object("a", owners: [("o", false)]), ["o": .solid]) == [])
    #expect(await actions(object("a", owners: [("o", false)])) == [.delete(propagation: "Background")])
    #expect(await actions(object("a", owners: [("o", false)], deleted: true)) == [])
    #expect(
      await actions(object("a", owners: [("o", false), ("p", true), ("q", true)]), ["o": .solid, "q": .waiting]) == [
        .release(uids: ["p", "q"])
      ])
    #expect(await actions(object("a", owners: [("o", false)], finalizers: ["orphan"])) == [.delete(propagation: "Orphan")])
  }

  @Test func foregroundWaitsForThoseThatBlock() async {
    let owner = object("o", finalizers: ["foregroundDeletion"], deleted: true)
    #expect(await actions(owner, dependents: [object("a", owners: [("o", true)])]) == [.visitDependents])
    #expect(await actions(owner, dependents: [object("a", owners: [("o", false)])]) == [.removeFinalizer("foregroundDeletion")])
    #expect(await actions(owner) == [.removeFinalizer("foregroundDeletion")])
    let middle = object("m", owners: [("o", true)])
    #expect(
      await actions(middle, dependents: [object("x", owners: [("m", true)])], ["o": .waiting]) == [.delete(propagation: "Foreground")])
    #expect(await actions(middle, ["o": .waiting]) == [.delete(propagation: "Background")])
    let ring = object("x", owners: [("m", true)], finalizers: ["foregroundDeletion"], deleted: true)
    #expect(await actions(middle, dependents: [ring], ["o": .waiting]) == [.unblock, .delete(propagation: "Foreground")])
  }

  @Test func orphansAreLetGo() async {
    #expect(await actions(object("o", finalizers: ["orphan"], deleted: true), dependents: [object("a")]) == [.orphanDependents])
  }
}
