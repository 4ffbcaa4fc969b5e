import APIMachinery
import Crypto
import Foundation
import HTTPServing
import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOHTTP1
import SwiftASN1
import Testing
import X509

@testable import APIServer

private let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
private let nodes = "/api/v1/nodes"

private func request(_ node: String, hosts: [String] = [], addresses: [[UInt8]] = []) throws -> String {
  var attributes = CertificateSigningRequest.Attributes()
  let names = hosts.map { GeneralName.dnsName($0) } + addresses.map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) }
  if !names.isEmpty {
    let extensions = try Certificate.Extensions { SubjectAlternativeNames(names) }
    attributes = try CertificateSigningRequest.Attributes([.init(ExtensionRequest(extensions: extensions))])
  }
  let subject = try DistinguishedName {
    OrganizationName("system:nodes")
    CommonName("system:node:\(node)")
  }
  let made = try CertificateSigningRequest(
    version: .v1, subject: subject, privateKey: .init(P256.Signing.PrivateKey()), attributes: attributes, signatureAlgorithm: .ecdsaWithSHA256)
  return Base64.encode(Array(try made.serializeAsPEM().pemString.utf8))
}

private func object(_ request: String, isServing: Bool = false) -> JSON {
  [
    "metadata": ["generateName": "csr-"],
    "spec": [
      "request": .string(request), "signerName": isServing ? "kubernetes.io/kubelet-serving" : "kubernetes.io/kube-apiserver-client-kubelet",
      "usages": ["digital signature", isServing ? "server auth" : "client auth"],
    ],
  ]
}

