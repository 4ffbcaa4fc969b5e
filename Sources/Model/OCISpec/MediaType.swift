/// The media types of OCI images and of Docker's schema 2, which mean the same.
package enum MediaType {
  package static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
  package static let ociIndex = "application/vnd.oci.image.index.v1+json"
  package static let ociConfig = "application/vnd.oci.image.config.v1+json"
  package static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
  package static let dockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json"
  package static let dockerConfig = "application/vnd.docker.container.image.v1+json"
  package static let ociLayer = "application/vnd.oci.image.layer.v1.tar"
  package static let ociLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
  package static let ociLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
  package static let dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"

  /// What a manifest request accepts, best first.
  package static let manifestAccept = [ociIndex, ociManifest, dockerIndex, dockerManifest]

  package static func isManifest(_ type: String) -> Bool { type == ociManifest || type == dockerManifest }
  package static func isIndex(_ type: String) -> Bool { type == ociIndex || type == dockerIndex }
  package static func isConfig(_ type: String) -> Bool { type == ociConfig || type == dockerConfig }

  /// The retired schema 1, whose layers cannot be verified.
  package static func isSchema1(_ type: String) -> Bool { type.hasPrefix("application/vnd.docker.distribution.manifest.v1+") }

  /// Layers that are tar archives: plain, gzip or zstd. The compression itself is recognised by its magic number.
  package static func isLayer(_ type: String) -> Bool {
    let types: [String] = [
      ociLayer, ociLayerGzip, ociLayerZstd, dockerLayerGzip,
      "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.zstd",
      "application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
      "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ]
    return types.contains(type)
  }
}
