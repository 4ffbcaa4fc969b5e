import CArchive
import Glibc
import JSONCodec
import LinuxKernel
import OCISpec
import SystemPackage

extension ImageStore {
  static let importDocumentBytesMax = 8 << 20
  static let importedImagesMax = 1_000

  /// Brings in every image of a `docker save` file, an OCI archive (tar, also compressed) or an OCI layout folder, for this node's
  /// platform. An image whose name is taken takes it over. Returns the images in the archive's order.
  package func importArchive(_ path: FilePath) async throws -> [ImageRecord] {
    do {
      let (archive, unpacked) = try await openArchive(path)
      let outcome: Result<[ImageRecord], any Error>
      do { outcome = .success(try await importImages(archive)) } catch { outcome = .failure(error) }
      if let unpacked { try? await changing { try $0.directory.removeFile(unpacked) } }
      return try outcome.get()
    } catch {
      throw ImageError.wrap(error).about("importing \(path)")
    }
  }

  /// A compressed tar is first uncompressed to a file in tmp/, whose name is returned too.
  private func openArchive(_ path: FilePath) async throws -> (any ImageArchive, String?) {
    let directory = catalog.directory
    let limits = configuration.limits
    return try await onPlainThread {
      ca_thread_locale_c()
      var info = stat()
      guard stat(path.string, &info) == 0 else {
        let reason = Errno(rawValue: errno)
        throw ImageError(reason == .noSuchFileOrDirectory ? .notFound : .storage, "\(reason)")
      }
      if FileType(info) == .directory { return (try FolderArchive(path), nil) }
      guard FileType(info) == .regular else { throw ImageError(.malformed, "it is neither a file nor a folder") }
      let fd = Glibc.open(path.string, O_RDONLY | O_CLOEXEC)
      guard fd >= 0 else { throw KernelError("open", path.string, errno: Errno(rawValue: errno)) }
      let file = SharedDescriptor(OwnedDescriptor(owning: fd))
      var magic: [UInt8] = [0, 0, 0, 0]
      _ = pread(fd, &magic, 4, 0)
      guard magic.starts(with: [0x1F, 0x8B]) || magic == [0x28, 0xB5, 0x2F, 0xFD] else { return (try TarArchive(file), nil) }
      let counted = DigestingSource(FileSource(file, offset: 0, length: Int64(info.st_size))) {
        ImageError(.tooLarge, "the archive is too long")
      }
      let (copy, name) = try directory.copyToTemporaryFile(Decompressor(counted, limits: limits), bytesMax: limits.streamBytesMax)
      do { return (try TarArchive(copy), name) } catch {
        try? directory.removeFile(name)
        throw error
      }
    }
  }

  private func importImages(_ archive: any ImageArchive) async throws -> [ImageRecord] {
    let images = try await onPlainThread { [platform = configuration.platform] in
      ca_thread_locale_c()
      if let index = try archive.read("index.json", bytesMax: Self.importDocumentBytesMax) {
        return try ociImages(archive, index, platform)
      }
      guard let manifest = try archive.read("manifest.json", bytesMax: Self.importDocumentBytesMax) else {
        throw ImageError(.malformed, "there is neither an index.json (OCI) nor a manifest.json (docker save) in it")
      }
      return try dockerImages(archive, manifest)
    }
    guard !images.isEmpty else { throw ImageError(.notFound, "it holds no image for \(configuration.platform)") }
    var records: [ImageRecord] = []
    for image in images {
      records.append(
        try await assemble(image.incoming, parallel: 1) { index, unpack in
          let layer = image.layers[index]
          try await onPlainThread {
            guard try archive.size(of: layer.file) != nil else { throw ImageError(.malformed, "the archive has no file \(layer.file)") }
            try unpack(try archive.open(layer.file), layer.blob)
          }
        })
    }
    return records
  }
}

/// An image in an archive: its documents, and the files its layers are in.
struct ArchivedImage: Sendable {
  var incoming: ImageStore.IncomingImage
  var layers: [(file: String, blob: Descriptor?)]
}

// MARK: docker save

