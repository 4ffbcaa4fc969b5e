import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOCore
import NIOHTTP1
import Testing

@testable import APIServer

/// What conformance's tests of field validation look for, and its neighbours.
@Suite struct FieldValidationTests {
  private static let spec: JSON = [
    "type": "object", "properties": ["foo": ["type": "string"], "n": ["type": "integer"]],
  ]

  private func definition(_ plural: String, _ spec: JSON) -> JSON {
    let kind = plural.dropLast().capitalized
    return [
      "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": ["name": .string("\(plural).example.com")],
      "spec": [
        "group": "example.com", "scope": "Namespaced",
        "names": ["plural": .string(plural), "singular": .string(String(plural.dropLast())), "kind": .string(kind)],
        "versions": [
          [
            "name": "v1", "served": true, "storage": true,
            "schema": ["openAPIV3Schema": ["type": "object", "properties": ["spec": spec]]],
          ]
        ],
      ],
    ]
  }

  private func withKinds(
    _ body: (ServerUnderTest, (HTTPMethod, String, String, String) async throws -> (Int, String, [String])) async throws -> Void
  ) async throws {
    try await withServer { server in
      var free = Self.spec
      free["x-kubernetes-preserve-unknown-fields"] = true
      var nested = free
      nested["properties"]["template"] = [
        "type": "object", "x-kubernetes-embedded-resource": true,
        "properties": ["spec": ["type": "object"], "metadata": ["type": "object", "properties": ["name": ["type": "string"]]]],
      ]
      for (plural, spec) in [("strics", Self.spec), ("frees", free), ("nests", nested)] {
        _ = try await server.admin.create(
          ResourcePath(group: "apiextensions.k8s.io", "customresourcedefinitions"), definition(plural, spec))
        try await eventually("\(plural) are served") {
          (try? await server.admin.list(ResourcePath(group: "example.com", plural, namespace: "default"))) != nil
        }
      }
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      try await body(server) { method, uri, type, text in try await server.send(method, uri, type, text, admin) }
    }
  }

  private let apply = "application/apply-patch+yaml"

