import APIMachinery
import Crypto
import HTTPServing
import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOHTTP1
import SwiftASN1
import SystemPackage
import Testing
import X509

@testable import APIServer

private let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
private let kubelet = "kubernetes.io/kube-apiserver-client-kubelet"

/// The base64 of a request's PEM, with the subject's name and organizations and names of hosts.
private func request(_ name: String, _ organizations: [String] = ["system:nodes"], hosts: [String] = []) throws -> String {
  let subject = try DistinguishedName {
    for organization in organizations { OrganizationName(organization) }
    CommonName(name)
  }
  var attributes = CertificateSigningRequest.Attributes()
  if !hosts.isEmpty {
    let extensions = try Certificate.Extensions { SubjectAlternativeNames(hosts.map { .dnsName($0) }) }
    attributes = try CertificateSigningRequest.Attributes([.init(ExtensionRequest(extensions: extensions))])
  }
  let made = try CertificateSigningRequest(
    version: .v1, subject: subject, privateKey: .init(P256.Signing.PrivateKey()), attributes: attributes,
    signatureAlgorithm: .ecdsaWithSHA256)
  return Base64.encode(Array(try made.serializeAsPEM().pemString.utf8))
}

private func object(
  _ request: String, signer: String = kubelet, usages: JSON = ["digital signature", "client auth"], seconds: JSON = .null
) -> JSON {
  [
    "metadata": ["generateName": "csr-"],
    "spec": ["request": .string(request), "signerName": .string(signer), "usages": usages, "expirationSeconds": seconds],
  ]
}

