import JSONCodec
import NIOHTTP1
import Testing

@testable import APIServer

/// A schema may become stricter: what lies there already and does not change is let through, by whatever way an update comes.
@Suite(.timeLimit(.minutes(2))) struct RatchetingTests {
  private static let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
  private static let boxes = "/apis/ratchet.example.com/v1/namespaces/default/boxes"

  /// - isStrict: with limits and rules that the first objects do not keep.
  private static func definition(isStrict: Bool) -> JSON {
    let text: JSON = ["type": "string"]
    var (size, kind, note, phase) = (["type": "integer"] as JSON, text, text, text)
    var (part, spec) = (
      ["type": "object", "properties": ["name": text, "weight": ["type": "integer"]]] as JSON, ["type": "object"] as JSON
    )
    part["required"] = ["name"]
    if isStrict {
      size["maximum"] = 10
      kind["enum"] = ["round", "square"]
      note["x-kubernetes-validations"] = [["rule": "self == oldSelf", "message": "a note stays"]]
      phase["maxLength"] = 3
      part["x-kubernetes-validations"] = [["rule": "!has(self.weight) || self.weight < 5", "message": "too heavy"]]
      spec["x-kubernetes-validations"] = [
        [
          "rule": "oldSelf.hasValue() || self.size < 5", "optionalOldSelf": true, "message": "new ones are small",
        ]
      ]
    }
    spec["properties"] = [
      "size": size, "kind": kind, "note": note, "free": text,
      "parts": ["type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": part],
      "loose": ["type": "array", "maxItems": 5, "items": isStrict ? ["type": "string", "maxLength": 3] : text],
    ]
    return [
      "metadata": ["name": "boxes.ratchet.example.com"],
      "spec": [
        "group": "ratchet.example.com", "scope": "Namespaced",
        "names": ["plural": "boxes", "singular": "box", "kind": "Box", "listKind": "BoxList"],
        "versions": [
          [
            "name": "v1", "served": true, "storage": true, "subresources": ["status": .object(JSONObject())],
            "schema": [
              "openAPIV3Schema": [
                "type": "object",
                "properties": ["spec": spec, "status": ["type": "object", "properties": ["phase": phase, "seen": text]]],
              ]
            ],
          ]
        ],
      ],
    ]
  }

  private static let spec: JSON = [
    "size": 50, "kind": "odd", "note": "first", "free": "a", "loose": ["long one", "long two"],
    "parts": [["name": "a", "weight": 9], ["name": "b", "weight": 1]],
  ]

  private func withBoxes(_ body: (_ ask: (HTTPMethod, String, JSON, String) async throws -> (Int, String)) async throws -> Void)
    async throws
  {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      func ask(_ method: HTTPMethod, _ uri: String, _ object: JSON, _ type: String) async throws -> (Int, String) {
        let answer = try await server.ask(method, uri, object, certificate: admin, headers: ["Content-Type": type])
        return (answer.code, answer.message)
      }
      #expect(try await ask(.POST, Self.definitions, Self.definition(isStrict: false), "application/json").0 == 201)
      try await eventually("boxes") { try await server.ask(.GET, Self.boxes, certificate: admin).code == 200 }
      let box: JSON = ["kind": "Box", "apiVersion": "ratchet.example.com/v1", "metadata": ["name": "old"], "spec": Self.spec]
      #expect(try await ask(.POST, Self.boxes, box, "application/json").0 == 201)
      let phase: JSON = ["status": ["phase": "very long", "seen": "no"]]
      #expect(try await ask(.PATCH, Self.boxes + "/old/status", phase, "application/merge-patch+json").0 == 200)
      let merge = "application/merge-patch+json"
      let strict = Self.definition(isStrict: true)
      #expect(try await ask(.PATCH, Self.definitions + "/boxes.ratchet.example.com", ["spec": strict["spec"]], merge).0 == 200)
      try await eventually("the stricter schema") {
        var other = box
        other["metadata"]["name"] = "new"
        return try await server.ask(.POST, Self.boxes + "?dryRun=All", other, certificate: admin).code == 422
      }
      try await body(ask)
    }
  }

  @Test func everyWayToUpdateLetsThroughWhatDidNotChange() async throws {
    try await withBoxes { ask in
      let one = Self.boxes + "/old"
      var whole: JSON = ["kind": "Box", "apiVersion": "ratchet.example.com/v1", "metadata": ["name": "old"], "spec": Self.spec]
      whole["spec"]["free"] = "b"
      let put = try await ask(.PUT, one, whole, "application/json")
      #expect(put.0 == 200, "\(put.1)")
      let merged = try await ask(.PATCH, one, ["spec": ["free": "c"]], "application/merge-patch+json")
      #expect(merged.0 == 200, "\(merged.1)")
      let patch: JSON = [["op": "replace", "path": "/spec/free", "value": "d"]]
      let patched = try await ask(.PATCH, one, patch, "application/json-patch+json")
      #expect(patched.0 == 200, "\(patched.1)")
      let applied: JSON = ["kind": "Box", "apiVersion": "ratchet.example.com/v1", "metadata": ["name": "old"], "spec": ["free": "e"]]
      let apply = try await ask(.PATCH, one + "?fieldManager=t&force=true", applied, "application/apply-patch+yaml")
      #expect(apply.0 == 200, "\(apply.1)")
      let status = try await ask(.PATCH, one + "/status", ["status": ["seen": "yes"]], "application/merge-patch+json")
      #expect(status.0 == 200, "\(status.1)")
      let label = try await ask(.PATCH, one, ["metadata": ["labels": ["a": "b"]]], "application/merge-patch+json")
      #expect(label.0 == 200, "\(label.1)")
    }
  }

  @Test func whatChangesIsHeldToTheNewSchema() async throws {
    try await withBoxes { ask in
      func change(_ path: String, _ value: JSON) async throws -> String {
        let operation: JSON = [["op": "replace", "path": .string(path), "value": value]]
        let answer = try await ask(.PATCH, Self.boxes + "/old", operation, "application/json-patch+json")
        return answer.0 == 200 ? "" : answer.1
      }
      #expect(
        try await change("/spec/size", 49).contains("spec.size: Invalid value: 49: spec.size in body should be less than or equal to 10"))
      #expect(try await change("/spec/kind", "other").contains("spec.kind: Unsupported value: \"other\""))
      // Rules about a change look at every change, and are never let off.
      #expect(try await change("/spec/note", "second").contains("spec.note: Invalid value: \"string\": a note stays"))
      // Items of a map list are the same by their keys: here the heavy one stays, and others come, go and change places.
      #expect(try await change("/spec/parts", [["name": "c", "weight": 2], ["name": "a", "weight": 9]]) == "")
      #expect(
        try await change("/spec/parts", [["name": "a", "weight": 8]]).contains("spec.parts[0]: Invalid value: \"object\": too heavy"))
      #expect(
        try await change("/spec/parts", [["name": "d", "weight": 9]]).contains("spec.parts[0]: Invalid value: \"object\": too heavy"))
      // Items of other lists are not: a changed list is looked at as a whole.
      let loose = try await change("/spec/loose", ["long one", "x"])
      #expect(loose.contains("spec.loose[0]: Too long") && !loose.contains("spec.loose[1]"))
      #expect(try await change("/spec/size", 7) == "")
      let status = try await ask(.PATCH, Self.boxes + "/old/status", ["status": ["phase": "longer yet"]], "application/merge-patch+json")
      #expect(status.0 == 422 && status.1.contains("status.phase: Too long"))
    }
  }

  /// `optionalOldSelf`: a rule that lets old objects off by itself, and still sees new ones.
  @Test func anOptionalOldSelfLetsOldObjectsOff() async throws {
    try await withBoxes { ask in
      let small: JSON = ["size": 7, "kind": "round"]
      let made = try await ask(.POST, Self.boxes, ["metadata": ["name": "new"], "spec": small], "application/json")
      #expect(made.0 == 422 && made.1.contains("spec: Invalid value: \"object\": new ones are small"), "\(made)")
      let old = try await ask(.PATCH, Self.boxes + "/old", ["spec": ["size": 7]], "application/merge-patch+json")
      #expect(old.0 == 200, "\(old.1)")
    }
  }
}
