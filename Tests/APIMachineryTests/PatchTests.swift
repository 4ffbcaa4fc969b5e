import JSONCodec
import Testing

@testable import APIMachinery

private func json(_ text: String) throws -> JSON { try JSON.parse(text) }
private func type(_ name: String) throws -> SchemaType { try #require(SchemaRegistry.shared.type(name)) }

@Suite struct MergePatchTests {
  /// The examples of RFC 7386, appendix A.
  static let cases: [(original: String, patch: String, expected: String)] = [
    (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
    (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
    (#"{"a":"b"}"#, #"{"a":null}"#, #"{}"#),
    (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#),
    (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
    (#"{"a":"c"}"#, #"{"a":["b"]}"#, #"{"a":["b"]}"#),
    (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
    (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#),
    (#"["a","b"]"#, #"["c","d"]"#, #"["c","d"]"#),
    (#"{"a":"b"}"#, #"["c"]"#, #"["c"]"#),
    (#"{"a":"foo"}"#, #"null"#, #"null"#),
    (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#),
    (#"[1,2]"#, #"{"a":"b","c":null}"#, #"{"a":"b"}"#),
    (#"{}"#, #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
  ]

  @Test(arguments: cases) func rfc7386(_ example: (original: String, patch: String, expected: String)) throws {
    #expect(try jsonMergePatch(original: json(example.original), patch: json(example.patch)) == json(example.expected))
  }
}

@Suite struct JSONPatchTests {
  static let cases: [(document: String, patch: String, expected: String)] = [
    (#"{"a":1}"#, #"[{"op":"add","path":"/b","value":2}]"#, #"{"a":1,"b":2}"#),
    (#"{"a":[1,3]}"#, #"[{"op":"add","path":"/a/1","value":2}]"#, #"{"a":[1,2,3]}"#),
    (#"{"a":[1]}"#, #"[{"op":"add","path":"/a/-","value":2}]"#, #"{"a":[1,2]}"#),
    (#"{"a":{"b":1,"c":2}}"#, #"[{"op":"remove","path":"/a/b"}]"#, #"{"a":{"c":2}}"#),
    (#"{"a":1}"#, #"[{"op":"replace","path":"/a","value":null}]"#, #"{"a":null}"#),
    (#"{"a":{"b":1}}"#, #"[{"op":"move","from":"/a/b","path":"/c"}]"#, #"{"a":{},"c":1}"#),
    (#"{"a":{"b":1}}"#, #"[{"op":"copy","from":"/a","path":"/c"}]"#, #"{"a":{"b":1},"c":{"b":1}}"#),
    (#"{"a/b":1,"m~n":2}"#, #"[{"op":"test","path":"/a~1b","value":1},{"op":"remove","path":"/m~0n"}]"#, #"{"a/b":1}"#),
    (#"{"~1":1}"#, #"[{"op":"remove","path":"/~01"}]"#, #"{}"#),
    (#"{"a":1}"#, #"[{"op":"test","path":"/b","value":null}]"#, #"{"a":1}"#),
    (#"{"a":1}"#, #"[{"op":"replace","path":"","value":[1]}]"#, #"[1]"#),
    (
      // kubectl apply --server-side hands client-side apply's fields over like this.
      #"{"metadata":{"resourceVersion":"7","managedFields":[{"manager":"kubectl-client-side-apply"}]}}"#,
      #"[{"op":"replace","path":"/metadata/managedFields","value":[{"manager":"kubectl"}]},{"op":"replace","path":"/metadata/resourceVersion","value":"7"}]"#,
      #"{"metadata":{"resourceVersion":"7","managedFields":[{"manager":"kubectl"}]}}"#
    ),
  ]

  @Test(arguments: cases) func applies(_ example: (document: String, patch: String, expected: String)) throws {
    #expect(try jsonPatch(original: json(example.document), patch: json(example.patch)).text() == example.expected)
  }

  static let failures: [(document: String, patch: String, message: String)] = [
    (#"{"a":1}"#, #"[{"op":"test","path":"/a","value":2}]"#, "testing value /a failed: test failed"),
    (
      #"{"a":1}"#, #"[{"op":"remove","path":"/b"}]"#,
      "error in remove for path: '/b': Unable to remove nonexistent key: b: missing value"
    ),
    (
      #"{"a":1}"#, #"[{"op":"remove","path":"/b/c"}]"#,
      #"remove operation does not apply: doc is missing path: "/b/c": missing value"#
    ),
    (#"{"a":1}"#, #"[{"op":"add","path":"/b/c","value":1}]"#, #"add operation does not apply: doc is missing path: "/b/c": missing value"#),
    (#"{"a":1}"#, #"[{"op":"replace","path":"/b","value":1}]"#, "replace operation does not apply: doc is missing key: /b: missing value"),
    (
      #"{"a":[1]}"#, #"[{"op":"add","path":"/a/3","value":1}]"#,
      "error in add for path: '/a/3': Unable to access invalid index: 3: invalid index referenced"
    ),
    (
      #"{"a":[1]}"#, #"[{"op":"add","path":"/a/01","value":1}]"#,
      "error in add for path: '/a/01': value was not a proper array index: '01'"
    ),
    (#"{"a":1}"#, #"[{"op":"frob","path":"/a"}]"#, "Unexpected kind: frob"),
    (#"{"a":1}"#, #"{"op":"add"}"#, "json patch must be a list of operations"),
  ]

  @Test(arguments: failures) func fails(_ example: (document: String, patch: String, message: String)) throws {
    let document = try json(example.document)
    let patch = try json(example.patch)
    #expect { try jsonPatch(original: document, patch: patch) } throws: { ($0 as? PatchError)?.message == example.message }
  }

  /// A patch of a few lines must not make a document of gigabytes, or one too deep to walk.
  @Test func copiesAndDepthAreBounded() throws {
    let doubling = JSON.array(Array(repeating: ["op": "copy", "from": "/a", "path": "/a/-"], count: 60))
    #expect { try jsonPatch(original: ["a": [["x": "0123456789"]]], patch: doubling) } throws: {
      ($0 as? PatchError)?.kind == .tooLarge
    }
    var path = ""
    var steps: [JSON] = []
    for _ in 0..<600 {
      path += "/a"
      steps.append(["op": "add", "path": .string(path), "value": [:]])
    }
    #expect { try jsonPatch(original: [:], patch: .array(steps)) } throws: { ($0 as? PatchError)?.kind == .notApplicable }
    #expect(throws: Never.self) { try jsonPatch(original: [:], patch: .array(Array(steps.prefix(300)))) }
  }

  @Test func tooManyOperations() throws {
    let patch = JSON.array(Array(repeating: ["op": "test", "path": "/a", "value": 1], count: jsonPatchOperationsMax + 1))
    #expect { try jsonPatch(original: ["a": 1], patch: patch) } throws: { ($0 as? PatchError)?.kind == .tooLarge }
  }
}

@Suite struct StrategicMergeTests {
  struct Example: Sendable {
    let what: String
    var type = "core/v1.PodSpec"
    let original: String
    let patch: String
    let expected: String
  }

  static let lists: [Example] = [
    Example(
      what: "an item is merged by its key",
      original: #"{"containers":[{"name":"a","image":"x","tty":true},{"name":"b"}]}"#,
      patch: #"{"containers":[{"name":"a","image":"y"}]}"#,
      expected: #"{"containers":[{"name":"a","image":"y","tty":true},{"name":"b"}]}"#),
    Example(
      what: "a new item stands before those the patch does not name",
      original: #"{"containers":[{"name":"a"}]}"#, patch: #"{"containers":[{"name":"b"}]}"#,
      expected: #"{"containers":[{"name":"b"},{"name":"a"}]}"#),
    Example(
      what: "$patch delete takes an item away",
      original: #"{"containers":[{"name":"a"},{"name":"b"}]}"#, patch: #"{"containers":[{"name":"a","$patch":"delete"}]}"#,
      expected: #"{"containers":[{"name":"b"}]}"#),
    Example(
      what: "$patch replace in a list replaces it",
      original: #"{"containers":[{"name":"a"},{"name":"b"}]}"#,
      patch: #"{"containers":[{"$patch":"replace"},{"name":"c","image":null}]}"#,
      expected: #"{"containers":[{"name":"c"}]}"#),
    Example(
      what: "deleting what is not there changes nothing and stores nothing",
      original: #"{}"#, patch: #"{"containers":[{"name":"a","$patch":"delete"},{"name":"b"}]}"#,
      expected: #"{"containers":[{"name":"b"}]}"#),
    Example(
      what: "an atomic list is replaced",
      original: #"{"tolerations":[{"key":"a"},{"key":"b"}]}"#, patch: #"{"tolerations":[{"key":"c"}]}"#,
      expected: #"{"tolerations":[{"key":"c"}]}"#),
    Example(
      what: "ports are merged by containerPort",
      type: "core/v1.Container",
      original: #"{"ports":[{"containerPort":80,"name":"http"},{"containerPort":443}]}"#,
      patch: #"{"ports":[{"containerPort":443,"name":"https"}]}"#,
      expected: #"{"ports":[{"containerPort":80,"name":"http"},{"containerPort":443,"name":"https"}]}"#),
    Example(
      what: "null removes the whole list",
      original: #"{"containers":[{"name":"a"}],"hostname":"h"}"#, patch: #"{"containers":null}"#, expected: #"{"hostname":"h"}"#),
  ]

  static let scalars: [Example] = [
    Example(
      what: "finalizers are merged without doubles", type: "meta/v1.ObjectMeta",
      original: #"{"finalizers":["a","b"]}"#, patch: #"{"finalizers":["b","c"]}"#, expected: #"{"finalizers":["a","b","c"]}"#),
    Example(
      what: "$deleteFromPrimitiveList takes scalars away", type: "meta/v1.ObjectMeta",
      original: #"{"finalizers":["a","b","c"]}"#, patch: #"{"$deleteFromPrimitiveList/finalizers":["b","z"]}"#,
      expected: #"{"finalizers":["a","c"]}"#),
    Example(
      what: "delete, add and order together", type: "meta/v1.ObjectMeta",
      original: #"{"finalizers":["a","b"]}"#,
      patch:
        ##"{"$deleteFromPrimitiveList/finalizers":["a"],"$setElementOrder/finalizers":["c","b"],"finalizers":["c"]}"##,
      expected: #"{"finalizers":["c","b"]}"#),
    Example(
      what: "deleting from a list that is not there", type: "meta/v1.ObjectMeta",
      original: #"{"name":"x"}"#, patch: #"{"$deleteFromPrimitiveList/finalizers":["a"]}"#, expected: #"{"name":"x"}"#),
  ]

  static let objects: [Example] = [
    Example(
      what: "maps are merged, null deletes", type: "meta/v1.ObjectMeta",
      original: #"{"labels":{"a":"1","b":"2"}}"#, patch: #"{"labels":{"a":null,"c":"3"}}"#,
      expected: #"{"labels":{"b":"2","c":"3"}}"#),
    Example(
      what: "$patch replace in an object", original: #"{"securityContext":{"runAsUser":1,"fsGroup":2}}"#,
      patch: #"{"securityContext":{"$patch":"replace","runAsUser":3}}"#, expected: #"{"securityContext":{"runAsUser":3}}"#),
    Example(
      what: "$patch delete in an object", original: #"{"securityContext":{"runAsUser":1}}"#,
      patch: #"{"securityContext":{"$patch":"delete"}}"#, expected: #"{"securityContext":{}}"#),
    Example(
      what: "$retainKeys drops what it does not name", type: "apps/v1.DeploymentSpec",
      original: #"{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}"#,
      patch: #"{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}"#, expected: #"{"strategy":{"type":"Recreate"}}"#),
    Example(
      what: "a volume that changes its kind",
      original: #"{"volumes":[{"name":"v","emptyDir":{}},{"name":"w","hostPath":{"path":"/"}}]}"#,
      patch:
        ##"{"$setElementOrder/volumes":[{"name":"v"},{"name":"w"}],"volumes":[{"$retainKeys":["name","configMap"],"name":"v","configMap":{"name":"c"},"emptyDir":null}]}"##,
      expected: #"{"volumes":[{"name":"v","configMap":{"name":"c"}},{"name":"w","hostPath":{"path":"/"}}]}"#),
    Example(
      what: "a value of another kind is replaced, without nulls", original: #"{"securityContext":1}"#,
      patch: #"{"securityContext":{"runAsUser":null,"fsGroup":2}}"#, expected: #"{"securityContext":{"fsGroup":2}}"#),
  ]

  static let order: [Example] = [
    Example(
      what: "$setElementOrder reorders; b stays before c, as the server has it",
      original: #"{"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]}"#,
      patch: ##"{"$setElementOrder/containers":[{"name":"c"},{"name":"a"}]}"##,
      expected: #"{"containers":[{"name":"b"},{"name":"c"},{"name":"a"}]}"#),
    Example(
      what: "items that only the server knows keep their place",
      original: #"{"containers":[{"name":"sidecar"},{"name":"a"},{"name":"b"}]}"#,
      patch: ##"{"$setElementOrder/containers":[{"name":"b"},{"name":"new"}],"containers":[{"name":"new","image":"i"}]}"##,
      expected: #"{"containers":[{"name":"sidecar"},{"name":"a"},{"name":"b"},{"name":"new","image":"i"}]}"#),
    Example(
      what: "a list that is new", original: #"{}"#,
      patch: ##"{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"a","$retainKeys":["name"]}]}"##,
      expected: #"{"containers":[{"name":"a"}]}"#),
    Example(
      what: "nothing to order", original: #"{"hostname":"h"}"#,
      patch: ##"{"$setElementOrder/containers":[{"name":"a"}]}"##, expected: #"{"hostname":"h"}"#),
  ]

  @Test(arguments: lists + scalars + objects + order) func merges(_ example: Example) throws {
    let merged = try strategicMerge(original: json(example.original), patch: json(example.patch), type: type(example.type))
    #expect(merged == (try json(example.expected)), "\(example.what): \(merged.text())")
  }

  /// What `kubectl apply` sends when image, environment and replicas of a deployment change.
  @Test func kubectlApplyOfADeployment() throws {
    let live = try json(
      ##"""
      {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"old\n","deployment.kubernetes.io/revision":"1"}},
       "spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},
        "spec":{"containers":[{"name":"web","image":"nginx:1","imagePullPolicy":"IfNotPresent","env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],"ports":[{"containerPort":80,"protocol":"TCP"}]}],"restartPolicy":"Always"}}}}
      """##)
    let patch = try json(
      ##"""
      {"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"new\n"}},
       "spec":{"replicas":3,"template":{"spec":{"$setElementOrder/containers":[{"name":"web"}],
        "containers":[{"$setElementOrder/env":[{"name":"C"},{"name":"A"}],"env":[{"name":"C","value":"3"},{"$patch":"delete","name":"B"}],"image":"nginx:2","name":"web"}]}}}}
      """##)
    let merged = try strategicMerge(original: live, patch: patch, type: type("apps/v1.Deployment"))
    let container = merged.at("spec", "template", "spec", "containers")[0]
    #expect(container["image"] == "nginx:2")
    #expect(container["env"].text() == #"[{"name":"C","value":"3"},{"name":"A","value":"1"}]"#)
    #expect(container["imagePullPolicy"] == "IfNotPresent")
    #expect(merged.at("spec", "replicas") == 3)
    #expect(merged.at("metadata", "annotations").object?.count == 2)
  }

  static let failures: [(type: String, patch: String, message: String)] = [
    ("core/v1.PodSpec", #"{"containers":[{"image":"x"}]}"#, #"map: {"image":"x"} does not contain declared merge key: name"#),
    ("core/v1.PodSpec", #"{"$patch":"frob"}"#, "unknown patch type: frob in map"),
    ("core/v1.PodSpec", ##"{"$retainKeys":["a"],"hostname":"x"}"##, "invalid patch format of $retainKeys"),
    ("core/v1.PodSpec", ##"{"$setElementOrder/containers":{"name":"a"}}"##, "invalid patch format of setElementOrder list"),
    ("core/v1.PodSpec", #"{"containers":[{"name":"a","$patch":"merge"}]}"#, "merging lists cannot yet be specified in the patch"),
    ("core/v1.PodSpec", #"[]"#, "strategic merge patch must be an object"),
    (
      "core/v1.PodSpec", ##"{"$setElementOrder/containers":[{"name":"a"},{"name":"b"}],"containers":[{"name":"b"},{"name":"a"}]}"##,
      "The order in patch list:\n[{\"name\":\"b\"},{\"name\":\"a\"}]\n doesn't match $setElementOrder list:\n[{\"name\":\"a\"},{\"name\":\"b\"}]\n"
    ),
  ]

  @Test(arguments: failures) func refuses(_ example: (type: String, patch: String, message: String)) throws {
    let original = try json(#"{"containers":[{"name":"a"}]}"#)
    let patch = try json(example.patch)
    let type = try type(example.type)
    #expect { try strategicMerge(original: original, patch: patch, type: type) } throws: {
      ($0 as? PatchError)?.message == example.message
    }
  }
}