@Suite struct CertificateRequestTests {
  @Test func aMachineJoinsAndItsNodeRenews() async throws {
    try await withServer { server in
      let admin = server.admin
      let joiner = try server.authority.client(user: "system:bootstrap:abcdef", groups: ["system:bootstrappers"])
      let node = try server.authority.client(user: "system:node:n1", groups: ["system:nodes"])
      for credential in [joiner, node] {
        let answer = try await server.ask(.POST, path, object(try request("system:node:n1"), seconds: 3600), certificate: credential)
        #expect(answer.code == 201 && answer.body["spec"]["username"].string?.hasPrefix("system:") == true)
        let name = answer.body["metadata"]["name"].string ?? ""
        try await eventually("a certificate") {
          try await !admin.get(CertificateController.path, name: name)["status"]["certificate"].isEmpty
        }
        let signed = try await admin.get(CertificateController.path, name: name)
        #expect(signed["status"]["conditions"][0]["reason"].string == "AutoApproved")
        let pem = String(decoding: try #require(Base64.decode(signed["status"]["certificate"].string ?? "")), as: UTF8.self)
        let certificate = try Certificate(pemEncoded: pem)
        let life = certificate.notValidAfter.timeIntervalSince(certificate.notValidBefore)
        #expect(life <= 3600 + 300 && life > 3500)
        let who = try await server.ask(
          .POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", [:], certificate: Credential(certificatePEM: pem, keyPEM: ""))
        #expect(who.body["status"]["userInfo"]["username"].string == "system:node:n1")
      }
    }
  }

  @Test func othersWaitForAPerson() async throws {
    try await withServer { server in
      let admin = server.admin
      let group = "rbac.authorization.k8s.io"
      let user = try server.authority.client(user: "system:node:n1", groups: ["system:nodes"])
      // Another name than the node's own.
      let serving = object(
        try request("system:node:n1", hosts: ["n1.example.com"]), signer: "kubernetes.io/kubelet-serving",
        usages: ["digital signature", "server auth"])
      let made = try await server.ask(.POST, path, serving, certificate: user)
      let name = made.body["metadata"]["name"].string ?? ""
      var approved = made.body
      approved["status"]["conditions"] = [["type": "Approved", "status": "True", "reason": "ByHand", "message": "m"]]
      // Who may write the subresource may not approve yet.
      _ = try await admin.create(
        ResourcePath(group: group, "clusterroles"),
        [
          "metadata": ["name": "approver"],
          "rules": [["verbs": ["update"], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"]]],
        ])
      for role in ["approver"] {
        _ = try await admin.create(
          ResourcePath(group: group, "clusterrolebindings"),
          [
            "metadata": ["name": .string(role)], "subjects": [["kind": "User", "apiGroup": .string(group), "name": "u"]],
            "roleRef": ["apiGroup": .string(group), "kind": "ClusterRole", "name": .string(role)],
          ])
      }
      let approver = try server.authority.client(user: "u", groups: [])
      let refused = try await server.ask(.PUT, "\(path)/\(name)/approval", approved, certificate: approver)
      #expect(
        refused.code == 403
          && refused.message.hasSuffix("user not permitted to approve requests with signerName \"kubernetes.io/kubelet-serving\""))
      _ = try await admin.create(
        ResourcePath(group: group, "clusterrolebindings"),
        [
          "metadata": ["name": "approver-2"], "subjects": [["kind": "User", "apiGroup": .string(group), "name": "u"]],
          "roleRef": [
            "apiGroup": .string(group), "kind": "ClusterRole", "name": "system:certificates.k8s.io:kubelet-serving-approver",
          ],
        ])
      #expect(try await server.ask(.PUT, "\(path)/\(name)/approval", approved, certificate: approver).code == 200)
      try await eventually("a certificate") {
        try await !admin.get(CertificateController.path, name: name)["status"]["certificate"].isEmpty
      }
      // What is decided stays decided.
      var undone = try await admin.get(CertificateController.path, name: name)
      undone["status"]["conditions"] = .array([])
      #expect(try await server.ask(.PUT, "\(path)/\(name)/approval", undone, certificate: approver).code == 422)
    }
  }

  @Test func whatNoSignerSigns() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      func post(_ body: JSON, _ credential: Credential? = nil) async throws -> ServerUnderTest.Answer {
        try await server.ask(.POST, path, body, certificate: credential ?? admin)
      }
      let garbage = try await post(object(Base64.encode(Array("no PEM".utf8))))
      #expect(garbage.code == 422 && garbage.message.contains("spec.request: Invalid value"))
      #expect(try await post(object(try request("x"), signer: "no-domain")).code == 422)
      #expect(try await post(object(try request("x"), signer: "kubernetes.io/legacy-unknown")).code == 422)
      #expect(try await post(object(try request("x"), usages: [])).code == 422)
      #expect(try await post(object(try request("x"), seconds: 599)).code == 422)
      let masters = try await post(object(try request("x", ["system:masters"]), signer: "kubernetes.io/kube-apiserver-client"))
      #expect(masters.code == 403 && masters.message.contains("system:masters group is not allowed"))
      let node = try server.authority.client(user: "system:node:n1", groups: ["system:nodes"])
      #expect(try await post(object(try request("system:node:n2")), node).code == 403)
      // Somebody else's signer is somebody else's business.
      let foreign = try await post(object(try request("x"), signer: "example.com/signer"))
      #expect(foreign.code == 201 && foreign.body["status"]["conditions"].isEmpty)
    }
  }

  @Test func theSignersRules() throws {
    let client: Set<String> = ["digital signature", "client auth"]
    let serving: Set<String> = ["digital signature", "server auth", "key encipherment"]
    let node = try CertificateRequest(base64: try request("system:node:n1"))
    #expect(node.refusal(.kubeletClient, usages: client, username: "any") == nil)
    #expect(node.refusal(.kubeletClient, usages: serving, username: "any") != nil)
    #expect(node.refusal(.kubeletServing, usages: serving, username: "system:node:n1") != nil)
    let host = try CertificateRequest(base64: try request("system:node:n1", hosts: ["n1"]))
    #expect(host.refusal(.kubeletServing, usages: serving, username: "system:node:n1") == nil)
    #expect(host.refusal(.kubeletServing, usages: serving, username: "system:node:n2") != nil)
    #expect(host.refusal(.kubeletClient, usages: client, username: "system:node:n1") != nil)
    let user = try CertificateRequest(base64: try request("jane", ["dev"]))
    #expect(user.refusal(.kubeletClient, usages: client, username: "any") != nil)
    #expect(user.refusal(.client, usages: client, username: "any") == nil && user.refusal(.client, usages: serving, username: "any") != nil)
    #expect(node.automaticPermission(usages: client, username: "system:node:n1") == "selfnodeclient")
    #expect(node.automaticPermission(usages: client, username: "system:bootstrap:x") == "nodeclient")
    #expect(user.automaticPermission(usages: client, username: "jane") == nil)
  }

  @Test func usagesBecomeBits() throws {
    let directory = FilePath("/tmp/swiftlet-ca-\(UUIDs.random())")
    try PrivateDirectory.make(directory)
    defer { PrivateDirectory.remove(directory) }
    let authority = try CertificateAuthority(directory: directory)
    let asked = try CertificateRequest(base64: try request("jane", ["dev"]))
    let bare = try Certificate(pemEncoded: authority.sign(asked, usages: ["client auth"], expirationSeconds: 600))
    #expect(try bare.extensions.keyUsage == nil)
    let full = try Certificate(
      pemEncoded: authority.sign(asked, usages: ["client auth", "key encipherment"], expirationSeconds: nil))
    #expect(try full.extensions.keyUsage == KeyUsage(keyEncipherment: true))
    #expect(try full.extensions.extendedKeyUsage == ExtendedKeyUsage([.clientAuth]))
    #expect(full.notValidAfter <= (try Certificate(pemEncoded: authority.certificatePEM)).notValidAfter)
  }

  @Test(
    arguments: [
      ([], false, 0.0, 86_399.0, false), ([], false, 0.0, 86_401.0, true), (["Denied"], false, 5_000.0, 8_599.0, false),
      (["Denied"], false, 5_000.0, 8_601.0, true), (["Approved"], true, 5_000.0, 8_601.0, true),
      (["Approved"], false, 5_000.0, 8_601.0, false),
    ] as [([String], Bool, Double, Double, Bool)])
  func oldRequestsGo(_ types: [String], _ isSigned: Bool, _ decided: Double, _ now: Double, _ isOver: Bool) {
    let start = Timestamp(secondsSinceEpoch: 1_000_000)
    let request: JSON = [
      "metadata": ["creationTimestamp": .string(start.rfc3339)],
      "status": [
        "certificate": isSigned ? "Yw==" : .null,
        "conditions": .array(types.map { ["type": .string($0), "lastUpdateTime": .string(start.advanced(bySeconds: decided).rfc3339)] }),
      ],
    ]
    #expect(CredentialExpiry.isOver(request, now: start.advanced(bySeconds: now)) == isOver)
  }
}
