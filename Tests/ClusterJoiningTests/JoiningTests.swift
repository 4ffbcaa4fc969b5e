import Crypto
import Foundation
import JSONCodec
import KubernetesClient
import SwiftASN1
import Testing
import X509

@testable import ClusterJoining

/// An authority's certificate in PEM; its key is made for it.
private func authority() throws -> (certificate: Certificate, pem: String) {
  let key = P256.Signing.PrivateKey()
  let name = try DistinguishedName { CommonName("test-ca") }
  let certificate = try Certificate(
    version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: Date.now, notValidAfter: Date.now.addingTimeInterval(60),
    issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
    extensions: Certificate.Extensions { Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil)) }, issuerPrivateKey: .init(key))
  return (certificate, try certificate.serializeAsPEM().pemString + "\n")
}

private func urlSafe(_ bytes: some Sequence<UInt8>) -> String {
  Data(bytes).base64EncodedString().replacingOccurrences(of: "=", with: "").replacingOccurrences(of: "+", with: "-")
    .replacingOccurrences(of: "/", with: "_")
}

private func signature(_ content: String, id: String, secret: String, algorithm: String = "HS256") -> String {
  let head = urlSafe(#"{"alg":"\#(algorithm)","kid":"\#(id)"}"#.utf8)
  let code = HMAC<SHA256>.authenticationCode(
    for: Data("\(head).\(urlSafe(content.utf8))".utf8), using: SymmetricKey(data: Data(secret.utf8)))
  return "\(head)..\(urlSafe(code))"
}

private func clusterInfo(_ pems: [String], id: String = "abcdef", secret: String = "0123456789abcdef", changed: String = "") -> JSON {
  let authority = Data(pems.joined().utf8).base64EncodedString()
  let content = "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: \(authority)\n    server: https://10.0.0.1:6443\n  name: \"\"\n"
  return ["data": ["kubeconfig": .string(content + changed), .init("jws-kubeconfig-\(id)"): .string(signature(content, id: id, secret: secret))]]
}

@Suite struct TokenTextTests {
  private let hash = "sha256:" + String(repeating: "0a", count: 32)

  @Test func oneTextHoldsTokenAndPins() throws {
    let token = try JoinToken("abcdef.0123456789abcdef@\(hash)")
    #expect(token.id == "abcdef" && token.secret == "0123456789abcdef" && token.bearer == "abcdef.0123456789abcdef")
    #expect(token.pins.map(\.text) == [hash] && token.text == "abcdef.0123456789abcdef@\(hash)")
    #expect(try JoinToken("abcdef.0123456789abcdef").pins.isEmpty)
    #expect(try JoinToken("abcdef.0123456789abcdef@\(hash)@\(hash)").pins.count == 2)
    #expect(try AuthorityPin(hash.uppercased()).text == hash)
  }

  @Test(arguments: [
    "", "abcdef", "abcde.0123456789abcdef", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef@",
    "abcdef.0123456789abcdef@sha256:12", "abcdef.0123456789abcdef@md5:00", "abcdef.0123456789abcdef.x", "äbcdef.0123456789abcdef",
    "abcdef.0123456789abcdef ", "abcdef..0123456789abcdef",
  ]) func othersAreRefused(_ text: String) {
    #expect(throws: JoinToken.Malformed.self) { try JoinToken(text) }
  }

  @Test func aRefusalDoesNotShowTheSecret() {
    do {
      _ = try JoinToken("abcdef.0123456789abcdeX")
    } catch {
      #expect(!"\(error)".contains("0123456789abcdeX"))
    }
  }

  @Test func randomOnesDiffer() throws {
    let tokens = (0..<200).map { _ in JoinToken.random(pins: []) }
    #expect(Set(tokens.map(\.bearer)).count == 200)
    for token in tokens { #expect(try JoinToken(token.text) == token) }
  }
}

@Suite struct ClusterInfoTests {
  @Test func aPinIsOfTheKeyAndNotOfTheCertificate() throws {
    let made = try authority()
    let key = try made.certificate.publicKey.serializeAsPEM().derBytes
    let digest = SHA256.hash(data: key).map { String(format: "%02x", $0) }.joined()
    #expect(try AuthorityPin(made.certificate).text == "sha256:\(digest)")
    #expect(try AuthorityPin.pins(ofPEM: Array((made.pem + made.pem).utf8)).count == 2)
  }

  @Test func whatIsSignedAndPinnedIsBelieved() throws {
    let (made, other) = (try authority(), try authority())
    var token = JoinToken(id: "abcdef", secret: "0123456789abcdef", pins: [try AuthorityPin(made.certificate)])
    let info = try ClusterInfo(clusterInfo([other.pem, made.pem]), token: token)
    #expect(info.server == "https://10.0.0.1:6443")
    #expect(String(decoding: info.authorityPEM, as: UTF8.self) == made.pem, "an authority that no pin names was trusted")
    token.pins = []
    #expect(try ClusterInfo(clusterInfo([made.pem]), token: token).authorityPEM == Array(made.pem.utf8))
  }

  @Test func everythingElseIsNot() throws {
    let (made, other) = (try authority(), try authority())
    let pin = try AuthorityPin(made.certificate)
    let token = JoinToken(id: "abcdef", secret: "0123456789abcdef", pins: [pin])
    #expect(throws: ClusterInfo.Distrust.unsigned(tokenID: "ghijkl")) {
      try ClusterInfo(clusterInfo([made.pem]), token: JoinToken(id: "ghijkl", secret: token.secret, pins: [pin]))
    }
    #expect(throws: ClusterInfo.Distrust.wronglySigned(tokenID: "abcdef")) {
      try ClusterInfo(clusterInfo([made.pem]), token: JoinToken(id: "abcdef", secret: "0123456789abcdee", pins: [pin]))
    }
    #expect(throws: ClusterInfo.Distrust.wronglySigned(tokenID: "abcdef")) {
      try ClusterInfo(clusterInfo([made.pem], changed: "# more\n"), token: token)
    }
    #expect(throws: ClusterInfo.Distrust.unpinned(found: [try AuthorityPin(other.certificate).text])) {
      try ClusterInfo(clusterInfo([other.pem]), token: token)
    }
    #expect(throws: ClusterInfo.Distrust.self) { try ClusterInfo(clusterInfo(["nothing"]), token: token) }
    #expect(throws: ClusterInfo.Distrust.self) { try ClusterInfo(.null, token: token) }
  }

  @Test func aSignatureOfAnotherKindIsNone() {
    let token = JoinToken(id: "abcdef", secret: "0123456789abcdef")
    #expect(ClusterInfo.isSigned("text", signature("text", id: "abcdef", secret: token.secret), by: token))
    #expect(!ClusterInfo.isSigned("text", signature("text", id: "abcdef", secret: token.secret, algorithm: "none"), by: token))
    #expect(!ClusterInfo.isSigned("text", signature("text", id: "ghijkl", secret: token.secret), by: token))
    for broken in ["", "..", "a.b.c", "!..!", signature("text", id: "abcdef", secret: token.secret) + "."] {
      #expect(!ClusterInfo.isSigned("text", broken, by: token))
    }
  }
}