/// manifest.json: a list of {Config, RepoTags, Layers}.
private func dockerImages(_ archive: any ImageArchive, _ manifest: [UInt8]) throws -> [ArchivedImage] {
  guard let items = (try? JSON.parse(manifest))?.array else { throw ImageError(.malformed, "manifest.json is not a list") }
  guard items.count <= ImageStore.importedImagesMax else {
    throw ImageError(.tooLarge, "the archive has more than \(ImageStore.importedImagesMax) images")
  }
  return try items.map { item in
    guard let configName = item["Config"].string,
      let config = try archive.read(cleanName(configName), bytesMax: OCIImageConfig.bytesMax)
    else { throw ImageError(.malformed, "manifest.json names no config that is in the archive") }
    let parsed = try OCIImageConfig.parse(config)
    let files = (item["Layers"].array ?? []).compactMap(\.string)
    guard files.count == parsed.diffIDs.count, files.count == item["Layers"].array?.count ?? 0 else {
      throw ImageError(.malformed, "manifest.json lists \(files.count) layers, the image's config \(parsed.diffIDs.count)")
    }
    var names: [String] = []
    for name in (item["RepoTags"].array ?? []).compactMap(\.string) { names.append(try ImageReference(parsing: name).canonical) }
    return ArchivedImage(
      incoming: .init(config: config, configDigest: sha256(config), parsed: parsed, names: names, repoDigests: []),
      layers: files.map { (cleanName($0), nil) })
  }
}

private func cleanName(_ name: String) -> String {
  var limits = UnpackLimits()
  limits.depthMax = 16
  return (try? layerComponents(EntryName(name), limits: limits).path.description) ?? ""
}

// MARK: OCI layout

/// index.json: an index whose descriptors carry the names in annotations.
private func ociImages(_ archive: any ImageArchive, _ bytes: [UInt8], _ platform: Platform) throws -> [ArchivedImage] {
  guard case .index(let index) = try ManifestDocument.parse(bytes, contentType: MediaType.ociIndex) else {
    throw ImageError(.malformed, "index.json is no index")
  }
  var images: [ArchivedImage] = []
  for descriptor in index.manifests {
    if let own = descriptor.platform, platform.suitability(of: own) == nil, !MediaType.isIndex(descriptor.mediaType) { continue }
    guard let manifest = try findManifest(archive, descriptor, platform, depth: 1) else { continue }
    let config = try blob(archive, manifest.document.config, bytesMax: OCIImageConfig.bytesMax)
    let parsed = try OCIImageConfig.parse(config)
    try checkFits(manifest.document, parsed, platform)
    var names: [String] = []
    var repoDigests: [String] = []
    if let reference = try archivedName(descriptor) {
      if let name = reference.taggedName { names.append(name) }
      repoDigests.append(reference.withDigest(descriptor.digest))
    }
    images.append(
      ArchivedImage(
        incoming: .init(
          config: config, configDigest: manifest.document.config.digest, parsed: parsed, names: names, repoDigests: repoDigests),
        layers: manifest.document.layers.map { ("blobs/sha256/\($0.digest.hex)", $0) }))
  }
  return images
}

/// A name that is only a tag ("latest") names nothing.
private func archivedName(_ descriptor: Descriptor) throws -> ImageReference? {
  if let name = descriptor.annotations["io.containerd.image.name"] { return try ImageReference(parsing: name) }
  guard let name = descriptor.annotations["org.opencontainers.image.ref.name"], name.contains("/") || name.contains(":") else {
    return nil
  }
  return try ImageReference(parsing: name)
}

private func findManifest(
  _ archive: any ImageArchive, _ descriptor: Descriptor, _ platform: Platform, depth: Int
) throws -> (document: ImageManifest, descriptor: Descriptor)? {
  guard MediaType.isManifest(descriptor.mediaType) || MediaType.isIndex(descriptor.mediaType) else { return nil }
  switch try ManifestDocument.parse(try blob(archive, descriptor, bytesMax: ManifestDocument.bytesMax), contentType: descriptor.mediaType) {
  case .manifest(let manifest): return (manifest, descriptor)
  case .index(let index):
    guard depth < ImageIndex.depthMax else { throw ImageError(.malformed, "indexes nested deeper than \(ImageIndex.depthMax)") }
    guard let first = index.candidates(for: platform).first else { return nil }
    return try findManifest(archive, first, platform, depth: depth + 1)
  }
}

private func blob(_ archive: any ImageArchive, _ descriptor: Descriptor, bytesMax: Int) throws -> [UInt8] {
  let name = "blobs/sha256/\(descriptor.digest.hex)"
  guard let bytes = try archive.read(name, bytesMax: bytesMax) else { throw ImageError(.malformed, "the archive has no file \(name)") }
  guard bytes.count == Int(descriptor.size) else {
    throw ImageError(.truncated, "\(name) has \(bytes.count) bytes, but was announced with \(descriptor.size)")
  }
  guard sha256(bytes) == descriptor.digest else { throw ImageError(.digestMismatch, "\(name) has digest \(sha256(bytes))") }
  return bytes
}
