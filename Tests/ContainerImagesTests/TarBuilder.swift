import CArchive
import OCISpec

@testable import ContainerImages

/// Writes tar archives byte for byte, also such as no honest tool writes.
struct TarBuilder {
  private(set) var bytes: [UInt8] = []

  enum Kind: UInt8 { case file = 0x30, hardLink, symbolicLink, character, block, directory, fifo }

  mutating func add(
    _ name: String, _ kind: Kind = .file, data: [UInt8] = [], link: String = "", mode: Int = 0o644, uid: Int = 0, gid: Int = 0,
    mtime: Int = 1_000_000, device: (Int, Int) = (0, 0), size: Int? = nil, pax: [(String, [UInt8])] = []
  ) {
    add(
      raw: Array(name.utf8), kind, data: data, link: link, mode: mode, uid: uid, gid: gid, mtime: mtime, device: device, size: size,
      pax: pax)
  }

  mutating func add(
    raw name: [UInt8], _ kind: Kind = .file, data: [UInt8] = [], link: String = "", mode: Int = 0o644, uid: Int = 0, gid: Int = 0,
    mtime: Int = 1_000_000, device: (Int, Int) = (0, 0), size: Int? = nil, pax: [(String, [UInt8])] = []
  ) {
    var pax = pax
    if name.count > 100 { pax.append(("path", name)) }
    if link.utf8.count > 100 { pax.append(("linkpath", Array(link.utf8))) }
    if !pax.isEmpty {
      var body: [UInt8] = []
      for (key, value) in pax {
        let rest = Array(" \(key)=".utf8) + value + [10]
        var length = rest.count + 1
        while String(length).utf8.count + rest.count != length { length = String(length).utf8.count + rest.count }
        body += Array(String(length).utf8) + rest
      }
      header(Array("pax".utf8), 0x78, "", 0o644, 0, 0, 0, (0, 0), body.count)
      pad(body)
    }
    header(Array(name.prefix(100)), kind.rawValue, String(link.prefix(100)), mode, uid, gid, mtime, device, size ?? data.count)
    pad(data)
  }

  private mutating func pad(_ data: [UInt8]) {
    bytes += data
    bytes += [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
  }

  private mutating func header(
    _ name: [UInt8], _ type: UInt8, _ link: String, _ mode: Int, _ uid: Int, _ gid: Int, _ mtime: Int, _ device: (Int, Int), _ size: Int
  ) {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: [UInt8], _ at: Int) { for (i, byte) in text.enumerated() { block[at + i] = byte } }
    func octal(_ value: Int, _ width: Int, _ at: Int) {
      let digits = Array(String(value, radix: 8).utf8)
      if digits.count < width {
        put([UInt8](repeating: 0x30, count: width - 1 - digits.count) + digits, at)
      } else {
        var value = value
        for i in stride(from: width - 1, through: 0, by: -1) {
          block[at + i] = UInt8(value & 255)
          value >>= 8
        }
        block[at] |= 0x80
      }
    }
    put(name, 0)
    octal(mode, 8, 100)
    octal(uid, 8, 108)
    octal(gid, 8, 116)
    octal(size, 12, 124)
    octal(mtime, 12, 136)
    block[156] = type
    put(Array(link.utf8), 157)
    put(Array("ustar\u{0}00".utf8), 257)
    octal(device.0, 8, 329)
    octal(device.1, 8, 337)
    put([UInt8](repeating: 0x20, count: 8), 148)
    let sum = block.reduce(0) { $0 + Int($1) }
    octal(sum, 7, 148)
    bytes += block
  }

  /// With the two empty blocks at the end.
  var finished: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }
}

/// One compressed stream, made by libarchive.
func compressed(_ data: [UInt8], _ filter: Int32) -> [UInt8] {
  let archive = archive_write_new()!
  archive_write_set_format_raw(archive)
  if filter == ARCHIVE_FILTER_GZIP {
    archive_write_add_filter_gzip(archive)
    // The same layer is the same stream whenever it is made.
    archive_write_set_options(archive, "gzip:!timestamp")
  } else {
    archive_write_add_filter_zstd(archive)
  }
  archive_write_set_bytes_in_last_block(archive, 1)
  var out = [UInt8](repeating: 0, count: data.count + data.count / 100 + 4096)
  var used = 0
  let capacity = out.count
  out.withUnsafeMutableBytes { buffer in
    archive_write_open_memory(archive, buffer.baseAddress, capacity, &used)
    let entry = archive_entry_new()
    archive_entry_set_filetype(entry, 0o100000)
    archive_write_header(archive, entry)
    _ = data.withUnsafeBytes { archive_write_data(archive, $0.baseAddress, $0.count) }
    archive_entry_free(entry)
    archive_write_close(archive)
  }
  archive_write_free(archive)
  return Array(out.prefix(used))
}

func gzip(_ data: [UInt8]) -> [UInt8] { compressed(data, ARCHIVE_FILTER_GZIP) }
func zstd(_ data: [UInt8]) -> [UInt8] { compressed(data, ARCHIVE_FILTER_ZSTD) }
