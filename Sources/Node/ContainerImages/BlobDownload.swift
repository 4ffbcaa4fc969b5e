import AsyncHTTPClient
import NIOCore
import OCISpec

/// Decides what a download does after each connection ended, without any network.
struct DownloadProgress: Equatable {
  enum Step: Equatable { case done, again(waitMilliseconds: Int), giveUp }

  let size: Int64
  let tries: Int
  let resumesMax: Int
  let waitMilliseconds: Int
  let waitMillisecondsMax: Int
  private(set) var received: Int64 = 0
  private(set) var connections = 0
  private(set) var fruitless = 0
  private var receivedBefore: Int64 = 0

  init(size: Int64, _ configuration: RegistryConfiguration) {
    self.size = size
    tries = configuration.tries
    resumesMax = configuration.resumesMax
    waitMilliseconds = configuration.retryMilliseconds
    waitMillisecondsMax = configuration.retryMillisecondsMax
  }

  mutating func arrived(_ bytes: Int) { received += Int64(bytes) }

  /// A connection ended, well or not. New bytes earn new patience.
  mutating func connectionEnded() -> Step {
    if received == size { return .done }
    connections += 1
    fruitless = received > receivedBefore ? 1 : fruitless + 1
    receivedBefore = received
    if fruitless >= tries || connections >= resumesMax { return .giveUp }
    let doubled = fruitless > 20 ? waitMillisecondsMax : waitMilliseconds << (fruitless - 1)
    return .again(waitMilliseconds: min(doubled, waitMillisecondsMax))
  }
}

extension RegistrySession {
  /// Sends a layer's bytes into `pipe`, on as many connections as it takes, each going on where the one before ended.
  func download(_ blob: Descriptor, into pipe: BytePipe, _ configuration: RegistryConfiguration) async throws {
    var progress = DownloadProgress(size: blob.size, configuration)
    while true {
      var failure: (any Error)?
      do {
        try await downloadOnce(blob, into: pipe, &progress)
      } catch let error as ImageError where error.isTransient {
        failure = error
      }
      switch progress.connectionEnded() {
      case .done: return
      case .again(let milliseconds): try await Task.sleep(for: .milliseconds(milliseconds))
      case .giveUp:
        throw failure
          ?? ImageError(
            .truncated, "\(server.hostAndPort) ended the layer \(blob.digest) after \(progress.received) of \(blob.size) bytes")
      }
    }
  }

  private func downloadOnce(_ blob: Descriptor, into pipe: BytePipe, _ progress: inout DownloadProgress) async throws {
    let offset = progress.received
    let response = try await get("blobs/\(blob.digest)", from: offset)
    // A server that knows no ranges begins again: what we have is read over.
    var skip = offset
    if response.status.code == 206 {
      guard rangeStart(response.headers.first(name: "Content-Range")) == offset else {
        throw ImageError(.registry, "\(server.hostAndPort) resumes the layer \(blob.digest) at another place than asked")
      }
      skip = 0
    }
    var iterator = response.body.makeAsyncIterator()
    while true {
      var chunk: ByteBuffer
      do {
        guard let next = try await iterator.next() else { return }
        chunk = next
      } catch {
        try Task.checkCancellation()
        let place = "after \(progress.received) of \(blob.size) bytes"
        throw ImageError(.network, "\(server.hostAndPort) broke off the layer \(blob.digest) \(place): \(Self.describe(error))")
      }
      if skip > 0 {
        let count = Int(min(skip, Int64(chunk.readableBytes)))
        chunk.moveReaderIndex(forwardBy: count)
        skip -= Int64(count)
      }
      guard chunk.readableBytes > 0 else { continue }
      progress.arrived(chunk.readableBytes)
      guard progress.received <= blob.size else {
        throw ImageError(
          .tooLarge, "\(server.hostAndPort) sends more of the layer \(blob.digest) than the \(blob.size) bytes it was announced with")
      }
      try await pipe.write(chunk)
    }
  }

  /// A document's bytes, verified. Small: an image's config.
  func document(_ descriptor: Descriptor, bytesMax: Int, what: String) async throws -> [UInt8] {
    guard descriptor.size <= bytesMax else {
      throw ImageError(.tooLarge, "the \(what) is announced with \(descriptor.size) bytes, more than \(bytesMax)")
    }
    let response = try await get("blobs/\(descriptor.digest)")
    let bytes = try await collect(response, bytesMax: Int(descriptor.size), what: what)
    guard bytes.count == Int(descriptor.size) else {
      throw ImageError(.truncated, "the \(what) ended after \(bytes.count) of \(descriptor.size) bytes")
    }
    guard sha256(bytes) == descriptor.digest else {
      throw ImageError(.digestMismatch, "the \(what) that was announced as \(descriptor.digest) has digest \(sha256(bytes))")
    }
    return bytes
  }
}

/// The first byte of `bytes 100-199/200`.
private func rangeStart(_ header: String?) -> Int64? {
  guard let header, header.hasPrefix("bytes ") else { return nil }
  return Int64(header.dropFirst(6).prefix { $0 != "-" })
}
