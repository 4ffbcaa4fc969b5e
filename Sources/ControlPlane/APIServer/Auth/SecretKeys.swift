import APIMachinery
import Crypto
import FoundationEssentials
import SystemPackage

/// The keys that Secrets are encrypted with in the database: the first one writes, all of them read.
///
/// The file has a key in each line: a name and 32 bytes in base64, as `head -c 32 /dev/urandom | base64` makes them.
/// To rotate, put a new line first and start the server again; it writes every Secret anew, and the old line may go.
/// Lines that begin with `#` are comments.
package struct SecretKeys: Sendable {
  static let keyBytes = 32
  static let nameBytesMax = 64

  /// No place of a stored object is this large (StoredForm), so encrypted values are told from plain ones.
  private static let magic: [UInt8] = [0xFF, 0xFF] + Array("swl1".utf8)

  private let keys: [(name: String, key: SymmetricKey)]

  package init(file path: FilePath) throws {
    guard let data = FileManager.default.contents(atPath: path.string) else {
      throw IdentityError(
        path: path.string, problem: "cannot be read; --encryption-key-file needs a file with a line `<name> <base64 of 32 bytes>`")
    }
    try self.init(text: String(decoding: data, as: UTF8.self), path: path.string)
  }

  init(text: String, path: String) throws {
    var keys: [(name: String, key: SymmetricKey)] = []
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
      keys.append((name, SymmetricKey(data: bytes)))
    }
    guard !keys.isEmpty else { throw IdentityError(path: path, problem: "has no key; write a line `<name> <base64 of 32 bytes>`") }
    self.keys = keys
  }

  /// `magic, length of the name, name, nonce (12), ciphertext, tag (16)`; AES-256-GCM, bound to the key of the store so that
  /// one Secret cannot be put into the place of another.
  func encrypt(_ value: [UInt8], place: String) throws -> [UInt8] {
    let (name, key) = keys[0]
    let box = try AES.GCM.seal(value, using: key, authenticating: Array(place.utf8))
    guard let combined = box.combined else { throw SecretKeyError(message: "AES-GCM gave no combined form") }
    return Self.magic + [UInt8(name.utf8.count)] + Array(name.utf8) + combined
  }

  /// The name of the key that a value is encrypted with; nil where it is plain.
  private static func keyName(_ value: [UInt8]) -> (name: String, end: Int)? {
    guard value.count > magic.count, value.starts(with: magic) else { return nil }
    let end = magic.count + 1 + Int(value[magic.count])
    guard value.count >= end else { return nil }
    return (String(decoding: value[(magic.count + 1)..<end], as: UTF8.self), end)
  }

  /// The plain value; one that is not encrypted, written before there was a key, is as it is.
  func decrypt(_ value: [UInt8], place: String) throws -> [UInt8] {
    guard let (name, end) = Self.keyName(value) else { return value }
    guard let key = keys.first(where: { $0.name == name })?.key else {
      throw SecretKeyError(message: "\(place) is encrypted with the key \(name), which is not in the key file; add its line again")
    }
    do {
      return Array(try AES.GCM.open(AES.GCM.SealedBox(combined: value[end...]), using: key, authenticating: Array(place.utf8)))
    } catch {
      throw SecretKeyError(
        message: "\(place) cannot be decrypted with the key \(name): the key is another one of that name, or the value was changed")
    }
  }

  /// Whether a value is not encrypted with the key that writes.
  func isStale(_ value: [UInt8]) -> Bool { Self.keyName(value)?.name != keys[0].name }
}

struct SecretKeyError: Error, CustomStringConvertible {
  let message: String
  var description: String { message }
}
