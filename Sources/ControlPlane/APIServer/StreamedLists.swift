import APIMachinery
import HTTPServing
import KubernetesAPI
import NIOCore
import NIOHTTP1
import RevisionStore

/// A list whose objects go out while the next ones are read, all of one revision: a list of any length takes the memory of two pages.
struct StreamedList: Sendable {
  /// Objects that are read at a time. Few enough to begin soon, many enough that counting what remains costs little.
  static let pageSize = 1_000

  let store: any RevisionStore
  let resource: ResourceInfo
  let prefix: String
  let first: Page

  private var head: [UInt8] {
    var out = Array("{\"kind\":\"\(resource.listKind)\",\"apiVersion\":\"\(resource.apiVersion)\",\"metadata\":".utf8)
    ListPage(items: [], revision: first.revision).metadata.write(to: &out)
    out.append(contentsOf: ",\"items\":[".utf8)
    return out
  }

  /// - Throws: where the history was compacted meanwhile; the reader sees a body that breaks off
  func write(packed: Bool, to write: (ByteBuffer) async throws -> Void) async throws {
    let packer = packed ? GzipStream() : nil
    var page = first
    var out = head
    while true {
      let (last, more) = (page.items.last?.key, page.more)
      async let following = more ? store.list(prefix: prefix, after: last, limit: Self.pageSize, at: first.revision) : nil
      for item in page.items {
        StoredForm.splice(item.value, revision: item.revision, into: &out)
        out.append(UInt8(ascii: ","))
      }
      if !more {
        out.removeLast()
        out.append(contentsOf: "]}".utf8)
      }
      try await write(ByteBuffer(bytes: packer?.pack(out, isLast: !more) ?? out))
      guard let next = try await following else { return }
      page = next
      out.removeAll(keepingCapacity: true)
    }
  }
}

extension APIServer {
  /// The answer to a list of everything in a collection that is sent as it is stored; nil where the list must be looked at.
  func streamed(_ call: APICall, _ request: ResourceRequest) async throws -> APIResult? {
    guard call.sendsStoredBytes, let served = call.served, !call.keepsAnswer, resources.isStoredForm(request.resource),
      call.parameter("continue") ?? "" == "", ["", "0"].contains(call.parameter("limit") ?? ""),
      let (prefix, page) = try await resources.firstPage(call, request, limit: StreamedList.pageSize)
    else { return nil }
    listSizes.note(request.resource.plural, page.items.count + page.remaining)
    guard page.more else {
      return .document(try await resources.document(ListPage(items: page.items, revision: page.revision), request.resource))
    }
    let list = StreamedList(store: resources.store, resource: request.resource, prefix: prefix, first: page)
    let packed = Gzip.isTaken(by: served)
    var headers: HTTPHeaders = ["Content-Type": Encoding.json.rawValue, "Cache-Control": "no-cache, private"]
    if packed { Gzip.mark(&headers) }
    return .served(ServedResponse(status: .ok, headers: headers, body: .stream { try await list.write(packed: packed, to: $0.write) }))
  }
}