@Suite struct NodeJoiningTests {
  /// A certificate by request, as a node gets it.
  private func certificate(_ server: ServerUnderTest, _ body: JSON, by credential: Credential) async throws -> Credential {
    let made = try await server.ask(.POST, requests, body, certificate: credential)
    #expect(made.code == 201, "\(made.message)")
    let name = made.body["metadata"]["name"].string ?? ""
    try await eventually("a certificate") {
      try await !server.admin.get(CertificateController.path, name: name)["status"]["certificate"].isEmpty
    }
    let text = try await server.admin.get(CertificateController.path, name: name)["status"]["certificate"].string ?? ""
    return Credential(certificatePEM: String(decoding: try #require(Base64.decode(text)), as: UTF8.self), keyPEM: "")
  }

  @Test func aDeletedNodesCertificatesCountNoLonger() async throws {
    try await withServer { server in
      let joiner = try server.authority.client(user: "system:bootstrap:abcdef", groups: ["system:bootstrappers"])
      let first = try await certificate(server, object(try request("n1")), by: joiner)
      let other = try await certificate(server, object(try request("n2")), by: joiner)
      for (name, credential) in [("n1", first), ("n2", other)] {
        #expect(try await server.ask(.POST, nodes, ["metadata": ["name": .string(name)]], certificate: credential).code == 201)
      }
      let second = try await certificate(server, object(try request("n1")), by: first)
      _ = try await server.admin.delete(.nodes, name: "n1")
      for credential in [first, second] {
        let answer = try await server.ask(.GET, nodes + "/n1", certificate: credential)
        #expect(answer.code == 401 && answer.message.contains("node n1 was deleted"), "\(answer.code) \(answer.message)")
        #expect(try await server.ask(.POST, requests, object(try request("n1")), certificate: credential).code == 401)
        #expect(try await server.ask(.POST, nodes, ["metadata": ["name": "n1"]], certificate: credential).code == 401)
      }
      #expect(try await server.ask(.GET, nodes + "/n2", certificate: other).code == 200)
      // By token it joins anew, at once; what it had stays worthless.
      let again = try await certificate(server, object(try request("n1")), by: joiner)
      #expect(try await server.ask(.POST, nodes, ["metadata": ["name": "n1"]], certificate: again).code == 201)
      #expect(try await server.ask(.GET, nodes + "/n1", certificate: first).code == 401)
      // Another process on the same store knows it, too.
      let later = NodeRevocations(store: server.store, log: server.server.log)
      try await later.load { _ in nil }
      #expect(later.revoked("n1") != nil && later.revoked("n2") == nil)
    }
  }

  @Test func aDeletionThatFailsTakesNothing() async throws {
    try await withServer { server in
      let node = try server.authority.client(user: "system:node:n1", groups: ["system:nodes"])
      let made = try await server.ask(.POST, nodes, ["metadata": ["name": "n1"]], certificate: node)
      await #expect(throws: APIStatusError.self) { try await server.admin.delete(.nodes, name: "n1", uid: "another") }
      _ = try await server.ask(
        .DELETE, nodes + "/n1?dryRun=All", certificate: try server.authority.client(user: "a", groups: ["system:masters"]))
      #expect(try await server.ask(.GET, nodes + "/n1", certificate: node).code == 200)
      struct Full: Error {}
      let revocations = NodeRevocations(store: server.store, log: server.server.log)
      let uid = made.body["metadata"]["uid"].string ?? ""
      await #expect(throws: Full.self) { try await revocations.deleting("n1", uid: uid) { throw Full() } }
      #expect(revocations.revoked("n1") == nil)
      // As after a process that ended in between: the Node is still there, so the record says nothing.
      let later = NodeRevocations(store: server.store, log: server.server.log)
      try await later.load { _ in uid }
      #expect(later.revoked("n1") == nil)
      #expect(try await server.store.list(prefix: NodeRevocations.prefix).items.isEmpty)
    }
  }

  @Test func aWatchEndsWithItsNode() async throws {
    try await withServer { server in
      let revocations = server.server.resources.revocations
      let node = try await server.admin.create(.nodes, ["metadata": ["name": "n1"]])
      let (ended, stranger) = (Task { try await revocations.following("n1") { try await Task.sleep(for: .seconds(60)) } },
        Task { try await revocations.following("n2") { try await Task.sleep(for: .seconds(60)) } })
      try await Task.sleep(for: .milliseconds(100))
      _ = try await revocations.deleting("n1", uid: node["metadata"]["uid"].string ?? "") {}
      await #expect(throws: CancellationError.self) { try await ended.value }
      #expect(!stranger.isCancelled)
      stranger.cancel()
      _ = try? await stranger.value
    }
  }

  @Test func endpointsGetCertificatesForWhatIsTheirs() async throws {
    try await withServer { configuration in
      configuration.ownNames = ["kubernetes", "server"]
      configuration.ownAddresses = [[10, 0, 0, 1]]
      configuration.certificateSeconds = 700
    } _: { server in
      let node = try server.authority.client(user: "system:node:n1", groups: ["system:nodes"])
      _ = try await server.admin.create(.nodes, ["metadata": ["name": "n2"], "status": ["addresses": [["type": "InternalIP", "address": "10.0.0.9"]]]])
      var other = try await server.admin.get(.nodes, name: "n2")
      other["status"]["addresses"] = [["type": "InternalIP", "address": "10.0.0.9"], ["type": "InternalIP", "address": "fd00::9"]]
      try await server.admin.update(.nodes, name: "n2", subresource: "status", other)
      let good = try await certificate(
        server, object(try request("n1", hosts: ["n1"], addresses: [[10, 0, 0, 2]]), isServing: true), by: node)
      let parsed = try Certificate(pemEncoded: good.certificatePEM)
      #expect(parsed.notValidAfter.timeIntervalSince(parsed.notValidBefore) == 700)
      let nine = [0xFD] + [UInt8](repeating: 0, count: 14) + [9]
      let refused: [(hosts: [String], addresses: [[UInt8]])] = [
        (["n2"], []), (["server"], []), (["n1", "kubernetes"], []), (["n1"], [[10, 0, 0, 1]]), (["n1"], [[10, 0, 0, 9]]), (["n1"], [nine]),
      ]
      let rules = ServingRules(ownNames: ["kubernetes", "server"], ownAddresses: [[10, 0, 0, 1]])
      let all = try await server.admin.list(.nodes).items
      for (hosts, addresses) in refused {
        let asked = try CertificateRequest(base64: try request("n1", hosts: hosts, addresses: addresses))
        #expect(rules.objection(asked, nodes: all) != nil, "\(hosts) \(addresses)")
      }
      // A node with a name of the server's gets none in its own name either.
      #expect(rules.objection(try CertificateRequest(base64: try request("kubernetes", hosts: ["kubernetes"])), nodes: all) != nil)
    }
  }

  @Test func clusterInfoIsForEverybodyAndNothingElse() async throws {
    try await withServer { server in
      let place = "/api/v1/namespaces/kube-public/configmaps"
      for name in ["cluster-info", "other"] {
        _ = try await server.admin.create(.configMaps("kube-public"), ["metadata": ["name": .string(name)], "data": ["a": "b"]])
      }
      #expect(try await server.ask(.GET, place + "/cluster-info").body["data"]["a"].string == "b")
      for path in [place, place + "/other", place + "/cluster-info?watch=true", place + "?fieldSelector=metadata.name%3Dcluster-info", nodes] {
        #expect(try await server.ask(.GET, path).code == 401, "\(path)")
      }
      for method in [HTTPMethod.PUT, .DELETE, .PATCH] {
        #expect(try await server.ask(method, place + "/cluster-info", ["data": [:]]).code == 401, "\(method)")
      }
    }
  }
}
