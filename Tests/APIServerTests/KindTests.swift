import JSONCodec
import KubernetesAPI
import KubernetesClient
import Synchronization
import Testing

@testable import APIServer

private let widgets = ResourcePath(group: "example.com", version: "v1", "widgets", namespace: "default")

private func definition() -> JSON {
  [
    "metadata": ["name": "widgets.example.com"],
    "spec": [
      "group": "example.com", "scope": "Namespaced",
      "names": ["plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"],
      "versions": [
        [
          "name": "v1", "served": true, "storage": true, "selectableFields": [["jsonPath": ".spec.color"]],
          "schema": [
            "openAPIV3Schema": [
              "type": "object",
              "properties": ["spec": ["type": "object", "properties": ["color": ["type": "string"]]]],
            ]
          ],
        ]
      ],
    ],
  ]
}

private func widget(_ name: String, _ color: String) -> JSON {
  [
    "apiVersion": "example.com/v1", "kind": "Widget", "metadata": ["name": .string(name), "labels": ["c": .string(color)]],
    "spec": ["color": .string(color)],
  ]
}

private func makeWidgets(_ server: ServerUnderTest) async throws {
  _ = try await server.admin.create(ResourcePath(group: "apiextensions.k8s.io", "customresourcedefinitions"), definition())
  let admin = server.admin
  try await eventually("the kind") { (try? await admin.create(widgets, widget("a", "red"))) != nil }
  for (name, color) in [("b", "red"), ("c", "blue"), ("d", "blue")] { _ = try await admin.create(widgets, widget(name, color)) }
}

@Suite struct CustomKindTests {
  @Test func watchesEndWithTheKind() async throws {
    try await withServer { server in
      try await makeWidgets(server)
      let version = try await server.admin.list(widgets).resourceVersion
      let events = try await server.admin.watch(widgets, from: version)
      let seen = Mutex<[String]>([])
      let reader = Task {
        for try await event in events { seen.withLock { $0.append(event.kind.rawValue) } }
        return true
      }
      try await server.admin.delete(
        ResourcePath(group: "apiextensions.k8s.io", "customresourcedefinitions"), name: "widgets.example.com")
      let ended = Mutex(false)
      Task { if (try? await reader.value) != nil { ended.withLock { $0 = true } } }
      try await eventually("the end of the watch") { ended.withLock { $0 } }
      #expect(seen.withLock { $0 }.filter { $0 == "DELETED" }.count == 4)
    }
  }

  @Test func collectionsOfCustomKindsAreDeleted() async throws {
    try await withServer { server in
      try await makeWidgets(server)
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let base = "/apis/example.com/v1/namespaces/default/widgets"
      func names() async throws -> [String] {
        try await server.admin.list(widgets).items.compactMap { $0["metadata"]["name"].string }.sorted()
      }
      let answer = try await server.ask(.DELETE, base + "?labelSelector=c%3Dred&fieldSelector=metadata.name%3Da", certificate: admin)
      #expect(answer.code == 200 && answer.body["items"].array?.count == 1)
      #expect(try await names() == ["b", "c", "d"])
      #expect(try await server.ask(.DELETE, base + "?fieldSelector=spec.color%3Dblue", certificate: admin).code == 200)
      #expect(try await names() == ["b"])
      #expect(try await server.ask(.DELETE, base + "?dryRun=All", certificate: admin).code == 200)
      #expect(try await names() == ["b"])
      #expect(try await server.ask(.DELETE, base, certificate: admin).code == 200)
      #expect(try await names() == [])
    }
  }

