import JSONCodec
import Testing

@testable import APIMachinery

@Suite struct FieldSetApplyTests {
  static let documents = [
    #"{"f:spec":{"f:replicas":{}}}"#,
    #"{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}"#,
    ##"{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}"##,
    ##"{"f:metadata":{"f:finalizers":{"v:\"kubernetes\"":{}}}}"##,
    #"{"f:list":{"i:0":{},"i:10":{}}}"#,
  ]

  @Test(arguments: documents) func readsAndWrites(_ text: String) throws {
    let set = try #require(FieldSet(fieldsV1: JSON.parse(text)))
    #expect(set.fieldsV1.text() == text)
  }

  @Test(arguments: ["[]", #"{"x:a":{}}"#, #"{"f:a":1}"#, #"{"k:[]":{}}"#, #"{"i:x":{}}"#]) func refuses(_ text: String) throws {
    #expect(try FieldSet(fieldsV1: JSON.parse(text)) == nil)
  }

  @Test func keysCompareWhateverTheirOrder() throws {
    let a = try #require(PathElement(#"k:{"protocol":"TCP", "containerPort":80}"#))
    #expect(a == PathElement(#"k:{"containerPort":80,"protocol":"TCP"}"#))
    #expect(a.pathText == #"[containerPort=80,protocol="TCP"]"#)
    #expect(PathElement(#"v:"x""#)?.pathText == #"[="x"]"#)
  }

  private func set(_ text: String) throws -> FieldSet { try #require(FieldSet(fieldsV1: JSON.parse(text))) }

  @Test func algebra() throws {
    let a = try set(#"{"f:a":{".":{},"f:b":{}},"f:c":{}}"#)
    let b = try set(#"{"f:a":{"f:b":{}},"f:d":{}}"#)
    #expect(a.union(b) == (try set(#"{"f:a":{".":{},"f:b":{}},"f:c":{},"f:d":{}}"#)))
    #expect(a.intersection(b) == (try set(#"{"f:a":{"f:b":{}}}"#)))
    #expect(a.subtracting(b) == (try set(#"{"f:a":{},"f:c":{}}"#)))
    #expect(a.subtracting(try set(#"{"f:a":{}}"#)) == (try set(#"{"f:a":{"f:b":{}},"f:c":{}}"#)))
    #expect(a.subtractingRecursively(try set(#"{"f:a":{}}"#)) == (try set(#"{"f:c":{}}"#)))
    #expect(a.subtracting(a).isEmpty)
    #expect(a.paths == [".a", ".a.b", ".c"])
  }

  @Test func fieldsOfAConfiguration() throws {
    let type = try #require(SchemaRegistry.shared.type("core/v1.Pod"))
    let pod = try JSON.parse(
      #"""
      {"metadata":{"labels":{"a":"1"},"finalizers":["x/y"],"annotations":{}},
       "spec":{"nodeSelector":{"d":"ssd"},"tolerations":[{"key":"k"}],"securityContext":{},
         "containers":[{"name":"c","resources":{"limits":{"cpu":"1"}},"ports":[{"containerPort":80}],"args":["x"]}]}}
      """#)
    #expect(
      FieldSet(of: pod, FieldShape(type)).fieldsV1
        == (try JSON.parse(
          ##"""
          {"f:metadata":{"f:annotations":{},"f:finalizers":{"v:\"x/y\"":{}},"f:labels":{"f:a":{}}},
           "f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:name":{},
               "f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},
               "f:resources":{"f:limits":{"f:cpu":{}}}}},
             "f:nodeSelector":{},"f:securityContext":{},"f:tolerations":{}}}
          """##)))
  }
}
