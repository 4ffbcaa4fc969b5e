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
    EncryptedStore(store, rules: EncryptionRules(keys: try SecretKeys(text: lines.joined(separator: "\n"), path: "keys")))
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

  // MARK: EncryptionConfiguration

  private static func secret(_ byte: UInt8, _ count: Int = 32) -> String { Data(repeating: byte, count: count).base64EncodedString() }

  /// - providers: lines of YAML, each an item of the list.
  private static func file(_ entries: (resources: String, providers: [String])...) -> String {
    var text = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
    for (resources, providers) in entries {
      text += "- resources: \(resources)\n  providers:\n" + providers.map { "  - \($0)\n" }.joined()
    }
    return text
  }

  private static func keys(_ provider: String, _ name: String, _ secret: String) -> String {
    "\(provider): {keys: [{name: \(name), secret: \(secret)}]}"
  }

  private static func upper(_ store: SQLiteRevisionStore, _ text: String, own: String? = nil) throws -> EncryptedStore {
    let rules = try EncryptionConfiguration.rules(text: text, path: "enc.yaml")
    return EncryptedStore(store, rules: try own.map { rules.reading(try SecretKeys(text: $0, path: "keys")) } ?? rules)
  }

  @Test(arguments: [
    ("[secrets, configmaps]", ["secrets", "configmaps"]), ("['*.apps']", ["apps/deployments"]),
    ("[widgets.example.com]", ["example.com/widgets"]), ("['*.']", ["secrets", "configmaps"]),
    ("['*.*']", ["secrets", "configmaps", "apps/deployments", "example.com/widgets"]),
  ])
  func theResourcesThatAreNamedLieEncrypted(_ resources: String, _ hidden: [String]) async throws {
    try await withStore { store in
      let upper = try Self.upper(store, Self.file((resources, [Self.keys("aesgcm", "k", Self.secret(1))])))
      let all = ["secrets", "configmaps", "apps/deployments", "example.com/widgets"]
      for place in all { try await upper.write(.put(key: "/registry/\(place)/default/x", value: secret, .absent)) }
      try await upper.write(.put(key: "/registry/ranges/servicenodeports/30000", value: secret, .absent))
      for place in all {
        let raw = try #require(await store.get("/registry/\(place)/default/x")?.value)
        #expect(String(decoding: raw, as: UTF8.self).contains("canary") != hidden.contains(place), "\(place)")
        #expect(try await upper.get("/registry/\(place)/default/x")?.value == secret)
      }
      #expect(try await store.get("/registry/ranges/servicenodeports/30000")?.value == secret)
      #expect(try await upper.list(prefix: "/registry/").items.allSatisfy { $0.value == secret })
    }
  }

  @Test(arguments: [("aesgcm", 16), ("aesgcm", 24), ("aesgcm", 32), ("aescbc", 16), ("aescbc", 32)])
  func everyCipherIsReadBackAndKeepsItsPlace(_ provider: String, _ count: Int) async throws {
    try await withStore { store in
      let upper = try Self.upper(store, Self.file(("[secrets]", [Self.keys(provider, "k", Self.secret(1, count))])))
      try await upper.write(.put(key: key, value: secret, .absent))
      #expect(try await upper.get(key)?.value == secret)
      let raw = try #require(await store.get(key)?.value)
      #expect(!String(decoding: raw, as: UTF8.self).contains("canary"))
      try await store.write(.put(key: key + "2", value: raw, .absent))
      await #expect(throws: RevisionStoreError.self) { try await upper.get(key + "2") }
      for place in [10, raw.count / 2, raw.count - 1] {
        var changed = raw
        changed[place] ^= 1
        try await store.write(.put(key: key, value: changed, .none))
        await #expect(throws: RevisionStoreError.self) { try await upper.get(key) }
      }
    }
  }

  @Test func theFirstEntryThatNamesAResourceDecides() async throws {
    try await withStore { store in
      let text = Self.file(("[configmaps]", ["identity: {}"]), ("['*.']", [Self.keys("aescbc", "k", Self.secret(1))]))
      let upper = try Self.upper(store, text)
      for plural in ["configmaps", "secrets"] { try await upper.write(.put(key: "/registry/\(plural)/d/x", value: secret, .absent)) }
      #expect(try await store.get("/registry/configmaps/d/x")?.value == secret)
      #expect(try await store.get("/registry/secrets/d/x")?.value != secret)
    }
  }

  @Test func providersRotateAndEncryptionCanBeEnded() async throws {
    try await withStore { store in
      try await store.write(.put(key: key, value: secret, .absent))
      let (gcm, cbc) = (Self.keys("aesgcm", "k", Self.secret(1)), Self.keys("aescbc", "k", Self.secret(2)))
      // What is plain is read only where identity is in the list, as upstream has it.
      let strict = try Self.upper(store, Self.file(("[secrets]", [gcm])))
      let error = await #expect(throws: RevisionStoreError.self) { try await strict.get(key) }
      #expect(error?.message == "\(key) is not encrypted; to read it, add `- identity: {}` to the end of its providers in enc.yaml")
      let steps: [([String], isPlain: Bool)] = [
        ([gcm, "identity: {}"], false), ([cbc, gcm], false), (["identity: {}", cbc], true),
      ]
      for (providers, isPlain) in steps {
        let upper = try Self.upper(store, Self.file(("[secrets]", providers)))
        #expect(try await upper.encryptAll() == 1)
        #expect(try await upper.encryptAll() == 0)
        #expect(try await upper.get(key)?.value == secret)
        #expect((try await store.get(key)?.value == secret) == isPlain)
      }
    }
  }

  @Test func theOwnKeyFilesValuesAreReadAndWrittenAnew() async throws {
    try await withStore { store in
      try await encrypted(store, Self.first).write(.put(key: key, value: secret, .absent))
      let cbc = Self.keys("aescbc", "c", Self.secret(3))
      let without = try Self.upper(store, Self.file(("[secrets]", [cbc])))
      let error = await #expect(throws: RevisionStoreError.self) { try await without.get(key) }
      #expect(error?.message == "\(key) is encrypted with the key a, which is not in enc.yaml; add it again")
      // With both options, and with the same key in the new file.
      let both = try Self.upper(store, Self.file(("[secrets]", [cbc])), own: Self.first)
      #expect(try await both.get(key)?.value == secret)
      let moved = try Self.upper(store, Self.file(("[secrets]", [Self.keys("aesgcm", "a", Self.secret(1))])))
      #expect(try await moved.get(key)?.value == secret)
      #expect(try await both.encryptAll() == 1)
      #expect(try await without.get(key)?.value == secret)
      // A configuration without Secrets leaves them to the key file.
      let other = try Self.upper(store, Self.file(("[configmaps]", [cbc])), own: Self.first)
      try await other.write(.put(key: key + "2", value: secret, .absent))
      #expect(try await encrypted(store, Self.first).get(key + "2")?.value == secret)
    }
  }

  @Test func anEntryThatIsGoneIsMissed() async throws {
    try await withStore { store in
      let cbc = Self.keys("aescbc", "c", Self.secret(3))
      let map = "/registry/configmaps/d/c"
      try await Self.upper(store, Self.file(("[configmaps]", [cbc]))).write(.put(key: map, value: secret, .absent))
      let later = try Self.upper(store, Self.file(("[secrets]", [cbc])))
      let page = await #expect(throws: RevisionStoreError.self) { try await later.get(map) }
      #expect(page?.message == "\(map) is encrypted with the aescbc key c, enc.yaml has no entry for the resource; add one with it")
    }
  }

  @Test(arguments: [
    ("apiVersion: v1", "apiVersion: is \"v1\"; write apiserver.config.k8s.io/v1"),
    ("apiVersion: apiserver.config.k8s.io/v1\nkind: Foo", "kind: is \"Foo\"; write EncryptionConfiguration"),
    ("a: b\na: c\n", "line 2: key \"a\" already set in map"),
    (file(), "resources: is missing; write a list of entries with `resources` and `providers`"),
    (file(("[]", ["identity: {}"])), "resources[0].resources: is missing; write a list such as [secrets, configmaps, '*.apps']"),
    (file(("[secrets]", [])), "resources[0].providers: is missing; write a list of aesgcm, aescbc and identity, the one that writes first"),
    (
      file(("['*']", ["identity: {}"])),
      "resources[0].resources[0]: \"*\" is not clear; write \"*.\" for the core group or \"*.*\" for everything"
    ),
    (
      file(("[Secrets]", ["identity: {}"])),
      "resources[0].resources[0]: \"Secrets\" has capital letters; write the plural as in paths: \"secrets\""
    ),
    (
      file(("[deployments.apps, '*.apps']", ["identity: {}"])),
      "resources[0].resources[1]: \"*.apps\" and \"deployments.apps\" overlap; leave one of them out"
    ),
    (
      file(("[pods/status]", ["identity: {}"])),
      "resources[0].resources[0]: \"pods/status\" has a slash; subresources lie in their object, name the resource alone"
    ),
    (
      file(("[secrets]", ["kms: {name: x}"])),
      "resources[0].providers[0].kms: key management services are not supported; use aesgcm with a key of its own"
    ),
    (
      file(("[secrets]", ["identity: {}", "secretbox: {keys: []}"])),
      "resources[0].providers[1].secretbox: XSalsa20-Poly1305 is not supported; use aesgcm, which takes the same 32 bytes"
    ),
    (
      file(("[secrets]", ["aes: {}"])),
      "resources[0].providers[0].aes: is not known here; known are aesgcm, aescbc, secretbox, identity, kms"
    ),
    (
      file(("[secrets]", [keys("aesgcm", "k", "c2hvcnQ=")])),
      "resources[0].providers[0].aesgcm.keys[0].secret: has 5 bytes instead of 16, 24 or 32; write the output of `head -c 32 /dev/urandom | base64`"
    ),
    (
      file(("[secrets]", ["aescbc: {keys: []}"])),
      "resources[0].providers[0].aescbc.keys: is missing; write a list of keys with `name` and `secret`"
    ),
  ])
  func configurationsThatAreNoneSayWhereAndWhat(_ text: String, _ problem: String) throws {
    let error = #expect(throws: IdentityError.self) { try EncryptionConfiguration.rules(text: text, path: "enc.yaml") }
    #expect(error?.description == "enc.yaml: \(problem)")
  }
}
