import CArchive
import OCISpec

/// Undoes one gzip or zstd compression, recognised by its magic number; anything else passes as it is. Only one: a stream
/// compressed twice is no layer.
final class Decompressor: ByteSource {
  private let upstream: DigestingSource
  private let limits: UnpackLimits
  /// What was read to tell the compression; handed on first.
  private var held: UnsafeMutableRawBufferPointer?
  private var heldIsPending = false
  private var archive: OpaquePointer?
  private var failure: (any Error)?
  private var isPlain = false
  private var ended = false
  private var produced: Int64 = 0

  init(_ upstream: DigestingSource, limits: UnpackLimits) {
    self.upstream = upstream
    self.limits = limits
  }

  deinit {
    if let archive { archive_read_free(archive) }
    held?.deallocate()
  }

  func next() throws -> UnsafeRawBufferPointer? {
    if archive == nil, !isPlain, !ended { try start() }
    if ended { return nil }
    return isPlain ? try feed() : try inflate()
  }

  /// Reads enough to tell the compression.
  private func start() throws {
    var first: [UInt8] = []
    while first.count < 4, let piece = try upstream.next() { first.append(contentsOf: piece) }
    if !first.isEmpty {
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: first.count, alignment: 16)
      copy.copyBytes(from: first)
      held = copy
      heldIsPending = true
    }
    let filter: Int32
    if first.starts(with: [0x1F, 0x8B]) {
      filter = ARCHIVE_FILTER_GZIP
    } else if first.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
      filter = ARCHIVE_FILTER_ZSTD
    } else {
      isPlain = true
      return
    }
    guard let reader = archive_read_new() else { throw ImageError(.storage, "no memory for decompression") }
    archive = reader
    archive_read_support_format_raw(reader)
    archive_read_support_format_empty(reader)
    let me = Unmanaged.passUnretained(self).toOpaque()
    let opened =
      archive_read_append_filter(reader, filter) >= ARCHIVE_WARN
      && archive_read_open(
        reader, me, nil,
        { _, me, out in
          let this = Unmanaged<Decompressor>.fromOpaque(me!).takeUnretainedValue()
          do {
            guard let piece = try this.feed() else { return 0 }
            out!.pointee = piece.baseAddress
            return piece.count
          } catch {
            this.failure = error
            return Int(ARCHIVE_FATAL)
          }
        }, nil) == ARCHIVE_OK
    guard opened else { throw broken(reader) }
    var entry: OpaquePointer?
    let result = archive_read_next_header(reader, &entry)
    if result == ARCHIVE_EOF {
      ended = true
    } else if result < ARCHIVE_WARN {
      throw broken(reader)
    }
  }

  /// The compressed bytes: first what `start` looked at.
  private func feed() throws -> UnsafeRawBufferPointer? {
    if heldIsPending {
      heldIsPending = false
      return held.map { UnsafeRawBufferPointer($0) }
    }
    return try upstream.next()
  }

  private func inflate() throws -> UnsafeRawBufferPointer? {
    var bytes: UnsafeRawPointer?
    var count = 0
    var offset: la_int64_t = 0
    while true {
      let result = archive_read_data_block(archive, &bytes, &count, &offset)
      if result == ARCHIVE_EOF {
        ended = true
        return nil
      }
      guard result >= ARCHIVE_WARN else { throw broken(archive!) }
      guard count > 0 else { continue }
      produced += Int64(count)
      if produced > limits.ratioFreeBytes, produced / max(upstream.count, 1) > limits.compressionRatioMax {
        throw ImageError(
          .limitExceeded,
          "the layer expands to more than \(limits.compressionRatioMax) times its compressed size (limit compressionRatioMax)")
      }
      return UnsafeRawBufferPointer(start: bytes, count: count)
    }
  }

  private func broken(_ archive: OpaquePointer) -> any Error {
    failure ?? ImageError(.malformed, "the layer's compression is broken: \(libarchiveText(archive))")
  }
}

/// What libarchive says, printable.
func libarchiveText(_ archive: OpaquePointer) -> String {
  guard let text = archive_error_string(archive) else { return "unknown reason" }
  return String(cString: text)
}
