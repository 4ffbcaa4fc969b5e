import HTTPServing
import JSONCodec
import KubernetesClient
import Testing

@testable import APIServer

/// Lists that go out while they are read.
@Suite struct StreamedListTests {
  private static let path = "/api/v1/namespaces/default/configmaps"

  private func fill(_ server: ServerUnderTest, _ count: Int) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for first in 0..<4 {
        group.addTask {
          for index in stride(from: first, to: count, by: 4) {
            _ = try await server.admin.create(
              .init("configmaps", namespace: "default"), ["metadata": ["name": .string("m\(index)")], "data": ["n": .string("\(index)")]])
          }
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func aLongListHasEverythingOnce() async throws {
    try await withServer { server in
      try await fill(server, StreamedList.pageSize + 200)
      let admin = try server.authority.client(user: "admin", groups: ["system:masters"])
      // In pages, which are no streams.
      var inPages: [JSON] = []
      var token = ""
      repeat {
        let page = try await server.ask(.GET, Self.path + "?limit=500&continue=\(token)", certificate: admin).body
        inPages += page["items"].array ?? []
        token = page["metadata"]["continue"].string ?? ""
      } while !token.isEmpty
      #expect(inPages.count > StreamedList.pageSize)
      let whole = try await self.whole(server)
      #expect(whole["kind"].string == "ConfigMapList" && whole["apiVersion"].string == "v1" && whole["items"].array == inPages)
      #expect(whole["metadata"]["continue"].isEmpty && whole["metadata"]["remainingItemCount"].isNull)
      #expect(try await self.whole(server, packed: true) == whole)
      let version = try #require(whole["metadata"]["resourceVersion"].string)

      _ = try await server.admin.delete(.init("configmaps", namespace: "default"), name: "m7")
      _ = try await server.admin.create(.init("configmaps", namespace: "default"), ["metadata": ["name": "m7a"]])
      let exact = [(name: "resourceVersion", value: version), (name: "resourceVersionMatch", value: "Exact")]
      let before = try await self.whole(server, query: exact)
      #expect(before["items"].array == inPages && before["metadata"]["resourceVersion"].string == version, "all of the revision asked for")
      let answer = try await server.ask(.GET, Self.path, certificate: admin)
      #expect(answer.code == 200 && answer.body.isNull, "a long list is a stream")
    }
  }

  private func whole(_ server: ServerUnderTest, packed: Bool = false, query: [(name: String, value: String)] = []) async throws -> JSON {
    let api = server.server
    let path = Self.path.split(separator: "/").map(String.init)
    let call = APICall(user: UserInfo(name: "admin", groups: ["system:masters"]), method: "GET", path: path, query: query)
    let request = try #require(ResourceRequest(path: path, registry: api.registry))
    let (prefix, page) = try #require(try await api.resources.firstPage(call, request, limit: StreamedList.pageSize))
    #expect(page.more)
    let list = StreamedList(store: api.resources.store, resource: request.resource, prefix: prefix, first: page)
    var bytes: [UInt8] = []
    try await list.write(packed: packed) { bytes += $0.readableBytesView }
    return try JSON.parse(packed ? try #require(Gzip.expand(bytes, bytesMax: 10 << 20)) : bytes)
  }

  @Test func partsPackedOneByOneAreOneBody() throws {
    let packer = try #require(GzipStream())
    var packed: [UInt8] = []
    var whole: [UInt8] = []
    for part in 0..<7 {
      let bytes = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* (part + 3) ^ ($0 >> 7)) }
      whole += bytes
      packed += packer.pack(bytes, isLast: part == 6)
    }
    #expect(Gzip.expand(packed, bytesMax: whole.count) == whole)
    #expect(GzipStream().flatMap { Gzip.expand($0.pack([], isLast: true), bytesMax: 1) } == [])
  }
}
