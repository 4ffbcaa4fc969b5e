import JSONCodec
import Testing

@testable import APIMachinery

@Suite struct PruningTests {
  let pod = SchemaRegistry.shared.type("core/v1.Pod")!

  /// Document, paths of unknown fields.
  @Test(
    arguments: [
      (#"{"spec":{"foo":1}}"#, ["spec.foo"]),
      (#"{"spec":{"containers":[{"name":"a","foo":1},{"bar":{"x":1}}]}}"#, ["spec.containers[0].foo", "spec.containers[1].bar"]),
      (#"{"foo":null,"metadata":{"labels":{"anything":"goes"}}}"#, ["foo"]),
      (#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1"},"limit":{}}}]}}"#, ["spec.containers[0].resources.limit"]),
      (#"{"spec":{"volumes":[{"name":"v","emptyDir":{"size":1}}]}}"#, ["spec.volumes[0].emptyDir.size"]),
      (#"{"metadata":{"managedFields":[{"fieldsV1":{"f:spec":{"f:anything":{}}}}]}}"#, []),
    ] as [(String, [String])])
  func unknownFieldsAreFoundAndTakenOut(_ text: String, _ paths: [String]) throws {
    var object = try JSON.parse(text)
    #expect(try prune(&object, type: pod).map(\.path) == paths)
    #expect(try prune(&object, type: pod) == [])
  }

  @Test func unknownFieldsGiveUpstreamsText() throws {
    var object: JSON = ["kind": "Pod", "apiVersion": "v1", "spec": ["foo": 1, "bar": 2]]
    let unknown = try prune(&object, type: pod)
    #expect(
      strictDecodingMessage(kind: "Pod", version: "v1", unknown: unknown, duplicates: ["metadata.name"])
        == #"Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo", unknown field "spec.bar", duplicate field "metadata.name""#
    )
  }

  /// Document, what stays.
  @Test(arguments: [
    (
      #"{"spec":{"hostname":null,"hostNetwork":false,"volumes":[],"nodeSelector":{},"shareProcessNamespace":false}}"#,
      #"{"spec":{"shareProcessNamespace":false}}"#
    ),
    (#"{"spec":{"containers":[]}}"#, #"{"spec":{"containers":[]}}"#),
    (#"{"metadata":{"creationTimestamp":null,"annotations":{"a":null,"b":""}}}"#, #"{"metadata":{"annotations":{"a":"","b":""}}}"#),
    (#"{"metadata":{"creationTimestamp":"2020-01-01T01:00:00+01:00"}}"#, #"{"metadata":{"creationTimestamp":"2020-01-01T00:00:00Z"}}"#),
    (#"{"spec":{"overhead":{"cpu":"0.5","memory":"1024Mi","x/y":2}}}"#, #"{"spec":{"overhead":{"cpu":"500m","memory":"1Gi","x/y":"2"}}}"#),
    (#"{"spec":{"priority":1.0}}"#, #"{"spec":{"priority":1}}"#),
    (#"{"spec":{"securityContext":{}},"status":{}}"#, #"{"spec":{"securityContext":{}},"status":{}}"#),
    (#"{"spec":{"containers":[{"name":"","resources":{}}]}}"#, #"{"spec":{"containers":[{"name":"","resources":{}}]}}"#),
    (
      #"{"spec":{"containers":[{"livenessProbe":{"tcpSocket":{"port":"web"}}}]}}"#,
      #"{"spec":{"containers":[{"livenessProbe":{"tcpSocket":{"port":"web"}}}]}}"#
    ),
  ])
  func valuesAreBroughtIntoTheirForm(_ text: String, _ expected: String) throws {
    var object = try JSON.parse(text)
    _ = try prune(&object, type: pod)
    #expect(object.text() == expected)
  }

  @Test func anAppliedConfigurationKeepsWhatItSays() throws {
    var object: JSON = ["spec": ["hostNetwork": false, "volumes": []]]
    _ = try prune(&object, type: pod, keepsEmpty: true)
    #expect(object == ["spec": ["hostNetwork": false, "volumes": []]])
  }

  /// Document, text after `Pod in version "v1" cannot be handled as a Pod: `.
  @Test(arguments: [
    (#"{"spec":{"hostNetwork":"yes"}}"#, "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool"),
    (
      #"{"spec":{"containers":[{"env":[{"name":"A","value":1}]}]}}"#,
      "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string"
    ),
    (#"{"spec":[]}"#, "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
    (#"{"spec":{"containers":{}}}"#, "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
    (
      #"{"spec":{"terminationGracePeriodSeconds":"30"}}"#,
      "json: cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64"
    ),
    (#"{"spec":{"priority":1.5}}"#, "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
    (
      #"{"spec":{"priority":3000000000}}"#,
      "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32"
    ),
    (#"{"metadata":{"labels":{"a":true}}}"#, "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string"),
    (
      #"{"spec":{"overhead":{"cpu":"x"}}}"#,
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    ),
    (#""x""#, "json: cannot unmarshal string into Go value of type v1.Pod"),
  ])
  func wrongTypesGiveUpstreamsText(_ text: String, _ expected: String) throws {
    var object = try JSON.parse(text)
    #expect { try prune(&object, type: pod) } throws: {
      ($0 as? SchemaError)?.message == "Pod in version \"v1\" cannot be handled as a Pod: " + expected
    }
  }

  @Test func bytesMustBeBase64() throws {
    let secret = SchemaRegistry.shared.type("core/v1.Secret")!
    var good: JSON = ["data": ["a": "aGVsbG8="]]
    _ = try prune(&good, type: secret)
    var bad: JSON = ["data": ["a": "not base64!"]]
    #expect { try prune(&bad, type: secret) } throws: {
      ($0 as? SchemaError)?.message.hasSuffix("illegal base64 data at input byte 3") == true
    }
  }

  @Test(arguments: ["", "a", "ab", "abc", "abcd", "\u{0}\u{FF}x"])
  func base64GoesBothWays(_ text: String) {
    #expect(Base64.decode(Base64.encode(Array(text.utf8))) == Array(text.utf8))
  }

  @Test(arguments: ["a", "a=", "ab=c", "ab==c", "a===", "YQ", "YQ=", "YQ== ", "=YQ="])
  func brokenBase64IsRefused(_ text: String) { #expect(Base64.decode(text) == nil) }
}
