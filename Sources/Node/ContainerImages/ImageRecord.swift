import JSONCodec
import OCISpec
import SystemPackage

/// An image in the store, ready to be run.
package struct ImageRecord: Sendable {
  /// `sha256:` and the digest of the config.
  package let id: String
  /// Full names with tags, such as `docker.io/library/nginx:latest`.
  package let names: [String]
  /// `registry/repository@sha256:...`, of what was pulled.
  package let repoDigests: [String]
  /// Bytes of the files in the layers; a layer that several images share counts in each.
  package let size: Int64
  package let config: OCIImageConfig
  /// Unpacked layers, lowest first: overlayfs' lower directories (in reverse) and nothing else. Device nodes in them are as the
  /// image has them, so the root file system must be mounted nodev.
  package let layers: [FilePath]
  /// Seconds since 1970 when the image came here.
  package let createdAt: Int64

  package init(
    id: String, names: [String], repoDigests: [String], size: Int64, config: OCIImageConfig, layers: [FilePath], createdAt: Int64
  ) {
    self.id = id
    self.names = names
    self.repoDigests = repoDigests
    self.size = size
    self.config = config
    self.layers = layers
    self.createdAt = createdAt
  }
}

extension ImageStore {
  /// The record of what the store remembers. Reads the config from the disk.
  func record(_ image: StoredImage, in state: CatalogState) throws -> ImageRecord {
    let configName = "configs/\(image.id.hex)"
    guard let bytes = try catalog.directory.read(configName, bytesMax: OCIImageConfig.bytesMax) else {
      throw ImageError(.storage, "\(catalog.directory.path.appending(configName)) is missing; remove the image and pull it again")
    }
    return ImageRecord(
      id: image.id.description, names: image.names, repoDigests: image.repoDigests,
      size: Set(image.layers).reduce(0) { $0 + (state.layers[$1]?.bytes ?? 0) } + Int64(bytes.count),
      config: try OCIImageConfig.parse(bytes), layers: layerPaths(image, in: state), createdAt: image.createdAt)
  }

  /// Lowest first. Of a layer that occurs twice only the upper occurrence counts: it shows everything the lower one does, and
  /// overlayfs takes no directory twice. What lies below an opaque layer is left out.
  func layerPaths(_ image: StoredImage, in state: CatalogState) -> [FilePath] {
    var seen: Set<Digest> = []
    var topFirst: [Digest] = []
    for id in image.layers.reversed() {
      if seen.insert(id).inserted { topFirst.append(id) }
      if state.layers[id]?.isOpaque == true { break }
    }
    let root = catalog.directory.path
    var paths = topFirst.reversed().map { root.appending("layers/\($0.hex)/fs") }
    if image.repair { paths.append(root.appending("repairs/\(image.id.hex)/fs")) }
    return paths
  }
}
