import AsyncHTTPClient
import HTTPServing
import NIOCore
import NIOHTTP1

/// An answer on its way through the proxy: its redirection and, where it is a page, its links.
struct ProxiedPage: Sendable {
  /// A packed page that is longer is passed on as it is: its links stay.
  static let packedBytesMax = 8 << 20
  static let bytesMax = 64 << 20

  let links: ProxiedLinks

  func response(_ answer: HTTPClientResponse, _ headers: HTTPHeaders) -> ServedResponse {
    var response = ServedResponse(
      status: answer.status, headers: headers,
      body: .stream { writer in for try await part in answer.body { try await writer.write(part) } })
    if let location = headers.first(name: "location") {
      response.headers.replaceOrAdd(name: "Location", value: links.rewritten(location))
      return response
    }
    let type = (headers.first(name: "content-type") ?? "").prefix { $0 != ";" }.filter { $0 != " " }
    guard type.lowercased() == "text/html" else { return response }
    switch headers.first(name: "content-encoding") ?? "" {
    case "": response.body = .stream { writer in try await plain(answer.body, writer) }
    case "gzip": response.body = .stream { writer in try await packed(answer.body, writer) }
    default: break
    }
    return response
  }

  private func plain(_ body: HTTPClientResponse.Body, _ writer: ResponseWriter) async throws {
    var html = HTMLLinks(links)
    for try await part in body { try await writer.write(html.rewrite(part.readableBytesView)) }
    try await writer.write(html.finish())
  }

  private func packed(_ body: HTTPClientResponse.Body, _ writer: ResponseWriter) async throws {
    var gathered: [UInt8] = []
    var isTooLong = false
    for try await part in body {
      guard !isTooLong else {
        try await writer.write(part)
        continue
      }
      gathered += part.readableBytesView
      guard gathered.count > Self.packedBytesMax else { continue }
      isTooLong = true
      try await writer.write(gathered)
      gathered = []
    }
    if !isTooLong { try await writer.write(repacked(gathered)) }
  }

  func repacked(_ bytes: [UInt8]) -> [UInt8] {
    guard let page = Gzip.expand(bytes, bytesMax: Self.bytesMax) else { return bytes }
    var html = HTMLLinks(links)
    return Gzip.compress(html.rewrite(page) + html.finish()) ?? bytes
  }
}