  @Test func pathsAndMethodsThatAreNot() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      _ = try await server.admin.create(.configMaps("default"), ["metadata": ["name": "m"]])
      let pods = "/api/v1/namespaces/default/pods/p"
      for path in ["/api/v1/namespaces/default/configmaps/m/nothing", pods + "/nothing", "/api/v1/nothing"] {
        let answer = try await server.ask(.PATCH, path, [:], certificate: admin, headers: ["Content-Type": "application/merge-patch+json"])
        #expect(answer.code == 404 && answer.message == "the server could not find the requested resource", "\(path)")
      }
      for path in [pods + "/binding", pods + "/eviction", "/api/v1/namespaces/default/serviceaccounts/default/token"] {
        let answer = try await server.ask(.PATCH, path, [:], certificate: admin, headers: ["Content-Type": "application/merge-patch+json"])
        #expect(answer.code == 405 && answer.body["reason"] == "MethodNotAllowed", "\(path)")
        #expect(answer.message == "the server does not allow this method on the requested resource")
      }
    }
  }
}

@Suite struct DaemonSetAnnotationTests {
  @Test func theTemplatesGenerationIsCounted() async throws {
    try await TestServer.with { test in
      let path = "/apis/apps/v1/namespaces/default/daemonsets"
      let set: JSON = [
        "metadata": ["name": "d"],
        "spec": [
          "selector": ["matchLabels": ["a": "b"]],
          "template": ["metadata": ["labels": ["a": "b"]], "spec": ["containers": [["name": "c", "image": "i:1"]]]],
        ],
      ]
      func generation(_ answer: (status: Int, body: JSON)) -> JSON {
        answer.body["metadata"]["annotations"]["deprecated.daemonset.template.generation"]
      }
      let merge = "application/merge-patch+json"
      func patched(_ patch: JSON) async throws -> JSON {
        generation(try await test.call("PATCH", path + "/d", contentType: merge, patch))
      }
      let made = generation(try await test.call("POST", path, set))
      #expect(made == "1")
      #expect(try await patched(["metadata": ["labels": ["x": "y"]]]) == "1")
      #expect(try await patched(["spec": ["minReadySeconds": 5]]) == "1")
      #expect(try await patched(["spec": ["template": ["spec": ["terminationGracePeriodSeconds": 7]]]]) == "2")
      // Nobody else sets it.
      #expect(try await patched(["metadata": ["annotations": ["deprecated.daemonset.template.generation": "9"]]]) == "2")
    }
  }
}

@Suite struct NamespaceEndTests {
  @Test func podsGoFirst() async throws {
    try await withServer { server in
      let namespaces = ResourcePath.namespaces
      _ = try await server.admin.create(namespaces, ["metadata": ["name": "ordered"]])
      let admin = server.admin
      try await eventually("its account") { (try? await admin.get(.serviceAccounts("ordered"), name: "default")) != nil }
      _ = try await admin.create(.configMaps("ordered"), ["metadata": ["name": "m"]])
      _ = try await admin.create(
        .pods("ordered"),
        ["metadata": ["name": "p", "finalizers": ["example.com/hold"]], "spec": ["containers": [["name": "c", "image": "i"]]]])
      try await admin.delete(namespaces, name: "ordered")
      try await eventually("the conditions") {
        let conditions = try await admin.get(namespaces, name: "ordered")["status"]["conditions"].array ?? []
        return conditions.contains { $0["type"] == "NamespaceContentRemaining" && $0["status"] == "True" }
          && conditions.contains {
            $0["type"] == "NamespaceFinalizersRemaining" && $0["message"].string?.contains("example.com/hold in 1") == true
          }
          && conditions.contains { $0["type"] == "NamespaceDeletionContentFailure" }
      }
      #expect(try await admin.get(.configMaps("ordered"), name: "m")["metadata"]["deletionTimestamp"].isNull)
      let message = try await admin.get(namespaces, name: "ordered")["status"]["conditions"].array?.first {
        $0["type"] == "NamespaceContentRemaining"
      }?["message"]
      #expect(message == "Some resources are remaining: pods. has 1 resource instances")
      _ = try await admin.patch(.pods("ordered"), name: "p", type: .merge, ["metadata": ["finalizers": .array([])]])
      try await eventually("the end") {
        do {
          _ = try await admin.get(namespaces, name: "ordered")
          return false
        } catch let error as APIStatusError where error.isNotFound {
          return true
        }
      }
    }
  }
}
