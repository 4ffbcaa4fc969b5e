import OCISpec

import struct Crypto.SHA256

func sha256(_ bytes: [UInt8]) -> Digest { Digest(bytes: SHA256.hash(data: bytes)) }

/// Throws where a manifest and a config do not belong together, or cannot run here.
func checkFits(_ manifest: ImageManifest, _ config: OCIImageConfig, _ platform: Platform) throws(ImageError) {
  guard manifest.layers.count == config.diffIDs.count else {
    throw ImageError(
      .malformed, "the manifest has \(manifest.layers.count) layers, the image's config \(config.diffIDs.count)")
  }
  let own = config.platform
  let isSilent = own.os.isEmpty && own.architecture.isEmpty
  guard isSilent || platform.suitability(of: own) != nil else {
    throw ImageError(.unsupported, "the image is for \(own), this node runs \(platform)")
  }
}
