import JSONCodec
import Testing

@testable import APIMachinery

/// `podCertificate`, a source of projected volumes.
@Suite struct VolumeSourceTests {
  private func problems(_ changes: [String: JSON]) -> [String] {
    var source: JSON = ["signerName": "example.com/s", "keyType": "ED25519", "credentialBundlePath": "bundle.pem"]
    for (field, value) in changes { source[field] = value }
    let volume: JSON = [
      "name": "v",
      "projected": [
        "defaultMode": 420,
        "sources": [["podCertificate": source], ["serviceAccountToken": ["path": "token", "expirationSeconds": 3_600]]],
      ],
    ]
    var pod: JSON = [
      "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "p", "namespace": "d"],
      "spec": ["containers": [["name": "c", "image": "i"]], "volumes": [volume]],
    ]
    let resource = SchemaRegistry.shared.resource(group: "", version: "v1", plural: "pods")!
    applyDefaults(&pod, resource: resource)
    return validate(pod, old: nil, resource: resource).map(\.description)
  }

  private let at = "spec.volumes[0].projected.sources[0].podCertificate"

  @Test func whatIsRight() {
    #expect(problems([:]) == [])
    #expect(problems(["credentialBundlePath": .null, "keyPath": "k", "certificateChainPath": "c", "maxExpirationSeconds": 3_600]) == [])
    #expect(problems(["userAnnotations": ["example.com/dns": "a,b"]]) == [])
    for type in ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521"] { #expect(problems(["keyType": .string(type)]) == []) }
  }

  @Test func whatIsWrong() {
    #expect(
      problems(["keyType": "RSA2048"]).first?.hasPrefix("\(at).keyType: Unsupported value: \"RSA2048\": supported values: \"ECDSAP256\"")
        == true)
    #expect(problems(["signerName": .null]) == ["\(at).signerName: Required value"])
    #expect(
      problems(["credentialBundlePath": .null]) == [
        "\(at): Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
      ])
    #expect(
      problems(["maxExpirationSeconds": 60]) == [
        "\(at).maxExpirationSeconds: Invalid value: 60: if provided, maxExpirationSeconds must be >= 3600"
      ])
    #expect(
      problems(["maxExpirationSeconds": 8_000_000]) == [
        "\(at).maxExpirationSeconds: Invalid value: 8000000: if provided, maxExpirationSeconds must be <= 7862400"
      ])
    #expect(problems(["keyPath": "/abs"]) == ["\(at).keyPath: Invalid value: \"/abs\": must be a relative path"])
    // Two files of one volume have two paths, across its sources.
    for path in ["bundle.pem", "token"] {
      #expect(
        problems(["keyPath": .string(path)]) == ["spec.volumes[0].projected: Invalid value: \"\(path)\": conflicting duplicate paths"])
    }
    #expect(
      problems(["userAnnotations": ["plain": "x"]]) == [
        "\(at).userAnnotations: Invalid value: \"plain\": must be a domain-prefixed key (such as \"acme.io/foo\")"
      ])
  }
}
