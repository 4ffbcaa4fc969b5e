import JSONCodec
import OCISpec
import Testing

@testable import ContainerImages

@Suite struct OCISpecTests {
  static let hex = String(repeating: "ab", count: 32)

  @Test(arguments: [
    ("nginx", "docker.io/library/nginx:latest"),
    ("nginx:1.27", "docker.io/library/nginx:1.27"),
    ("library/nginx", "docker.io/library/nginx:latest"),
    ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
    ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
    ("docker.io/nginx", "docker.io/library/nginx:latest"),
    ("localhost/app", "localhost/app:latest"),
    ("localhost:5000/app", "localhost:5000/app:latest"),
    ("127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t"),
    ("[::1]:5000/app:x", "[::1]:5000/app:x"),
    ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
    ("ghcr.io/a/b@sha256:\(hex)", "ghcr.io/a/b@sha256:\(hex)"),
    ("a/b:v1@sha256:\(hex)", "docker.io/a/b:v1@sha256:\(hex)"),
    ("quay.io/x/y__z.w-v--u:A_b.c-1", "quay.io/x/y__z.w-v--u:A_b.c-1"),
  ])
  func referencesAreCompleted(_ text: String, _ canonical: String) throws {
    #expect(try ImageReference(parsing: text).canonical == canonical)
  }

  @Test(arguments: [
    "", " ", "nginx ", ":tag", "nginx:", "nginx:ta g", "Nginx", "a/B", "a//b", "/a", "a/", "a_", "-a", "a..b", "a___b", "nginx:-x",
    "nginx@sha256:abc", "nginx@sha256:\(hex)0", "nginx@sha256:\(hex.uppercased())", "nginx@md5:\(hex)", "nginx@", hex,
    "host:99999/a", "host:/a", "host:5000/", "../../etc/passwd", "a/../b", "a/./b", "http://host/a", "a\u{0}b", "ä", "user@host/a",
    "nginx:" + String(repeating: "x", count: 129), String(repeating: "a/", count: 200) + "b",
  ])
  func badReferencesAreRefused(_ text: String) {
    let error = #expect(throws: ImageReferenceError.self) { try ImageReference(parsing: text) }
    #expect(error?.description.hasPrefix("couldn't parse image name \"\(text)\": invalid reference format") == true)
  }

  @Test func capitalLettersAreExplained() {
    let error = #expect(throws: ImageReferenceError.self) { try ImageReference(parsing: "Foo") }
    #expect(error?.description.hasSuffix("repository name (library/Foo) must be lowercase") == true)
  }

