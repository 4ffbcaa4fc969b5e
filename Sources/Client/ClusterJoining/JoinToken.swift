/// What a machine joins with: a bootstrap token (`abcdef.0123456789abcdef`), and behind an `@` the pins of the authorities that it may
/// trust: `abcdef.0123456789abcdef@sha256:<64 hex digits>`. The one text proves both sides to each other.
package struct JoinToken: Sendable, Equatable {
  package static let idLength = 6
  package static let secretLength = 16

  /// Public: it is part of the name of the token's Secret.
  package let id: String
  package let secret: String
  /// Any of them will do; none: nothing is known of the authority.
  package var pins: [AuthorityPin]

  package struct Malformed: Error, CustomStringConvertible {
    package let description: String
  }

  package init(_ text: String) throws {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    let words = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    guard words.count == 2, Self.isPlain(words[0], Self.idLength), Self.isPlain(words[1], Self.secretLength) else {
      // The text itself stays out of the message: a token that is nearly right is nearly a secret.
      throw Malformed(
        description:
          "this is no token: one looks like abcdef.0123456789abcdef@sha256:<64 hex digits>. `swiftlet token create` on the server prints one.")
    }
    (id, secret) = (String(words[0]), String(words[1]))
    pins = try parts.dropFirst().map { try AuthorityPin(String($0)) }
  }

  package init(id: String, secret: String, pins: [AuthorityPin] = []) {
    self.id = id
    self.secret = secret
    self.pins = pins
  }

  /// One that nobody can guess: the secret has 82 bits from the system's generator.
  package static func random(pins: [AuthorityPin]) -> JoinToken {
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    var generator = SystemRandomNumberGenerator()
    func word(_ count: Int) -> String { String((0..<count).map { _ in letters[Int.random(in: 0..<letters.count, using: &generator)] }) }
    return JoinToken(id: word(idLength), secret: word(secretLength), pins: pins)
  }

  /// What the API server knows it by: without the pins.
  package var bearer: String { "\(id).\(secret)" }

  package var text: String { ([bearer] + pins.map(\.text)).joined(separator: "@") }

  package static func isID(_ text: String) -> Bool { isPlain(text[...], idLength) }

  private static func isPlain(_ part: Substring, _ count: Int) -> Bool {
    part.utf8.count == count && part.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) }
  }
}