@Suite struct RenewalTests {
  private let begin = Date(timeIntervalSince1970: 1_000_000)

  @Test func itIsDueInTheLastThirdWithJitter() {
    let end = begin.addingTimeInterval(1000)
    #expect(Renewal(from: begin, to: end, chance: 0).due == begin.addingTimeInterval(700))
    #expect(Renewal(from: begin, to: end, chance: 1).due == begin.addingTimeInterval(900))
    let dues = Set((0..<100).map { _ in Renewal(from: begin, to: end).due })
    #expect(dues.count > 50 && dues.allSatisfy { (700.0...900.0).contains($0.timeIntervalSince(begin)) })
    let renewal = Renewal(from: begin, to: end, chance: 0.5)
    #expect(!renewal.isDue(begin.addingTimeInterval(799)) && renewal.isDue(begin.addingTimeInterval(800)))
    #expect(!renewal.isOver(begin.addingTimeInterval(999)) && renewal.isOver(end))
  }

  @Test func failuresSlowDownButNeverPastTheEnd() {
    let renewal = Renewal(from: begin, to: begin.addingTimeInterval(10_000), chance: 0)
    let now = begin.addingTimeInterval(7000)
    #expect([1, 2, 3, 7, 40].map { renewal.pause(failures: $0, now: now) } == [1, 2, 4, 60, 60])
    #expect(renewal.pause(failures: 40, now: begin.addingTimeInterval(9990)) == 5)
    #expect(renewal.pause(failures: 40, now: begin.addingTimeInterval(11_000)) == 60, "when it is over, there is no hurry")
  }
}

@Suite struct CertificateAnswerTests {
  @Test func waitsUntilSignedAndStopsWhenRefused() throws {
    #expect(try CertificateAsker.outcome(["status": ["conditions": [["type": "Approved"]]]], "csr") == nil)
    #expect(try CertificateAsker.outcome(["status": ["certificate": "UEVN"]], "csr") == "PEM")
    for type in ["Denied", "Failed"] {
      #expect(throws: CertificateAsker.Refusal.self) {
        try CertificateAsker.outcome(["status": ["conditions": [["type": .string(type), "message": "no"]]]], "csr")
      }
    }
  }
}
