import CArchive
import LinuxKernel
import OCISpec
import SystemPackage

/// What a layer's stream must turn out to be.
struct LayerExpectation: Sendable {
  /// Digest of the uncompressed tar.
  var diffID: Digest
  /// Digest and length of the stream as it comes; nil where only the diff id is known (docker-archive).
  var blob: Descriptor?
}

/// Unpacks a layer's stream below `directory` while it comes, and says what it was. Throws `ImageError` if it was not what was
/// expected; what is in the directory is then to be thrown away.
func unpackLayer(
  _ source: any ByteSource, into directory: SharedDescriptor, expecting: LayerExpectation, limits: UnpackLimits
) throws -> LayerFacts {
  ca_thread_locale_c()
  let blob = expecting.blob
  let compressed = DigestingSource(source, countMax: blob?.size ?? .max) {
    ImageError(.tooLarge, "the layer \(blob?.digest.description ?? "") is longer than the \(blob?.size ?? 0) bytes it was announced with")
  }
  let plain = DigestingSource(Decompressor(compressed, limits: limits), countMax: limits.streamBytesMax) {
    ImageError(.limitExceeded, "the layer is longer than \(limits.streamBytesMax) bytes uncompressed (limit streamBytesMax)")
  }
  let unpacker = LayerUnpacker(root: LayerRoot(directory), limits: limits)
  do {
    let facts = try unpacker.unpack(TarReader(plain, xattrBytesMax: limits.xattrBytesMax))
    try plain.drain()
    try compressed.drain()
    try checkBlob(compressed, blob)
    let diffID = plain.digest
    guard diffID == expecting.diffID else {
      throw ImageError(.digestMismatch, "the unpacked layer has digest \(diffID), but the image's config says \(expecting.diffID)")
    }
    return facts
  } catch let error as ImageError where error.code == .malformed {
    // Broken content is mostly content that was changed on the way: then that is what to say.
    try compressed.drain()
    try checkBlob(compressed, blob)
    throw error
  } catch let error as KernelError {
    throw ImageError.wrap(error)
  }
}

private func checkBlob(_ stream: DigestingSource, _ blob: Descriptor?) throws {
  guard let blob else { return }
  guard stream.count == blob.size else {
    throw ImageError(.truncated, "the layer \(blob.digest) ended after \(stream.count) of \(blob.size) bytes")
  }
  let digest = stream.digest
  guard digest == blob.digest else {
    throw ImageError(.digestMismatch, "the layer that was announced as \(blob.digest) has digest \(digest)")
  }
}