  /// CVE-2024-3727: a digest is never a path.
  @Test func hostileDigestsAreRefused() {
    let good = Self.hex
    var hostile = ["", "sha256", "sha256:", "sha256:../../x", "sha256:/etc/passwd", "SHA256:\(good)", "sha512:\(good)\(good)", good]
    for i in 0..<64 {
      var text = Array(good)
      text[i] = Array("/.:GZ %A\0-")[i % 10]
      hostile.append("sha256:" + String(text))
    }
    for cut in 0..<64 { hostile.append("sha256:" + good.prefix(cut)) }
    for pad in ["/", "0", " ", "\n", "\0", "?x", "#", "%2e", "\u{200b}"] { hostile.append("sha256:\(good)\(pad)") }
    for text in hostile { #expect(Digest(text) == nil, "\(text)") }
    #expect(Digest("sha256:\(good)")?.description == "sha256:\(good)")
  }

  private func descriptor(_ type: String) -> JSON { ["mediaType": JSON(type), "digest": "sha256:\(Self.hex)", "size": 7] }

  @Test func bothFamiliesOfManifests() throws {
    for (manifest, config, layer) in [
      (MediaType.ociManifest, MediaType.ociConfig, MediaType.ociLayerZstd),
      (MediaType.dockerManifest, MediaType.dockerConfig, MediaType.dockerLayerGzip),
    ] {
      let json: JSON = [
        "schemaVersion": 2, "mediaType": JSON(manifest), "config": descriptor(config), "layers": [descriptor(layer), descriptor(layer)],
      ]
      guard case .manifest(let parsed) = try ManifestDocument.parse(json.serialized(), contentType: manifest + "; charset=utf-8") else {
        Issue.record("no manifest")
        return
      }
      #expect(parsed.layers.count == 2)
      #expect(parsed.config.size == 7)
    }
  }

  /// CVE-2021-41190 and its siblings: nothing is a manifest and an index at once.
  @Test func ambiguousDocumentsAreRefused() {
    let config = descriptor(MediaType.ociConfig)
    let both: JSON = ["schemaVersion": 2, "config": config, "layers": [], "manifests": []]
    #expect(throws: OCIDocumentError.self) { try ManifestDocument.parse(both.serialized(), contentType: MediaType.ociManifest) }
    #expect(throws: OCIDocumentError.self) { try ManifestDocument.parse(both.serialized(), contentType: MediaType.ociIndex) }
    let manifest: JSON = ["schemaVersion": 2, "mediaType": JSON(MediaType.ociManifest), "config": config, "layers": []]
    #expect(throws: OCIDocumentError.self) { try ManifestDocument.parse(manifest.serialized(), contentType: MediaType.ociIndex) }
    #expect(throws: OCIDocumentError.self) { try ManifestDocument.parse(manifest.serialized(), contentType: MediaType.dockerManifest) }
    let index: JSON = ["schemaVersion": 2, "mediaType": JSON(MediaType.ociIndex), "manifests": []]
    #expect(throws: OCIDocumentError.self) { try ManifestDocument.parse(index.serialized(), contentType: MediaType.ociManifest) }
    #expect(throws: Never.self) { try ManifestDocument.parse(index.serialized(), contentType: nil) }
  }

  /// CVE-2026-53493: many descriptors.
  @Test func hugeIndexesAreRefused() {
    let many = JSON.array((0...ImageIndex.manifestsMax).map { _ in descriptor(MediaType.ociManifest) })
    let error = #expect(throws: OCIDocumentError.self) {
      try ManifestDocument.parse((["schemaVersion": 2, "manifests": many] as JSON).serialized(), contentType: MediaType.ociIndex)
    }
    #expect(error?.kind == .tooLarge)
    let schema1 = #expect(throws: OCIDocumentError.self) {
      try ManifestDocument.parse(Array("{\"schemaVersion\":1}".utf8), contentType: nil)
    }
    #expect(schema1?.kind == .unsupported)
  }

  /// CVE-2024-36620: every optional field missing, null or of a wrong kind gives a value or an error, never a crash.
  @Test func everyFieldMayBeMissingOrNull() throws {
    let config = TestImage([tar { $0.add("a") }]).config
    let manifest = TestImage([tar { $0.add("a") }]).manifest
    let hostile: [JSON] = [.null, 1, "x", [], [:], [1], true, ["a": 1]]
    for (bytes, isConfig) in [(config, true), (manifest, false)] {
      let document = try JSON.parse(bytes)
      for key in document.object!.keys {
        for value in hostile {
          var changed = document
          changed[key] = value
          if isConfig {
            _ = try? OCIImageConfig.parse(changed.serialized())
          } else {
            _ = try? ManifestDocument.parse(changed.serialized(), contentType: nil)
          }
          for inner in document[key].object?.keys ?? [] {
            var deep = document
            deep[key][inner] = value
            if isConfig {
              _ = try? OCIImageConfig.parse(deep.serialized())
            } else {
              _ = try? ManifestDocument.parse(deep.serialized(), contentType: nil)
            }
          }
        }
      }
    }
    let bare = try OCIImageConfig.parse(Array("{\"rootfs\":null,\"history\":null,\"config\":null}".utf8))
    #expect(bare.diffIDs.isEmpty && bare.command.isEmpty)
  }

  @Test func platformsAreChosen() {
    func entry(_ architecture: String, _ variant: String?, os: String = "linux") -> Descriptor {
      Descriptor(
        mediaType: MediaType.ociManifest, digest: Digest("sha256:\(Self.hex)")!, size: 1,
        platform: Platform(os: os, architecture: architecture, variant: variant))
    }
    let index = ImageIndex(manifests: [
      entry("unknown", nil, os: "unknown"), entry("amd64", nil, os: "windows"), entry("arm", "v5"), entry("arm", "v7"), entry("arm", "v6"),
      entry("arm64", "v8"), entry("amd64", "v3"), entry("amd64", nil),
    ])
    func chosen(_ platform: Platform) -> String? { index.candidates(for: platform).first?.platform?.description }
    #expect(chosen(Platform(os: "linux", architecture: "amd64")) == "linux/amd64")
    #expect(chosen(Platform(os: "linux", architecture: "amd64", variant: "v3")) == "linux/amd64/v3")
    #expect(chosen(Platform(os: "linux", architecture: "arm", variant: "v6")) == "linux/arm/v6")
    #expect(chosen(Platform(os: "linux", architecture: "arm")) == "linux/arm/v7")
    #expect(chosen(Platform(os: "linux", architecture: "arm64")) == "linux/arm64/v8")
    #expect(chosen(Platform(os: "linux", architecture: "s390x")) == nil)
  }
}
