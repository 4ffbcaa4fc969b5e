import JSONCodec

/// One image for one platform: its config and its layers, lowest first.
package struct ImageManifest: Sendable, Equatable {
  package var config: Descriptor
  package var layers: [Descriptor]

  /// OVL_MAX_STACK in the kernel is 500; one is left for what a container writes.
  package static let layersMax = 499
}

/// One image for several platforms: pointers to manifests, or to further indexes.
package struct ImageIndex: Sendable, Equatable {
  package var manifests: [Descriptor]

  package init(manifests: [Descriptor]) { self.manifests = manifests }

  package static let manifestsMax = 1_000
  /// An index may point to indexes, which may point to manifests only.
  package static let depthMax = 2

  /// The entries that run on `platform`, best first; where no entry tells a platform, those that tell none.
  package func candidates(for platform: Platform) -> [Descriptor] {
    let suitable = manifests.enumerated().compactMap { offset, descriptor -> (Int, Int, Descriptor)? in
      descriptor.platform.flatMap(platform.suitability(of:)).map { ($0, offset, descriptor) }
    }
    if !suitable.isEmpty { return suitable.sorted { $0.0 != $1.0 ? $0.0 > $1.0 : $0.1 < $1.1 }.map(\.2) }
    return manifests.filter { $0.platform == nil }
  }
}

/// What a registry answers to the question for a manifest.
package enum ManifestDocument: Sendable, Equatable {
  case manifest(ImageManifest)
  case index(ImageIndex)

  /// Documents longer than this are refused unread, as registries do.
  package static let bytesMax = 4 << 20

  /// Reads a manifest or an index, OCI or Docker schema 2.
  ///
  /// A document that could be read as both is refused, and so is one whose own `mediaType` differs from `contentType` (what the
  /// registry or the descriptor said it is): otherwise two readers of one digest could see two images (CVE-2021-41190).
  package static func parse(_ bytes: [UInt8], contentType: String?) throws(OCIDocumentError) -> ManifestDocument {
    guard bytes.count <= bytesMax else { throw OCIDocumentError(.tooLarge, "the manifest is longer than \(bytesMax) bytes") }
    let json: JSON
    do { json = try JSON.parse(bytes) } catch { throw OCIDocumentError(.malformed, "the manifest is not JSON: \(error)") }
    guard let object = json.object else { throw OCIDocumentError(.malformed, "the manifest is not an object") }

    let said = contentType.map(bareType).flatMap { $0.isEmpty || $0 == "application/json" || $0 == "text/plain" ? nil : $0 }
    let own = json["mediaType"].string
    if MediaType.isSchema1(own ?? said ?? "") || json["schemaVersion"].int == 1 {
      throw OCIDocumentError(.unsupported, "Docker schema 1 images are not supported; build or push the image again with a newer tool")
    }
    guard json["schemaVersion"].int == 2 else { throw OCIDocumentError(.malformed, "the manifest's schemaVersion is not 2") }
    if let own, let said, own != said {
      throw OCIDocumentError(.malformed, "the manifest says it is \(own), but it came as \(said)")
    }
    let hasManifestFields = object.contains("layers") || object.contains("config") || object.contains("fsLayers")
    if object.contains("manifests"), hasManifestFields {
      throw OCIDocumentError(.malformed, "the document is both a manifest and an index")
    }
    let type = own ?? said ?? (object.contains("manifests") ? MediaType.ociIndex : MediaType.ociManifest)
    if MediaType.isIndex(type) { return .index(try index(json)) }
    if MediaType.isManifest(type) { return .manifest(try manifest(json)) }
    throw OCIDocumentError(.unsupported, "unknown kind of manifest \(type)")
  }

  private static func index(_ json: JSON) throws(OCIDocumentError) -> ImageIndex {
    guard let items = json["manifests"].array else { throw OCIDocumentError(.malformed, "the index has no list of manifests") }
    guard items.count <= ImageIndex.manifestsMax else {
      throw OCIDocumentError(.tooLarge, "the index has \(items.count) manifests, more than \(ImageIndex.manifestsMax)")
    }
    var manifests: [Descriptor] = []
    for (i, item) in items.enumerated() { manifests.append(try Descriptor(item, "manifests[\(i)]")) }
    return ImageIndex(manifests: manifests)
  }

  private static func manifest(_ json: JSON) throws(OCIDocumentError) -> ImageManifest {
    let config = try Descriptor(json["config"], "config")
    guard MediaType.isConfig(config.mediaType) else {
      throw OCIDocumentError(.unsupported, "config is of type \"\(config.mediaType)\": this is not a container image")
    }
    guard let items = json["layers"].array else { throw OCIDocumentError(.malformed, "the manifest has no list of layers") }
    guard items.count <= ImageManifest.layersMax else {
      throw OCIDocumentError(.tooLarge, "the manifest has \(items.count) layers, more than \(ImageManifest.layersMax)")
    }
    var layers: [Descriptor] = []
    for (i, item) in items.enumerated() {
      let layer = try Descriptor(item, "layers[\(i)]")
      guard MediaType.isLayer(layer.mediaType) else {
        throw OCIDocumentError(.unsupported, "layers[\(i)] is of type \"\(layer.mediaType)\", which is no layer that can be unpacked")
      }
      layers.append(layer)
    }
    return ImageManifest(config: config, layers: layers)
  }

  /// The type without parameters such as `; charset=utf-8`.
  private static func bareType(_ text: String) -> String {
    let end = text.firstIndex(of: ";") ?? text.endIndex
    return String(text[..<end].filter { $0 != " " })
  }
}