  @Test func appliedConfigurationsFitTheirType() async throws {
    try await withKinds { _, send in
      let strict = "?fieldManager=m&fieldValidation=Strict"
      func applied(_ path: String, _ text: String, _ query: String = strict) async throws -> (Int, String, [String]) {
        try await send(.PATCH, path + query, apply, text)
      }
      let one = "/apis/example.com/v1/namespaces/default/strics/one"
      let head = "apiVersion: example.com/v1\nkind: Stric\nmetadata:\n  name: one\n"
      #expect(try await applied(one, head + "spec:\n  foo: a\n").0 == 201)
      let unknown = try await applied(one, head + "unknownField: x\nspec:\n  foo: a\n")
      #expect(unknown.0 == 500)
      #expect(
        unknown.1
          == "failed to create typed patch object (default/one; example.com/v1, Kind=Stric): .unknownField: field not declared in schema")
      let two = try await applied(one, head + "unknownField: x\nspec:\n  bar: a\n", "?fieldManager=m")
      #expect(
        two.1 == "failed to create typed patch object (default/one; example.com/v1, Kind=Stric): errors:\n"
          + "  .unknownField: field not declared in schema\n  .spec.bar: field not declared in schema")
      let nest = try await applied(
        "/apis/example.com/v1/namespaces/default/nests/one",
        """
        apiVersion: example.com/v1
        kind: Nest
        metadata:
          name: one
          unknownMeta: x
        spec:
          anything: goes
          template:
            kind: Sub
            metadata:
              unknownSubMeta: x
              name: y

        """)
      #expect(nest.1.contains(".metadata.unknownMeta: field not declared in schema"))
      #expect(nest.1.contains(".spec.template.metadata.unknownSubMeta: field not declared in schema"))
      let deployment = try await applied(
        "/apis/apps/v1/namespaces/default/deployments/d", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {foo: 1}\n",
        "?fieldManager=m")
      #expect(
        deployment.1 == "failed to create typed patch object (default/d; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"
      )
    }
  }

  @Test func keysThatStandTwice() async throws {
    try await withKinds { _, send in
      let text = """

        apiVersion: example.com/v1
        kind: Free
        metadata:
          name: one
          finalizers:
          - example.com/test
        spec:
          unknown: uk1
          foo: foo1
          foo: foo2
          n: 1

        """
      let path = "/apis/example.com/v1/namespaces/default/frees"
      let strict = try await send(.PATCH, path + "/one?fieldManager=m&fieldValidation=Strict", apply, text)
      #expect(strict.0 == 400)
      #expect(
        strict.1
          == "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 11: key \"foo\" already set in map"
      )
      let warned = try await send(.PATCH, path + "/one?fieldManager=m", apply, text)
      #expect(warned.0 == 201 && warned.2 == ["line 11: key \"foo\" already set in map"])
      let created = try await send(
        .POST, path + "?fieldValidation=Strict", "application/yaml", text.replacing("name: one", with: "name: two"))
      #expect(created.1.hasPrefix("strict decoding error: yaml: unmarshal errors:\n  line 11: key \"foo\" already set in map"))
      let json = #"{"apiVersion":"example.com/v1","kind":"Stric","metadata":{"name":"x"},"bad":1,"spec":{"foo":"a","foo":"b","no":1}}"#
      let strics = "/apis/example.com/v1/namespaces/default/strics"
      let refused = try await send(.POST, strics + "?fieldValidation=Strict", "application/json", json)
      #expect(
        refused.1 == #"strict decoding error: duplicate field "spec.foo", unknown field "bad", unknown field "spec.no""#, "\(refused.1)")
      let applied = try await send(
        .PATCH, strics + "/y?fieldManager=m&fieldValidation=Strict", apply,
        #"{"apiVersion":"example.com/v1","kind":"Stric","metadata":{"name":"y"},"spec":{"foo":"a","foo":"b"}}"#)
      #expect(applied.1.hasSuffix("line 1: key \"foo\" already set in map"))
    }
  }

  @Test(arguments: ["application/merge-patch+json", "application/strategic-merge-patch+json"]) func patchesWithUnknownFields(type: String)
    async throws
  {
    try await withKinds { _, send in
      let strict = "?fieldValidation=Strict"
      let map = #"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}}"#
      #expect(try await send(.POST, "/api/v1/namespaces/default/configmaps", "application/json", map).0 == 201)
      let built = try await send(
        .PATCH, "/api/v1/namespaces/default/configmaps/m" + strict, type, #"{"unknownField":1,"data":{"a":"1","a":"2"}}"#)
      #expect(built.0 == 400, "\(built)")
      #expect(built.1.contains(#"strict decoding error: "#) && built.1.contains(#"unknown field "unknownField""#))
      let custom = #"{"apiVersion":"example.com/v1","kind":"Stric","metadata":{"name":"s"},"spec":{"foo":"a"}}"#
      let path = "/apis/example.com/v1/namespaces/default/strics"
      #expect(try await send(.POST, path, "application/json", custom).0 == 201)
      let patched = try await send(.PATCH, path + "/s" + strict, "application/merge-patch+json", #"{"spec":{"bar":1}}"#)
      #expect(patched.0 == 400 && patched.1.contains(#"strict decoding error: unknown field "spec.bar""#))
      let warned = try await send(.PATCH, path + "/s", "application/merge-patch+json", #"{"spec":{"bar":1}}"#)
      #expect(warned.0 == 200 && warned.2 == [#"unknown field "spec.bar""#])
      let pruned = try await send(
        .PATCH, path + "/s" + strict, "application/json-patch+json", #"[{"op":"add","path":"/spec/bar","value":1}]"#)
      #expect(pruned.0 == 400)
      let put = try await send(.PUT, path + "/s" + strict, "application/json", custom.replacing(#""foo""#, with: #""bar""#))
      #expect(put.0 == 400 && put.1.contains(#"unknown field "spec.bar""#))
    }
  }
}
