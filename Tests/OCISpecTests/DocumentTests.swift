import JSONCodec
import Testing

@testable import OCISpec

private let digest = "sha256:" + String(repeating: "ab", count: 32)

/// What a registry sends is a stranger's word: what is not exactly right is refused.
@Suite struct DocumentTests {
  private func layer(_ type: String = MediaType.ociLayerGzip, digest: String = digest, size: JSON = 5) -> JSON {
    ["mediaType": .string(type), "digest": .string(digest), "size": size]
  }

  private func manifest(_ changes: JSON = [:]) -> JSON {
    var manifest: JSON = [
      "schemaVersion": 2, "mediaType": .string(MediaType.ociManifest), "config": layer(MediaType.ociConfig), "layers": [layer()],
    ]
    for (key, value) in changes.object ?? JSONObject() { manifest[key] = value }
    return manifest
  }

  private func parse(_ json: JSON, as type: String? = nil) throws -> ManifestDocument {
    try ManifestDocument.parse(json.serialized(), contentType: type)
  }

  private func kind(_ json: JSON, as type: String? = nil) -> OCIDocumentError.Kind? {
    do {
      _ = try parse(json, as: type)
      return nil
    } catch { return (error as? OCIDocumentError)?.kind }
  }

  @Test func manifestsAndIndexes() throws {
    guard case .manifest(let image) = try parse(manifest(), as: MediaType.ociManifest + "; charset=utf-8") else {
      Issue.record("no manifest")
      return
    }
    #expect(image.layers.count == 1 && image.layers[0].digest.description == digest && image.layers[0].size == 5)
    let entries: JSON = [
      [
        "mediaType": .string(MediaType.ociManifest), "digest": .string(digest), "size": 1,
        "platform": ["os": "linux", "architecture": "arm64"],
      ],
      [
        "mediaType": .string(MediaType.ociManifest), "digest": .string(digest), "size": 2,
        "platform": ["os": "linux", "architecture": "amd64"],
      ],
      ["mediaType": .string(MediaType.ociManifest), "digest": .string(digest), "size": 3],
    ]
    guard case .index(let index) = try parse(["schemaVersion": 2, "manifests": entries]) else {
      Issue.record("no index")
      return
    }
    #expect(index.candidates(for: Platform(os: "linux", architecture: "amd64")).map(\.size) == [2])
    #expect(index.candidates(for: Platform(os: "linux", architecture: "riscv64")).map(\.size) == [3], "who tells no platform may fit")
  }

  @Test func whatIsRefused() {
    #expect(kind(manifest(["manifests": []])) == .malformed, "both a manifest and an index (CVE-2021-41190)")
    #expect(kind(manifest(), as: MediaType.ociIndex) == .malformed, "it came as something else")
    #expect(kind(manifest(["schemaVersion": 1])) == .unsupported)
    #expect(kind(manifest(["schemaVersion": 3])) == .malformed)
    #expect(kind(manifest(["layers": [layer("text/plain")]])) == .unsupported)
    #expect(kind(manifest(["layers": [layer(digest: "sha256:../../etc/passwd")]])) == .malformed)
    #expect(kind(manifest(["layers": [layer(size: -1)]])) == .malformed)
    #expect(kind(manifest(["layers": .array(Array(repeating: layer(), count: ImageManifest.layersMax + 1))])) == .tooLarge)
    #expect(kind(["schemaVersion": 2, "manifests": [7]]) == .malformed)
    #expect(kind(7) == .malformed)
    #expect(throws: OCIDocumentError.self) {
      try ManifestDocument.parse([UInt8](repeating: 0x20, count: ManifestDocument.bytesMax + 1), contentType: nil)
    }
  }

  @Test func configs() throws {
    let config = try OCIImageConfig.parse(
      ([
        "os": "linux", "architecture": "amd64", "rootfs": ["type": "layers", "diff_ids": [.string(digest)]],
        "config": [
          "Env": ["A=b"], "Entrypoint": ["/bin/x"], "Cmd": .null, "User": "1:2", "WorkingDir": "/w", "StopSignal": "",
          "Volumes": ["/b": [:], "/a": [:]], "ExposedPorts": ["80/tcp": [:]],
        ],
      ] as JSON).serialized())
    #expect(config.environment == ["A=b"] && config.entrypoint == ["/bin/x"] && config.command == [] && config.user == "1:2")
    #expect(config.volumes == ["/a", "/b"] && config.exposedPorts == ["80/tcp"] && config.stopSignal == nil && config.diffIDs.count == 1)
    for broken: JSON in [
      ["rootfs": ["type": "tar"]], ["rootfs": ["diff_ids": ["sha1:0"]]], ["config": 1], ["config": ["Env": ["A=\u{0}"]]],
      ["config": ["Env": "A"]], ["config": ["Cmd": [1]]],
    ] { #expect(throws: OCIDocumentError.self, "\(broken)") { try OCIImageConfig.parse(broken.serialized()) } }
  }

  @Test func variantsOfArm() {
    let v8 = Platform(os: "linux", architecture: "arm64", variant: "v8")
    #expect(v8.suitability(of: Platform(os: "linux", architecture: "arm64")) == 8)
    let v7 = Platform(os: "linux", architecture: "arm", variant: "v7")
    #expect(v7.suitability(of: Platform(os: "linux", architecture: "arm", variant: "v6")) == 6)
    #expect(Platform(os: "linux", architecture: "arm", variant: "v6").suitability(of: v7) == nil)
    #expect(v7.suitability(of: v8) == nil && v7.suitability(of: Platform(os: "windows", architecture: "arm")) == nil)
  }

  @Test(arguments: [
    ("nginx", "docker.io/library/nginx:latest"), ("a/b:1", "docker.io/a/b:1"), ("localhost/x", "localhost/x:latest"),
    ("h:5000/a/b@" + digest, "h:5000/a/b@" + digest), ("[::1]:5000/a:t", "[::1]:5000/a:t"),
    ("index.docker.io/x", "docker.io/library/x:latest"),
  ]) func names(text: String, canonical: String) throws { #expect(try ImageReference(parsing: text).canonical == canonical) }

  @Test(arguments: [
    "", "A", "a//b", "a/", "/a", "a:", "a@sha256:12", "a b", "a/../b", "host:99999/a", "-a", "a__" + "_b",
    String(repeating: "ab", count: 32),
    "a:" + String(repeating: "t", count: 129), "x.y/" + String(repeating: "a", count: 256),
  ]) func namesThatAreNone(text: String) { #expect(throws: ImageReferenceError.self) { try ImageReference(parsing: text) } }
}
