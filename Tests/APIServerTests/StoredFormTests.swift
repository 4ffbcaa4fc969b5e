import JSONCodec
import RevisionStore
import Testing

@testable import APIServer

@Suite struct StoredFormTests {
  static let pod: JSON = [
    "apiVersion": "v1", "spec": ["containers": [["name": "c"]]], "kind": "Pod",
    "metadata": ["name": "p", "resourceVersion": "3", "labels": ["a": "\"quoted\""]],
  ]

  @Test func splicedBytesAreTheObjectWithItsVersion() throws {
    let stored = StoredForm.encode(Self.pod)
    var bytes: [UInt8] = []
    StoredForm.splice(stored, revision: 42, into: &bytes)
    var expected = Self.pod
    expected["metadata"]["resourceVersion"] = "42"
    #expect(try JSON.parse(bytes) == expected)
    #expect(try StoredForm.decode(stored, revision: 42) == expected)
  }

  @Test func theVersionIsNotStored() {
    let other = StoredForm.encode(Self.pod.merging(["metadata": ["name": "p", "resourceVersion": "9", "labels": ["a": "\"quoted\""]]]))
    #expect(StoredForm.encode(Self.pod) == other)
  }

  @Test func emptyMetadata() throws {
    var bytes: [UInt8] = []
    StoredForm.splice(StoredForm.encode(["kind": "X", "apiVersion": "v1"]), revision: 1, into: &bytes)
    #expect(try JSON.parse(bytes)["metadata"] == ["resourceVersion": "1"])
  }

  @Test func decodedObjectsForgetTheOldest() throws {
    let decoded = DecodedObjects()
    for revision in 1...Int64(DecodedObjects.countMax + 1) { decoded.remember(["r": .int(revision)], at: revision) }
    // Still known: the bytes are not looked at.
    #expect(try decoded.object([], revision: 2)["r"].int == 2)
    // Forgotten: the bytes are decoded.
    #expect(try decoded.object(StoredForm.encode(["r": 7]), revision: 1)["r"].int == 7)
  }
}
