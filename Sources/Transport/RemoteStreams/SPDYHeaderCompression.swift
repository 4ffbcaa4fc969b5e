import CZlib
import NIOCore

/// The dictionary that both sides of SPDY/3 put into their zlib contexts (SPDY protocol draft 3, section 2.6.10.1): header
/// names with their lengths, then values that were common.
let spdyDictionary: [UInt8] = {
  let names = """
    options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|accept-ranges|age|allow|\
    authorization|cache-control|connection|content-base|content-encoding|content-language|content-length|content-location|\
    content-md5|content-range|content-type|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|\
    if-unmodified-since|last-modified|location|max-forwards|pragma|proxy-authenticate|proxy-authorization|range|referer|\
    retry-after|server|te|trailer|transfer-encoding|upgrade|user-agent|vary|via|warning|www-authenticate|method|get|status|\
    200 OK|version|HTTP/1.1|url|public|set-cookie|keep-alive|origin
    """
  let values = """
    100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information\
    204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error\
    501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, \
    Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.
    """
  var bytes: [UInt8] = []
  for name in names.split(separator: "|") { bytes += [0, 0, 0, UInt8(name.utf8.count)] + Array(name.utf8) }
  return bytes + Array(values.utf8)
}()

/// Reads the header blocks of one connection, in their order: each continues the zlib stream of the one before.
final class SPDYHeaderReader {
  /// Header fields of a stream, inflated; guards against a small frame that grows without end.
  static let blockBytesMax = 64 * 1024

  // zlib's state points back to its z_stream, which therefore must not move.
  private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

  init() {
    stream.initialize(to: z_stream())
    precondition(cz_inflate_init(stream) == Z_OK, "zlib has no memory")
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  func read(_ block: [UInt8]) throws(SPDYError) -> [SPDYHeader] {
    var inflated: [UInt8] = []
    var input = block
    var isBroken = false
    input.withUnsafeMutableBufferPointer { input in
      stream.pointee.next_in = input.baseAddress
      stream.pointee.avail_in = UInt32(input.count)
      var chunk = [UInt8](repeating: 0, count: 4096)
      while true {
        let (status, count) = chunk.withUnsafeMutableBufferPointer { chunk in
          stream.pointee.next_out = chunk.baseAddress
          stream.pointee.avail_out = UInt32(chunk.count)
          var status = inflate(stream, Z_SYNC_FLUSH)
          if status == Z_NEED_DICT {
            status = spdyDictionary.withUnsafeBufferPointer { inflateSetDictionary(stream, $0.baseAddress, UInt32($0.count)) }
            if status == Z_OK { status = inflate(stream, Z_SYNC_FLUSH) }
          }
          return (status, chunk.count - Int(stream.pointee.avail_out))
        }
        inflated += chunk[..<count]
        isBroken = (status != Z_OK && status != Z_BUF_ERROR) || inflated.count > Self.blockBytesMax
        if isBroken || (stream.pointee.avail_in == 0 && count < chunk.count) || count == 0 { break }
      }
      stream.pointee.next_in = nil
    }
    guard !isBroken else { throw SPDYError("a header block is no valid zlib stream, or is larger than \(Self.blockBytesMax) bytes") }
    return try parse(inflated)
  }

  /// Number of fields, then for each its name and its value, all lengths in 32 bits. Several values are parted by NUL.
  private func parse(_ bytes: [UInt8]) throws(SPDYError) -> [SPDYHeader] {
    var buffer = ByteBuffer(bytes: bytes)
    var headers: [SPDYHeader] = []
    guard let count = buffer.readInteger(as: UInt32.self) else { throw SPDYError("a header block is cut short") }
    for _ in 0..<count {
      guard let nameLength = buffer.readInteger(as: UInt32.self), let name = buffer.readString(length: Int(nameLength)),
        let valueLength = buffer.readInteger(as: UInt32.self), let value = buffer.readString(length: Int(valueLength))
      else { throw SPDYError("a header block is cut short") }
      for value in value.split(separator: "\0", omittingEmptySubsequences: false) {
        headers.append(SPDYHeader(name.lowercased(), String(value)))
      }
    }
    return headers
  }
}

/// Writes the header blocks of one connection, in their order.
final class SPDYHeaderWriter {
  private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

  init() {
    stream.initialize(to: z_stream())
    precondition(cz_deflate_init(stream, Z_DEFAULT_COMPRESSION) == Z_OK, "zlib has no memory")
    _ = spdyDictionary.withUnsafeBufferPointer { deflateSetDictionary(stream, $0.baseAddress, UInt32($0.count)) }
  }

  deinit {
    deflateEnd(stream)
    stream.deallocate()
  }

  func write(_ headers: [SPDYHeader]) -> [UInt8] {
    var plain = ByteBuffer()
    plain.writeInteger(UInt32(headers.count))
    for header in headers {
      for text in [header.name.lowercased(), header.value] {
        plain.writeInteger(UInt32(text.utf8.count))
        plain.writeString(text)
      }
    }
    var input = Array(plain.readableBytesView)
    var block: [UInt8] = []
    input.withUnsafeMutableBufferPointer { input in
      stream.pointee.next_in = input.baseAddress
      stream.pointee.avail_in = UInt32(input.count)
      var chunk = [UInt8](repeating: 0, count: 1024)
      repeat {
        let count = chunk.withUnsafeMutableBufferPointer { chunk in
          stream.pointee.next_out = chunk.baseAddress
          stream.pointee.avail_out = UInt32(chunk.count)
          deflate(stream, Z_SYNC_FLUSH)
          return chunk.count - Int(stream.pointee.avail_out)
        }
        block += chunk[..<count]
      } while stream.pointee.avail_out == 0
      stream.pointee.next_in = nil
    }
    return block
  }
}
