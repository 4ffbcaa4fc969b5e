import APIMachinery
import JSONCodec
import Testing

@testable import APIServer

@Suite struct NegotiationTests {
  @Test(
    arguments: [
      ("", AnswerForm()), ("*/*", AnswerForm(clause: "*/*")), ("text/html", nil), ("application/json;as=Pie;g=meta.k8s.io;v=v1", nil),
      (
        "application/vnd.kubernetes.protobuf,application/json",
        AnswerForm(encoding: .protobuf, clause: "application/vnd.kubernetes.protobuf")
      ),
      ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", AnswerForm()),
      ("text/html, application/yaml", AnswerForm(encoding: .yaml, clause: "application/yaml")),
      (
        "application/json;as=Table;v=v1;g=meta.k8s.io, application/json",
        AnswerForm(rendering: .table(version: .v1, include: .metadata), clause: "application/json;as=Table;v=v1;g=meta.k8s.io")
      ),
      // A table has no message.
      (
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
        AnswerForm(clause: "application/json")
      ),
      (
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        AnswerForm(
          rendering: .partial(version: .v1), encoding: .protobuf,
          clause: "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
      ),
    ] as [(String, AnswerForm?)])
  func theFirstClauseThatThereIs(_ accept: String, _ form: AnswerForm?) {
    #expect(AnswerForm.negotiate(accept, hasMessages: true) == form)
  }

  @Test func customResourcesHaveNoMessages() {
    #expect(AnswerForm.negotiate("application/vnd.kubernetes.protobuf,application/json", hasMessages: false)?.encoding == .json)
    #expect(AnswerForm.negotiate("application/vnd.kubernetes.protobuf", hasMessages: false) == nil)
  }

  @Test func aggregatedDiscovery() {
    let asked = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    #expect(AggregatedForm.negotiate(asked)?.version == .v2)
    #expect(AggregatedForm.negotiate("application/json") == nil)
  }

  private let pod: JSON = [
    "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "p", "resourceVersion": "7"],
    "spec": ["containers": [["name": "c", "image": "i"]]],
  ]

  @Test func objectsAndListsAsMessages() throws {
    let (type, bytes) = try Encoding.protobuf.encode(pod, .shared)
    #expect(type == "application/vnd.kubernetes.protobuf")
    let back = try decodeProtobuf(bytes)
    #expect(back["metadata"]["name"].string == "p" && back["spec"]["containers"][0]["image"].string == "i")
    let list: JSON = ["kind": "PodList", "apiVersion": "v1", "metadata": ["resourceVersion": "9"], "items": [pod, pod]]
    let listBack = try decodeProtobuf(try Encoding.protobuf.encode(list, .shared).bytes)
    #expect(listBack["items"].array?.count == 2 && listBack["metadata"]["resourceVersion"].string == "9")
    // What is no message goes as JSON.
    #expect(try Encoding.protobuf.encode(["kind": "Own", "apiVersion": "x.org/v1"], .shared).type == "application/json")
  }

  @Test func framesOfAWatch() throws {
    var out: [UInt8] = []
    try Encoding.protobufFrame(kind: "ADDED", object: pod, .shared, into: &out)
    let length = out[..<4].reduce(0) { $0 << 8 | Int($1) }
    #expect(length == out.count - 4)
    // Field 1, the type; field 2, an extension whose field 1 is the enveloped object.
    #expect(Array(out[4..<11]) == [0x0A, 5] + Array("ADDED".utf8))
    #expect(out[11] == 0x12)
    let start = out.firstRange(of: Array("k8s\0".utf8))?.lowerBound
    #expect(try decodeProtobuf(Array(out[try #require(start)...]))["metadata"]["name"].string == "p")
  }

  @Test func yamlReadsBack() throws {
    let object: JSON = [
      "kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": "yes", "labels": ["a": "true", "b": "1", "c": "", "d": "null"]],
      "data": ["text": "line one\nline two: \"quoted\"\n"], "items": [1, 2.5, true, .null, "1e3"],
    ]
    let text = try YAMLDocument.text(object)
    #expect(try YAMLDocument.parse(text) == object, "\(text)")
  }
}
