import APIMachinery
import Crypto
import CryptoExtras
import Foundation
import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOHTTP1
import SwiftASN1
import Testing
import X509

@testable import APIServer

/// PodCertificateRequests: what is asked, who may ask, who may answer, and what an answer has to be.
@Suite(.timeLimit(.minutes(2))) struct PodCertificateTests {
  private static let requests = "/apis/certificates.k8s.io/v1beta1/namespaces/default/podcertificaterequests"
  private static let uid = "0b0b0b0b-0000-4000-8000-000000000001"

  private static func base64(_ bytes: some Sequence<UInt8>) -> JSON { .string(Data(bytes).base64EncodedString()) }

  private static func stub(_ key: Certificate.PrivateKey) throws -> JSON {
    let request = try CertificateSigningRequest(version: .v1, subject: try DistinguishedName {}, privateKey: key, attributes: .init())
    var serializer = DER.Serializer()
    try serializer.serialize(request)
    return base64(serializer.serializedBytes)
  }

  private static func request(_ changes: [String: JSON] = [:]) throws -> JSON {
    var spec: JSON = [
      "signerName": "example.com/signer", "podName": "p", "podUID": .string(uid), "serviceAccountName": "default", "serviceAccountUID": "s",
      "nodeName": "n1", "nodeUID": "n", "maxExpirationSeconds": 86_400,
    ]
    for (field, value) in changes { spec[field] = value }
    return [
      "kind": "PodCertificateRequest", "apiVersion": "certificates.k8s.io/v1beta1", "metadata": ["name": "r", "namespace": "default"],
      "spec": spec,
    ]
  }

  /// Everything that is wrong with a new request, in the server's order.
  private static func problems(_ object: JSON) -> [String] {
    let resource = SchemaRegistry.shared.resource(group: "certificates.k8s.io", version: "v1beta1", plural: "podcertificaterequests")!
    let plain = validate(object, old: nil, resource: resource)
    guard plain.isEmpty else { return plain.map(\.description) }
    return PodCertificates.problems(object, old: nil, subresource: nil, now: .now).map(\.description)
  }

  @Test func keysOfEveryKindProveThemselves() throws {
    let text = Array(Self.uid.utf8)
    let digest = SHA256.hash(data: text)
    let (p256, p384, p521) = (P256.Signing.PrivateKey(), P384.Signing.PrivateKey(), P521.Signing.PrivateKey())
    let rsa = try _RSA.Signing.PrivateKey(keySize: .bits3072)
    let ed25519 = Curve25519.Signing.PrivateKey()
    let edHead: [UInt8] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00]
    let pairs: [(key: JSON, proof: JSON)] = [
      (Self.base64(p256.publicKey.derRepresentation), Self.base64(try p256.signature(for: digest).derRepresentation)),
      (Self.base64(p384.publicKey.derRepresentation), Self.base64(try p384.signature(for: digest).derRepresentation)),
      (Self.base64(p521.publicKey.derRepresentation), Self.base64(try p521.signature(for: digest).derRepresentation)),
      (Self.base64(rsa.publicKey.derRepresentation), Self.base64(try rsa.signature(for: digest, padding: .PSS).rawRepresentation)),
      (Self.base64(edHead + ed25519.publicKey.rawRepresentation), Self.base64(try ed25519.signature(for: text))),
    ]
    for (i, pair) in pairs.enumerated() {
      #expect(Self.problems(try Self.request(["pkixPublicKey": pair.key, "proofOfPossession": pair.proof])) == [], "\(i)")
      // The proof is for this pod, and of this key.
      let refusal = ["spec.proofOfPossession: Invalid value: could not verify proof-of-possession signature"]
      let otherPod = try Self.request(["pkixPublicKey": pair.key, "proofOfPossession": pair.proof, "podUID": "another"])
      #expect(Self.problems(otherPod) == refusal, "\(i)")
      let stolen = try Self.request(["pkixPublicKey": pair.key, "proofOfPossession": pairs[(i + 1) % pairs.count].proof])
      #expect(Self.problems(stolen) == refusal, "\(i)")
    }
    for key in [Certificate.PrivateKey(p256), .init(p384), .init(p521), .init(rsa), .init(ed25519)] {
      #expect(Self.problems(try Self.request(["stubPKCS10Request": try Self.stub(key)])) == [])
    }
  }

  @Test func keysThatAreNone() throws {
    let short = try _RSA.Signing.PrivateKey(keySize: .bits2048)
    let stub = try Self.stub(Certificate.PrivateKey(short))
    #expect(
      Self.problems(try Self.request(["stubPKCS10Request": stub])) == [
        "spec.stubPKCS10Request: Invalid value: \"2048-bit modulus\": RSA keys must have modulus size 3072 or 4096"
      ])
    // A request that another key signed, and one whose signature was changed.
    var bytes = Array(Data(base64Encoded: try Self.stub(Certificate.PrivateKey(P256.Signing.PrivateKey())).string!)!)
    bytes[bytes.count - 1] ^= 1
    #expect(
      Self.problems(try Self.request(["stubPKCS10Request": Self.base64(bytes)])).first?.hasPrefix("spec.stubPKCS10Request: Invalid value: ")
        == true)
    #expect(
      Self.problems(try Self.request(["stubPKCS10Request": "AAAA"])).first?.contains("must be a valid PKCS#10 certificate signing request")
        == true)
    #expect(
      Self.problems(try Self.request(["pkixPublicKey": "AAAA", "proofOfPossession": "AAAA"])).first?
        .contains("must be a valid PKIX-serialized public key") == true)
    let both = try Self.request(["pkixPublicKey": "AAAA", "stubPKCS10Request": stub])
    for object in [try Self.request(), try Self.request(["pkixPublicKey": "AAAA"]), both] {
      #expect(
        Self.problems(object) == [
          "spec: Invalid value: null: exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"
        ])
    }
    let large = Self.base64([UInt8](repeating: 0x30, count: 10 * 1_024 + 1))
    #expect(
      Self.problems(try Self.request(["stubPKCS10Request": large])) == [
        "spec.stubPKCS10Request: Too long: may not be more than 10240 bytes"
      ])
  }

  @Test(
    arguments: [
      ("maxExpirationSeconds", 3_599, "spec.maxExpirationSeconds: Invalid value: 3599: must be in the range [3600, 7862400]"),
      ("maxExpirationSeconds", 7_862_401, "spec.maxExpirationSeconds: Invalid value: 7862401: must be in the range [3600, 7862400]"),
      ("maxExpirationSeconds", .null, "spec.maxExpirationSeconds: Required value: must be set"),
      (
        "signerName", "plain",
        "spec.signerName: Invalid value: \"plain\": must be a fully qualified domain and path of the form 'example.com/signer-name'"
      ),
      ("podUID", "", "spec.podUID: Invalid value: \"\": must not be empty"),
      ("nodeUID", "", "spec.nodeUID: Invalid value: \"\": must not be empty"),
      (
        "serviceAccountUID", .string(String(repeating: "u", count: 129)), "spec.serviceAccountUID: Too long: may not be more than 128 bytes"
      ),
      (
        "unverifiedUserAnnotations", ["plain": "x"],
        "spec.unverifiedUserAnnotations: Invalid value: \"plain\": must be a domain-prefixed key (such as \"acme.io/foo\")"
      ),
    ] as [(String, JSON, String)])
  func fields(_ field: String, _ value: JSON, _ problem: String) throws {
    var object = try Self.request(["stubPKCS10Request": try Self.stub(Certificate.PrivateKey(P256.Signing.PrivateKey()))])
    object["spec"][field] = value
    #expect(Self.problems(object).contains(problem), "\(Self.problems(object))")
  }

  /// Certificates of Kubernetes' own signers live a day at most.
  @Test func signersOfKubernetesGiveADay() throws {
    let stub = try Self.stub(Certificate.PrivateKey(P256.Signing.PrivateKey()))
    for (signer, isAllowed) in [("kubernetes.io/x", false), ("a.kubernetes.io/x", false), ("notkubernetes.io/x", true)] {
      let object = try Self.request(["stubPKCS10Request": stub, "signerName": .string(signer), "maxExpirationSeconds": 86_401])
      #expect(Self.problems(object).isEmpty == isAllowed, "\(signer)")
    }
  }

  // MARK: who

  private struct Scene {
    let pod: JSON
    let spec: [String: JSON]
    let node: Credential
  }

  /// A node with a pod on it, and what its kubelet asks for that.
  private func scene(_ server: ServerUnderTest, _ key: P256.Signing.PrivateKey) async throws -> Scene {
    let credential = try server.authority.client(user: "system:node:n1", groups: ["system:nodes"])
    let node = try await server.admin.create(.nodes, ["metadata": ["name": "n1"]])
    let account = try await server.admin.get(.serviceAccounts("default"), name: "default")
    let body: JSON = ["metadata": ["name": "p"], "spec": ["nodeName": "n1", "containers": [["name": "c", "image": "i"]]]]
    let pod = try await server.admin.create(.pods("default"), body)
    return Scene(
      pod: pod,
      spec: [
        "stubPKCS10Request": try Self.stub(Certificate.PrivateKey(key)), "podUID": pod["metadata"]["uid"],
        "nodeUID": node["metadata"]["uid"],
        "serviceAccountUID": account["metadata"]["uid"],
      ], node: credential)
  }

  @Test func aNodeAsksForItsOwnPodsAlone() async throws {
    try await withServer { server in
      let scene = try await scene(server, P256.Signing.PrivateKey())
      let made = try await server.ask(.POST, Self.requests, try Self.request(scene.spec), certificate: scene.node)
      #expect(made.code == 201, "\(made.message)")
      #expect(made.body["status"].isEmpty || made.body["status"].isNull)
      for (field, value) in [
        ("podUID", "other"), ("podName", "q"), ("serviceAccountName", "other"), ("serviceAccountUID", "other"), ("nodeUID", "other"),
        ("nodeName", "n2"),
      ] as [(String, JSON)] {
        var object = try Self.request(scene.spec)
        object["metadata"]["name"] = .string("r-\(field.lowercased())")
        object["spec"][field] = value
        let refused = try await server.ask(.POST, Self.requests, object, certificate: scene.node)
        #expect(refused.code == 403, "\(field): \(refused.code) \(refused.message)")
      }
      // Another node is no way around, and neither is a pod that has moved in name only.
      let other = try server.authority.client(user: "system:node:n2", groups: ["system:nodes"])
      #expect(try await server.ask(.POST, Self.requests, try Self.request(scene.spec), certificate: other).code == 403)
      // It sees its own by the selector, and cannot answer them itself.
      let own = try await server.ask(.GET, Self.requests + "?fieldSelector=spec.nodeName%3Dn1", certificate: scene.node)
      #expect(own.code == 200 && own.body["items"].array?.count == 1)
      for uri in [Self.requests, Self.requests + "?fieldSelector=spec.nodeName%3Dn2"] {
        #expect(try await server.ask(.GET, uri, certificate: scene.node).code == 403)
      }
      #expect(try await server.ask(.PUT, Self.requests + "/r/status", made.body, certificate: scene.node).code == 403)
      #expect(try await server.ask(.DELETE, Self.requests + "/r", certificate: scene.node).code == 403)
      // What was asked stays as it was asked.
      var changed = made.body
      changed["spec"]["podName"] = "q"
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let update = try await server.ask(.PUT, Self.requests + "/r", changed, certificate: admin)
      #expect(update.code == 422 && update.message.contains("field is immutable"))
    }
  }

  // MARK: the answer

  private static func time(_ date: Date) -> JSON { .string(Timestamp(secondsSinceEpoch: Int64(date.timeIntervalSince1970)).rfc3339) }

  private static func chain(_ key: Certificate.PublicKey, from: Date, seconds: Double, name: String = "p.default") throws -> String {
    let issuer = Certificate.PrivateKey(P256.Signing.PrivateKey())
    let subject = try DistinguishedName { CommonName("signer") }
    let leaf = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: key, notValidBefore: from, notValidAfter: from + seconds, issuer: subject,
      subject: subject,
      signatureAlgorithm: .ecdsaWithSHA256, extensions: try .init { SubjectAlternativeNames([.dnsName(name)]) }, issuerPrivateKey: issuer)
    return try leaf.serializeAsPEM().pemString
  }

  private static func issued(_ chain: String, from: Date, seconds: Double, refresh: Double) -> JSON {
    [
      "conditions": [
        ["type": "Issued", "status": "True", "reason": "Signed", "message": "", "lastTransitionTime": time(from)]
      ], "certificateChain": .string(chain), "notBefore": time(from), "notAfter": time(from + seconds),
      "beginRefreshAt": time(from + refresh),
    ]
  }

  @Test func aSignerAnswersOnceWithACertificateForTheKey() async throws {
    try await withServer { server in
      let key = P256.Signing.PrivateKey()
      let scene = try await scene(server, key)
      let mine = Certificate.PrivateKey(key).publicKey
      let made = try await server.ask(.POST, Self.requests, try Self.request(scene.spec), certificate: scene.node)
      #expect(made.code == 201, "\(made.message)")
      let group = "rbac.authorization.k8s.io"
      for (name, rules) in [
        ("writer", [["apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests/status"], "verbs": ["*"]]]),
        (
          "signer",
          [["apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["example.com/*"], "verbs": ["sign"]]]
        ),
      ] as [(String, JSON)] {
        _ = try await server.admin.create(
          ResourcePath(group: group, version: "v1", "clusterroles"), ["metadata": ["name": .string(name)], "rules": rules])
      }
      func bind(_ role: String, _ user: String) async throws {
        _ = try await server.admin.create(
          ResourcePath(group: group, version: "v1", "clusterrolebindings"),
          [
            "metadata": ["generateName": "b-"], "subjects": [["kind": "User", "name": .string(user), "apiGroup": .string(group)]],
            "roleRef": ["apiGroup": .string(group), "kind": "ClusterRole", "name": .string(role)],
          ])
      }
      try await bind("writer", "writer")
      try await bind("writer", "signer")
      try await bind("signer", "signer")
      let (writer, signer) = (
        try server.authority.client(user: "writer", groups: []), try server.authority.client(user: "signer", groups: [])
      )
      let now = Date(timeIntervalSince1970: Date.now.timeIntervalSince1970.rounded(.down))
      @Sendable func answer(_ status: JSON, _ who: Credential? = nil) async throws -> (Int, String) {
        var object = made.body
        object["metadata"]["resourceVersion"] = .null
        object["status"] = status
        let answer = try await server.ask(.PUT, Self.requests + "/r/status", object, certificate: who ?? signer)
        return (answer.code, answer.message)
      }
      let good = Self.issued(try Self.chain(mine, from: now, seconds: 7_200), from: now, seconds: 7_200, refresh: 3_600)
      try await eventually("the rights") {
        let answer = try await server.ask(.GET, Self.requests + "/r/status", certificate: writer)
        return answer.code == 200
      }
      // The right to write is not the right to sign.
      try await eventually("the refusal") { try await answer(good, writer).1.contains("is not permitted to \"sign\" requests") }
      let stranger = Certificate.PrivateKey(P256.Signing.PrivateKey()).publicKey
      var (early, refreshed, twice, bare) = (good, good, good, good)
      early["notBefore"] = Self.time(now - 60)
      refreshed["beginRefreshAt"] = Self.time(now + 7_000)
      twice["conditions"] = [
        good["conditions"][0], ["type": "Denied", "status": "True", "reason": "No", "message": "", "lastTransitionTime": Self.time(now)],
      ]
      bare["notAfter"] = .null
      let old = now - 600
      for (status, problem) in [
        (
          Self.issued(try Self.chain(stranger, from: now, seconds: 7_200), from: now, seconds: 7_200, refresh: 3_600),
          "was not issued to the requested public key"
        ),
        (Self.issued("nothing", from: now, seconds: 7_200, refresh: 3_600), "must contain at least one certificate"),
        (
          Self.issued(try Self.chain(mine, from: now, seconds: 3_000), from: now, seconds: 3_000, refresh: 1_000),
          "lifetime must be >= 1 hour"
        ),
        (
          Self.issued(try Self.chain(mine, from: now, seconds: 90_000), from: now, seconds: 90_000, refresh: 1_000),
          "must be <= spec.maxExpirationSeconds (86400)"
        ),
        (Self.issued(try Self.chain(mine, from: old, seconds: 7_200), from: old, seconds: 7_200, refresh: 3_600), "within 5 minutes"),
        (
          Self.issued(try Self.chain(mine, from: now, seconds: 7_200, name: "a..b"), from: now, seconds: 7_200, refresh: 3_600),
          "should not contain '..'"
        ),
        (early, "must be set to the NotBefore time"), (refreshed, "at least 10 minutes before status.notAfter"),
        (twice, "There may be at most one condition"), (bare, "status.notAfter: Required value"),
        (["certificateChain": "x"], "status is immutable unless transitioning"),
        (
          [
            "conditions": [["type": "Denied", "status": "True", "reason": "No", "message": "", "lastTransitionTime": Self.time(now)]],
            "certificateChain": "x",
          ],
          "must be empty when denying or failing"
        ),
        (
          ["conditions": [["type": "Odd", "status": "True", "reason": "No", "message": "", "lastTransitionTime": Self.time(now)]]],
          "Unsupported value: \"Odd\""
        ),
      ] as [(JSON, String)] {
        let (code, message) = try await answer(status)
        #expect(code == 422 && message.contains(problem), "\(problem): \(code) \(message)")
      }
      let accepted = try await answer(good)
      #expect(accepted.0 == 200, "\(accepted.1)")
      var later = good
      later["beginRefreshAt"] = Self.time(now + 1_800)
      let again = try await answer(later)
      #expect(again.0 == 422 && again.1.contains("immutable after PodCertificateRequest is issued, denied, or failed"))
    }
  }
}
