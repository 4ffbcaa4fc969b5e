import APIMachinery
import Crypto
import CryptoExtras
import FoundationEssentials
import SystemPackage

/// Keys that values are encrypted with in the database: the first one writes, all of them read.
///
/// The own key file has a key in each line: a name and 32 bytes in base64, as `head -c 32 /dev/urandom | base64` makes them.
/// To rotate, put a new line first and start the server again; it writes every Secret anew, and the old line may go.
/// Lines that begin with `#` are comments. The keys of an EncryptionConfiguration come from `EncryptionConfiguration`.
package struct SecretKeys: Sendable {
  /// What a key encrypts with. The letters after the mark of an encrypted value tell them apart.
  enum Cipher: String, CaseIterable, Sendable {
    case gcm = "swl1"
    /// AES-CBC says nothing about changes, so a value carries an HMAC-SHA256 as well.
    case cbc = "swlC"
  }

  static let keyBytes = 32
  static let nameBytesMax = 64
  private static let macBytes = 32
  private static let blockBytes = 16

  /// No place of a stored object is this large (StoredForm), so encrypted values are told from plain ones.
  private static let mark: [UInt8] = [0xFF, 0xFF]

  private let keys: [(name: String, key: SymmetricKey)]
  let cipher: Cipher

  package init(file path: FilePath) throws {
    guard let data = FileManager.default.contents(atPath: path.string) else {
      throw IdentityError(
        path: path.string, problem: "cannot be read; --encryption-key-file needs a file with a line `<name> <base64 of 32 bytes>`")
    }
    try self.init(text: String(decoding: data, as: UTF8.self), path: path.string)
  }

  init(text: String, path: String) throws {
    var keys: [(name: String, bytes: [UInt8])] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let parts = line.split { $0 == " " || $0 == "\t" || $0 == "\r" }
      if parts.isEmpty || line.hasPrefix("#") { continue }
      let name = parts.first.map(String.init) ?? ""
      guard parts.count == 2, name.utf8.count <= Self.nameBytesMax, let bytes = Base64.decode(String(parts[1])),
        bytes.count == Self.keyBytes
      else { throw IdentityError(path: path, problem: "line \(number + 1) is not `<name> <base64 of 32 bytes>`") }
      guard !keys.contains(where: { $0.name == name }) else {
        throw IdentityError(path: path, problem: "line \(number + 1) has the name \(name) for a second time")
      }
      keys.append((name, bytes))
    }
    guard !keys.isEmpty else { throw IdentityError(path: path, problem: "has no key; write a line `<name> <base64 of 32 bytes>`") }
    self.init(keys, cipher: .gcm)
  }

  /// - keys: at least one; of 16, 24 or 32 bytes.
  init(_ keys: [(name: String, bytes: [UInt8])], cipher: Cipher) {
    self.keys = keys.map { ($0.name, SymmetricKey(data: $0.bytes)) }
    self.cipher = cipher
  }

  /// `mark, cipher, length of the name, name`, then for AES-GCM `nonce (12), ciphertext, tag (16)`, for AES-CBC
  /// `iv (16), ciphertext, HMAC (32)`. Either is bound to the key of the store so that one object cannot be put into the place of another.
  func encrypt(_ value: [UInt8], place: String) throws -> [UInt8] {
    let (name, key) = keys[0]
    let head = Self.mark + Array(cipher.rawValue.utf8) + [UInt8(name.utf8.count)] + Array(name.utf8)
    switch cipher {
    case .gcm:
      let box = try AES.GCM.seal(value, using: key, authenticating: Array(place.utf8))
      guard let combined = box.combined else { throw SecretKeyError(message: "AES-GCM gave no combined form") }
      return head + combined
    case .cbc:
      let iv = AES._CBC.IV()
      let sealed = Array(iv) + Array(try AES._CBC.encrypt(value, using: key, iv: iv))
      return head + sealed + Array(Self.code(sealed, key, place))
    }
  }

  /// Over the place and what is encrypted; its key is derived, so that no key does two things.
  private static func code(_ sealed: some Collection<UInt8>, _ key: SymmetricKey, _ place: String) -> HMAC<SHA256>.MAC {
    HMAC<SHA256>.authenticationCode(for: Array(place.utf8) + [0] + Array(sealed), using: codeKey(key))
  }

  private static func codeKey(_ key: SymmetricKey) -> SymmetricKey {
    HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Array("swiftlet aescbc authentication".utf8), outputByteCount: macBytes)
  }

  /// What a value is encrypted with; nil where it is plain.
  static func head(_ value: [UInt8]) -> (cipher: Cipher, name: String, end: Int)? {
    let letters = mark.count + 4
    guard value.count > letters, value.starts(with: mark),
      let cipher = Cipher(rawValue: String(decoding: value[mark.count..<letters], as: UTF8.self))
    else { return nil }
    let end = letters + 1 + Int(value[letters])
    guard value.count >= end else { return nil }
    return (cipher, String(decoding: value[(letters + 1)..<end], as: UTF8.self), end)
  }

  /// Whether one of these keys has the name and the cipher that a value names.
  func reads(_ head: (cipher: Cipher, name: String, end: Int)) -> Bool {
    head.cipher == cipher && keys.contains { $0.name == head.name }
  }

  /// The plain value of one that `reads`.
  func decrypt(_ value: [UInt8], _ head: (cipher: Cipher, name: String, end: Int), place: String) throws -> [UInt8] {
    for (name, key) in keys where name == head.name {
      if let plain = Self.open(value[head.end...], cipher, key, place) { return plain }
    }
    throw SecretKeyError(
      message: "\(place) cannot be decrypted with the key \(head.name): the key is another one of that name, or the value was changed")
  }

  private static func open(_ sealed: ArraySlice<UInt8>, _ cipher: Cipher, _ key: SymmetricKey, _ place: String) -> [UInt8]? {
    switch cipher {
    case .gcm:
      guard let box = try? AES.GCM.SealedBox(combined: sealed) else { return nil }
      return (try? AES.GCM.open(box, using: key, authenticating: Array(place.utf8))).map { Array($0) }
    case .cbc:
      guard sealed.count >= 2 * blockBytes + macBytes else { return nil }
      let (body, code) = (sealed.dropLast(macBytes), sealed.suffix(macBytes))
      let covered = Array(place.utf8) + [0] + Array(body)
      guard HMAC<SHA256>.isValidAuthenticationCode(Array(code), authenticating: covered, using: codeKey(key)),
        let iv = try? AES._CBC.IV(ivBytes: Array(body.prefix(blockBytes)))
      else { return nil }
      return (try? AES._CBC.decrypt(Array(body.dropFirst(blockBytes)), using: key, iv: iv)).map { Array($0) }
    }
  }

  /// Whether a value is encrypted with the key that writes.
  func isFresh(_ value: [UInt8]) -> Bool {
    guard let head = Self.head(value) else { return false }
    return head.cipher == cipher && head.name == keys[0].name
  }
}

struct SecretKeyError: Error, CustomStringConvertible {
  let message: String
  var description: String { message }
}
