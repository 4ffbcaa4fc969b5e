import CArchive

/// One entry of a tar archive. Names are bytes as in the archive.
struct TarEntry {
  enum Kind: Equatable { case file, directory, symbolicLink, hardLink, characterDevice, blockDevice, fifo, other }
  var kind: Kind
  var path: EntryName
  /// Target of a symbolic or hard link.
  var target: EntryName
  /// Permission bits with setuid, setgid and sticky.
  var mode: UInt32
  var uid: Int64
  var gid: Int64
  var size: Int64
  var modifiedSeconds: Int
  var modifiedNanoseconds: Int
  var deviceMajor: UInt32
  var deviceMinor: UInt32
  var extendedAttributes: [(name: String, value: [UInt8])]
}

/// Reads a plain tar stream through libarchive: every dialect, long names, sparse files, extended attributes.
final class TarReader {
  private let source: any ByteSource
  private let archive: OpaquePointer
  private var failure: (any Error)?
  private var isOpen = false
  private let xattrBytesMax: Int

  init(_ source: any ByteSource, xattrBytesMax: Int) throws {
    guard let archive = archive_read_new() else { throw ImageError(.storage, "no memory for reading an archive") }
    self.archive = archive
    self.source = source
    self.xattrBytesMax = xattrBytesMax
    archive_read_support_format_tar(archive)
    archive_read_support_format_empty(archive)
  }

  deinit { archive_read_free(archive) }

  private func open() throws {
    isOpen = true
    let me = Unmanaged.passUnretained(self).toOpaque()
    let result = archive_read_open(
      archive, me, nil,
      { _, me, out in
        let this = Unmanaged<TarReader>.fromOpaque(me!).takeUnretainedValue()
        do {
          guard let piece = try this.source.next() else { return 0 }
          out!.pointee = piece.baseAddress
          return piece.count
        } catch {
          this.failure = error
          return Int(ARCHIVE_FATAL)
        }
      }, nil)
    guard result == ARCHIVE_OK else { throw broken() }
  }

  private func broken() -> any Error {
    failure ?? ImageError(.malformed, "the tar archive is broken: \(libarchiveText(archive))")
  }

  /// The next entry; nil at the end of the archive.
  func next() throws -> TarEntry? {
    if !isOpen { try open() }
    var entry: OpaquePointer?
    let result = archive_read_next_header(archive, &entry)
    if result == ARCHIVE_EOF { return nil }
    guard result >= ARCHIVE_WARN, let entry else { throw broken() }
    if let failure { throw failure }
    return try read(entry)
  }

  private func read(_ entry: OpaquePointer) throws -> TarEntry {
    guard let name = archive_entry_pathname(entry) else {
      throw ImageError(.malformed, "the tar archive is broken: an entry has no readable name")
    }
    var result = TarEntry(
      kind: .other, path: EntryName(cString: name), target: "", mode: UInt32(archive_entry_perm(entry)),
      uid: archive_entry_uid(entry), gid: archive_entry_gid(entry), size: archive_entry_size(entry),
      modifiedSeconds: archive_entry_mtime(entry), modifiedNanoseconds: Int(archive_entry_mtime_nsec(entry)),
      deviceMajor: 0, deviceMinor: 0, extendedAttributes: [])
    if let link = archive_entry_hardlink(entry) {
      result.kind = .hardLink
      result.target = EntryName(cString: link)
      return result
    }
    switch Int32(archive_entry_filetype(entry)) {
    case 0o100000: result.kind = .file
    case 0o040000: result.kind = .directory
    case 0o120000:
      result.kind = .symbolicLink
      result.target = archive_entry_symlink(entry).map { EntryName(cString: $0) } ?? ""
    case 0o020000: result.kind = .characterDevice
    case 0o060000: result.kind = .blockDevice
    case 0o010000: result.kind = .fifo
    default: result.kind = .other
    }
    if result.kind == .characterDevice || result.kind == .blockDevice {
      result.deviceMajor = UInt32(truncatingIfNeeded: archive_entry_rdevmajor(entry))
      result.deviceMinor = UInt32(truncatingIfNeeded: archive_entry_rdevminor(entry))
    }
    result.extendedAttributes = try extendedAttributes(entry, path: result.path)
    return result
  }

  private func extendedAttributes(_ entry: OpaquePointer, path: EntryName) throws -> [(name: String, value: [UInt8])] {
    var found: [(name: String, value: [UInt8])] = []
    var total = 0
    archive_entry_xattr_reset(entry)
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var size = 0
    while archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK, let key = name {
      let text = String(cString: key)
      total += text.utf8.count + size
      guard total <= xattrBytesMax else {
        throw ImageError(
          .limitExceeded, "\(path): extended attributes are longer than \(xattrBytesMax) bytes (limit xattrBytesMax)")
      }
      found.append((text, value.map { Array(UnsafeRawBufferPointer(start: $0, count: size)) } ?? []))
    }
    return found
  }

  /// The data of the entry read last, in pieces; offsets grow, and what lies between pieces is a hole.
  func readData(_ body: (_ offset: Int64, UnsafeRawBufferPointer) throws -> Void) throws {
    var bytes: UnsafeRawPointer?
    var count = 0
    var offset: la_int64_t = 0
    while true {
      let result = archive_read_data_block(archive, &bytes, &count, &offset)
      if result == ARCHIVE_EOF { return }
      guard result >= ARCHIVE_WARN else { throw broken() }
      if count > 0 { try body(offset, UnsafeRawBufferPointer(start: bytes, count: count)) }
    }
  }

  /// How many bytes of the archive are consumed; right after `next`, where the entry's data begins.
  var position: Int64 { archive_filter_bytes(archive, 0) }
}
