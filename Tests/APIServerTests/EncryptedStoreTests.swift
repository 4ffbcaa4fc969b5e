import Foundation
import JSONCodec
import Logging
import RevisionStore
import Testing

@testable import APIServer

@Suite struct EncryptedStoreTests {
  private static let first = "a " + Data(repeating: 1, count: 32).base64EncodedString()
  private static let second = "b " + Data(repeating: 2, count: 32).base64EncodedString()

  private func withStore(_ body: (SQLiteRevisionStore) async throws -> Void) async throws {
    let directory = NSTemporaryDirectory() + "swl-secrets-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let store = try SQLiteRevisionStore(path: directory + "/state.db", logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
    do {
      try await body(store)
    } catch {
      try? await store.close()
      throw error
    }
    try await store.close()
  }

  private func encrypted(_ store: SQLiteRevisionStore, _ lines: String...) throws -> EncryptedStore {
    EncryptedStore(store, keys: try SecretKeys(text: lines.joined(separator: "\n"), path: "keys"))
  }

  private let key = "/registry/secrets/default/s"
  private let secret = Array("\0\u{10}{\"data\":\"canary\"}".utf8)

  @Test func secretsAreNotReadableBelow() async throws {
    try await withStore { store in
      let upper = try encrypted(store, Self.first)
      let revision = try await upper.write(.put(key: key, value: secret, .absent))
      try await upper.write(.put(key: "/registry/configmaps/default/c", value: secret, .absent))
      let raw = try #require(await store.get(key)?.value)
      #expect(!String(decoding: raw, as: UTF8.self).contains("canary"))
      #expect(try await store.get("/registry/configmaps/default/c")?.value == secret)
      #expect(try await upper.get(key)?.value == secret)
      #expect(try await upper.list(prefix: "/registry/").items.map(\.value) == [secret, secret])
      // Watchers see plain values, the earlier one too.
      try await upper.write(.put(key: key, value: secret + [0x20], .revision(revision)))
      let watch = try await upper.watch(prefix: "/registry/", from: 0)
      var events: [ChangeEvent] = []
      for try await batch in watch {
        events += batch.events
        if events.count >= 3 { break }
      }
      watch.cancel()
      #expect(events.map(\.value) == [secret, secret, secret + [0x20]] && events[2].previous?.value == secret)
    }
  }

  @Test func keysRotate() async throws {
    try await withStore { store in
      try await store.write(.put(key: key, value: secret, .absent))
      let old = try encrypted(store, Self.first)
      // What was plain is readable, and encrypted when all is written anew.
      #expect(try await old.get(key)?.value == secret)
      #expect(try await old.encryptAll() == 1)
      #expect(try await old.encryptAll() == 0)
      let both = try encrypted(store, Self.second, Self.first)
      #expect(try await both.get(key)?.value == secret)
      #expect(try await both.encryptAll() == 1)
      let new = try encrypted(store, Self.second)
      #expect(try await new.get(key)?.value == secret)
      await #expect(throws: RevisionStoreError.self) { try await old.get(key) }
    }
  }

  @Test func aSecretCannotTakeAnothersPlace() async throws {
    try await withStore { store in
      let upper = try encrypted(store, Self.first)
      try await upper.write(.put(key: key, value: secret, .absent))
      let raw = try #require(await store.get(key)?.value)
      try await store.write(.put(key: key + "2", value: raw, .absent))
      await #expect(throws: RevisionStoreError.self) { try await upper.get(key + "2") }
      var changed = raw
      changed[changed.count - 1] ^= 1
      try await store.write(.put(key: key, value: changed, .none))
      await #expect(throws: RevisionStoreError.self) { try await upper.get(key) }
    }
  }

  @Test(arguments: ["", "# only a comment", "a", "a c2hvcnQ=", "a b c", first + "\n" + first])
  func keyFilesThatAreNone(_ text: String) {
    #expect(throws: IdentityError.self) { try SecretKeys(text: text, path: "keys") }
  }
}
