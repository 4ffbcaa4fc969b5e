import CZlib
import HTTPServing
import NIOHTTP1

/// Packs large answers for clients that take gzip.
enum Gzip {
  /// Smaller answers are sent as they are, as upstream does.
  static let bytesMin = 128 << 10
  /// Speed before size: the answer is made once and sent over a fast network.
  static let level: Int32 = 1

  static func isTaken(by request: ServedRequest) -> Bool { request.headers[canonicalForm: "accept-encoding"].contains("gzip") }

  static func mark(_ headers: inout HTTPHeaders) {
    headers.add(name: "Content-Encoding", value: "gzip")
    headers.add(name: "Vary", value: "Accept-Encoding")
  }

  static func compress(_ bytes: [UInt8]) -> [UInt8]? {
    var stream = z_stream()
    guard cz_deflate_init_gzip(&stream, level) == Z_OK else { return nil }
    defer { deflateEnd(&stream) }
    var out = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))))
    let result = bytes.withUnsafeBufferPointer { input in
      out.withUnsafeMutableBufferPointer { output in
        stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        stream.avail_in = UInt32(input.count)
        stream.next_out = output.baseAddress
        stream.avail_out = UInt32(output.count)
        return deflate(&stream, Z_FINISH)
      }
    }
    guard result == Z_STREAM_END else { return nil }
    out.removeLast(out.count - Int(stream.total_out))
    return out
  }

  /// What was packed; nil where it is no gzip or would be longer than `bytesMax`.
  static func expand(_ bytes: [UInt8], bytesMax: Int) -> [UInt8]? {
    var stream = z_stream()
    guard cz_inflate_init_gzip(&stream) == Z_OK else { return nil }
    defer { inflateEnd(&stream) }
    var result: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    return bytes.withUnsafeBufferPointer { input in
      stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
      stream.avail_in = UInt32(input.count)
      while true {
        let (status, count) = piece.withUnsafeMutableBufferPointer { output in
          stream.next_out = output.baseAddress
          stream.avail_out = UInt32(output.count)
          let status = inflate(&stream, Z_NO_FLUSH)
          return (status, output.count - Int(stream.avail_out))
        }
        result += piece[..<count]
        guard result.count <= bytesMax else { return nil }
        if status == Z_STREAM_END { return result }
        guard status == Z_OK, count > 0 || stream.avail_in > 0 else { return nil }
      }
    }
  }
}

/// Packs a body that comes in parts.
final class GzipStream {
  private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
  private var piece = [UInt8](repeating: 0, count: 64 << 10)

  init?() {
    stream.initialize(to: z_stream())
    guard cz_deflate_init_gzip(stream, Gzip.level) == Z_OK else {
      stream.deallocate()
      return nil
    }
  }

  deinit {
    deflateEnd(stream)
    stream.deallocate()
  }

  /// What there is to send after this part; with the last part, the end.
  func pack(_ bytes: [UInt8], isLast: Bool) -> [UInt8] {
    var out: [UInt8] = []
    bytes.withUnsafeBufferPointer { input in
      stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
      stream.pointee.avail_in = UInt32(input.count)
      var status = Z_OK
      repeat {
        let count = piece.withUnsafeMutableBufferPointer { output in
          stream.pointee.next_out = output.baseAddress
          stream.pointee.avail_out = UInt32(output.count)
          status = deflate(stream, isLast ? Z_FINISH : Z_NO_FLUSH)
          return output.count - Int(stream.pointee.avail_out)
        }
        out += piece[..<count]
      } while status == Z_OK && (stream.pointee.avail_out == 0 || isLast)
    }
    return out
  }
}
