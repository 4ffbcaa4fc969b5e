import Glibc
import LinuxKernel
import NIOCore
import OCISpec
import SystemPackage

import struct Crypto.SHA256

/// Bytes that come in pieces, read by one plain thread. A piece stays valid until the next call.
protocol ByteSource: AnyObject {
  /// The next piece, never empty; nil at the end.
  func next() throws -> UnsafeRawBufferPointer?
}

/// A stretch of a file.
final class FileSource: ByteSource {
  private let descriptor: SharedDescriptor
  private var offset: Int64
  private let end: Int64
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)

  init(_ descriptor: SharedDescriptor, offset: Int64, length: Int64) {
    self.descriptor = descriptor
    self.offset = offset
    self.end = offset + length
  }

  deinit { buffer.deallocate() }

  func next() throws -> UnsafeRawBufferPointer? {
    guard offset < end else { return nil }
    let count = min(buffer.count, Int(end - offset))
    let got = pread(descriptor.rawValue, buffer.baseAddress, count, off_t(offset))
    if got < 0 { throw KernelError("pread", errno: Errno(rawValue: errno)) }
    guard got > 0 else { return nil }
    offset += Int64(got)
    return UnsafeRawBufferPointer(rebasing: buffer[..<got])
  }
}

/// The reading end of a `BytePipe`.
final class PipeSource: ByteSource {
  private let pipe: BytePipe
  private var held: ByteBuffer?
  private let buffer: UnsafeMutableRawBufferPointer
  private var bufferCapacity = 64 << 10

  init(_ pipe: BytePipe) {
    self.pipe = pipe
    buffer = .allocate(byteCount: bufferCapacity, alignment: 16)
  }

  deinit { buffer.deallocate() }

  func next() throws -> UnsafeRawBufferPointer? {
    if held == nil || held!.readableBytes == 0 { held = try pipe.read() }
    guard held != nil else { return nil }
    let count = min(buffer.count, held!.readableBytes)
    held!.readWithUnsafeReadableBytes { bytes in
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      return count
    }
    return UnsafeRawBufferPointer(rebasing: buffer[..<count])
  }
}

/// Counts and hashes what passes.
final class DigestingSource: ByteSource {
  private let upstream: any ByteSource
  private var hash = SHA256()
  private(set) var count: Int64 = 0
  /// More than this is an error, found as soon as the byte after it arrives.
  private let countMax: Int64
  private let overflow: () -> ImageError

  init(_ upstream: any ByteSource, countMax: Int64 = .max, overflow: @escaping () -> ImageError) {
    self.upstream = upstream
    self.countMax = countMax
    self.overflow = overflow
  }

  func next() throws -> UnsafeRawBufferPointer? {
    guard let piece = try upstream.next() else { return nil }
    count += Int64(piece.count)
    guard count <= countMax else { throw overflow() }
    hash.update(bufferPointer: piece)
    return piece
  }

  /// Reads and hashes the rest.
  func drain() throws { while try next() != nil {} }

  var digest: Digest { Digest(bytes: hash.finalize()) }
}
