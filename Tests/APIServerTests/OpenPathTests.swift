import HTTPServing
import JSONCodec
import KubernetesClient
import NIOCore
import NIOHTTP1
import Testing

@testable import APIServer

@Suite struct OpenPathTests {
  private func text(_ answer: ServerUnderTest.Answer) -> String { answer.body.string ?? "" }

  @Test func healthIsToldWholeAndInParts() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      func get(_ path: String) async throws -> String { text(try await server.ask(.GET, path, certificate: admin)) }
      for path in ["/healthz", "/livez", "/readyz", "/readyz/ping", "/livez/ping", "/healthz/etcd"] {
        #expect(try await get(path) == "ok", "\(path)")
      }
      #expect(try await get("/readyz?verbose") == "[+]ping ok\n[+]etcd ok\n[+]informer-sync ok\nreadyz check passed\n")
      #expect(
        try await get("/livez?verbose=1&exclude=etcd&exclude=nonsense")
          == "[+]ping ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"nonsense\"\nlivez check passed\n"
      )
      #expect(try await server.ask(.GET, "/livez/informer-sync", certificate: admin).code == 404)
      #expect(try await get("/metrics/slis").contains("kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"} 1\n"))
      // Strangers learn no more than whether it lives.
      #expect(try await server.ask(.GET, "/readyz").code == 200)
      #expect(try await server.ask(.GET, "/readyz/ping").code == 401)
      let user = try server.authority.client(user: "u", groups: [])
      #expect(try await server.ask(.GET, "/", certificate: user).code == 403)
      try await server.store.close()
      let broken = try await server.ask(.GET, "/healthz", certificate: admin)
      #expect(broken.code == 500 && text(broken) == "[+]ping ok\n[-]etcd failed: reason withheld\nhealthz check failed\n")
    }
  }

  @Test func theRootListsWhatThereIs() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let paths = try await server.ask(.GET, "/", certificate: admin).body["paths"].array?.compactMap(\.string) ?? []
      #expect(
        paths == paths.sorted() && Set(paths).isSuperset(of: ["/api/v1", "/apis/apps", "/apis/apps/v1", "/livez/ping", "/openid/v1/jwks"]))
      // What is listed can be asked for, and OpenAPI has a document of each version.
      for path in paths where path != "/apis/" { #expect(try await server.ask(.GET, path, certificate: admin).code == 200, "\(path)") }
      let documents = try await server.ask(.GET, "/openapi/v3", certificate: admin).body["paths"].object?.keys ?? []
      for path in paths where path.split(separator: "/").count == 3 && path.hasPrefix("/apis/") {
        #expect(documents.contains(String(path.dropFirst())), "\(path)")
      }
    }
  }

  @Test func requestsAreCountedUnderUpstreamsNames() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      _ = try await server.ask(.GET, "/api/v1/namespaces/default/configmaps", certificate: admin)
      _ = try await server.ask(.GET, "/api/v1/namespaces/default/configmaps/none", certificate: admin)
      _ = try await server.ask(.POST, "/api/v1/namespaces/default/configmaps", ["metadata": ["name": "m"]], certificate: admin)
      let watch = try #require(ServedRequest(method: .GET, uri: "/api/v1/namespaces/default/configmaps?watch=1"))
      let series = RequestSeries(
        watch, ResourceRequest(path: ["api", "v1", "namespaces", "default", "configmaps"], registry: server.server.registry))
      #expect(series.isLongRunning && series.verb == "WATCH" && series.scope == "namespace")
      let text = text(try await server.ask(.GET, "/metrics", certificate: admin))
      let labels =
        "component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\""
      #expect(text.contains("apiserver_request_total{code=\"200\",dry_run=\"\",\(labels)} 1\n"))
      #expect(
        text.contains(
          "apiserver_request_total{code=\"404\",dry_run=\"\",\(labels.replacing("namespace", with: "resource").replacing("LIST", with: "GET"))} 1\n"
        ))
      #expect(text.contains("apiserver_request_duration_seconds_bucket{dry_run=\"\",\(labels),le=\"60\"} 1\n"))
      #expect(text.contains("apiserver_request_duration_seconds_count{dry_run=\"\",\(labels)} 1\n"))
      #expect(text.contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n"), "this very request")
      #expect(text.contains("# TYPE apiserver_longrunning_requests gauge\n"))
      let dump = self.text(try await server.ask(.GET, "/debug/api_priority_and_fairness/dump_priority_levels", certificate: admin))
      #expect(dump.hasPrefix("PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, "))
      #expect(dump.split(separator: "\n").contains { $0.hasPrefix("exempt,") && $0.contains("<none>") })
      let queues = self.text(try await server.ask(.GET, "/debug/api_priority_and_fairness/dump_queues", certificate: admin))
      #expect(queues.split(separator: "\n").count { $0.hasPrefix("workload-low,") } == 128)
    }
  }

  @Test func aListThatIsTooOldGoesOnAtANewerRevision() async throws {
    try await withServer { server in
      let path = ResourcePath.configMaps("default")
      for i in 0..<12 { _ = try await server.admin.create(path, ["metadata": ["name": .string("m\(10 + i)")]]) }
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      func page(_ token: String?) async throws -> ServerUnderTest.Answer {
        let query = "?limit=5" + (token.map { "&continue=" + percentEncoded($0) } ?? "")
        return try await server.ask(.GET, "/api/v1/namespaces/default/configmaps" + query, certificate: admin)
      }
      let first = try await page(nil).body["metadata"]
      #expect(first["remainingItemCount"].int == 8)
      _ = try await server.admin.create(path, ["metadata": ["name": "m99"]])
      // A consistent list does not see what is newer.
      let second = try await page(first["continue"].string).body
      #expect(second["metadata"]["resourceVersion"] == first["resourceVersion"] && second["metadata"]["remainingItemCount"].int == 3)
      try await server.store.compact(before: try await server.store.currentRevision())
      let expired = try await page(second["metadata"]["continue"].string)
      #expect(expired.code == 410 && expired.body["reason"].string == "Expired")
      let last = try await page(try #require(expired.body["metadata"]["continue"].string)).body
      let names = (last["items"].array ?? []).compactMap { $0["metadata"]["name"].string }
      #expect(names == ["m19", "m20", "m21", "m99"], "kube-root-ca.crt is the first of all")
      #expect(last["metadata"]["continue"].isNull)
    }
  }

  @Test func optionsOfLogsAreJudged() async throws {
    try await TestServer.with { test in
      let pod: JSON = [
        "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "p"], "spec": ["containers": [["name": "c", "image": "i"]]],
      ]
      #expect(try await test.call("POST", "/api/v1/namespaces/default/pods", pod).status == 201)
      func refusal(_ query: [(name: String, value: String)]) async throws -> String {
        let answer = try await test.call("GET", "/api/v1/namespaces/default/pods/p/log", query: query)
        return "\(answer.status) \(answer.body["message"].string ?? "")"
      }
      let lines = try await refusal([("tailLines", "-1")])
      #expect(lines == "422 PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0")
      let two = try await refusal([("limitBytes", "0"), ("sinceSeconds", "0")])
      #expect(
        two == "422 PodLogOptions \"p\" is invalid: [limitBytes: Invalid value: 0: must be greater than 0, "
          + "sinceSeconds: Invalid value: 0: must be greater than 0]")
      let both = try await refusal([("sinceSeconds", "5"), ("sinceTime", "2026-01-01T00:00:00Z")])
      #expect(both == "422 PodLogOptions \"p\" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified")
      #expect(try await refusal([("tailLines", "x")]).hasPrefix("400 "))
    }
  }
}
