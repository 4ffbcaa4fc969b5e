import JSONCodec
import KubernetesAPI
import Testing

@testable import APIMachinery

@Suite struct CustomApplyTests {
  let now = Timestamp(nanosecondsSinceEpoch: 1_700_000_000_000_000_000)

  private func apply(_ live: JSON?, _ spec: JSON, by manager: String, force: Bool = false) throws -> JSON {
    try serverSideApply(
      live: live, applied: cronTab(spec), manager: manager, force: force, type: cronTabs.type, apiVersion: "stable.example.com/v1", now: now
    )
  }

  private func owned(_ object: JSON, by manager: String) -> JSON {
    object["metadata"]["managedFields"].items.first { $0["manager"].string == manager }?["fieldsV1"] ?? .null
  }

  @Test func listsWithKeysAreMergedAndTheirDefaultsCount() throws {
    let first = try apply(nil, ["ports": [["port": 80, "name": "a"]]], by: "one")
    let both = try apply(first, ["ports": [["port": 81, "protocol": "UDP"]]], by: "two")
    #expect(both["spec"]["ports"].items.count == 2)
    #expect(owned(both, by: "one")["f:spec"]["f:ports"][#"k:{"port":80,"protocol":"TCP"}"#]["f:name"] == [:])
    #expect(owned(both, by: "two")["f:spec"]["f:ports"][#"k:{"port":81,"protocol":"UDP"}"#].object != nil)
    let gone = try apply(both, ["ports": []], by: "one")
    #expect(gone["spec"]["ports"] == [["port": 81, "protocol": "UDP"]])
  }

  @Test func setsAtomicMapsAndConflicts() throws {
    let first = try apply(nil, ["tags": ["a"], "selector": ["x": "1"], "replicas": 1], by: "one")
    let tags = try apply(first, ["tags": ["b"]], by: "two")
    #expect(tags["spec"]["tags"] == ["a", "b"])
    #expect(owned(tags, by: "one")["f:spec"]["f:selector"] == [:])
    let conflict = #expect(throws: ApplyError.self) { try apply(tags, ["selector": ["y": "2"], "replicas": 2], by: "two") }
    guard case .conflict(let found) = conflict else {
      Issue.record("no conflict: \(String(describing: conflict))")
      return
    }
    #expect(found.causes.map(\.field) == [".spec.replicas", ".spec.selector"])
    #expect(try apply(tags, ["selector": ["y": "2"]], by: "two", force: true)["spec"]["selector"] == ["y": "2"])
  }

  @Test func unknownFieldsAndFreeOnes() throws {
    #expect(
      throws: ApplyError.mismatch(
        "failed to create typed patch object (n/a; stable.example.com/v1, Kind=CronTab): .spec.nope: field not declared in schema")
    ) {
      try apply(nil, ["nope": 1], by: "one")
    }
    let free = try apply(nil, ["free": ["deep": ["er": 1]]], by: "one")
    #expect(owned(free, by: "one")["f:spec"]["f:free"]["f:deep"]["f:er"] == [:])
  }

  @Test func updatesAreNotedByTheSchema() {
    var object = cronTab(["ports": [["port": 80, "protocol": "TCP"]], "selector": ["x": "1"]], ["labels": ["l": "m"]])
    updateManagedFields(
      old: nil, new: &object, manager: "kubectl", subresource: nil, type: cronTabs.type, apiVersion: "stable.example.com/v1", now: now)
    let fields = owned(object, by: "kubectl")
    #expect(fields["f:spec"]["f:selector"] == [:] && fields["f:metadata"]["f:labels"]["f:l"] == [:])
    #expect(fields["f:spec"]["f:ports"][#"k:{"port":80,"protocol":"TCP"}"#]["f:port"] == [:])
  }

  @Test func statusBelongsToItsEndpoint() throws {
    var applied = cronTab(["replicas": 1])
    applied["status"] = ["replicas": 5]
    let result = try serverSideApply(
      live: nil, applied: applied, manager: "one", force: false, type: cronTabs.type, apiVersion: "stable.example.com/v1", now: now)
    #expect(owned(result, by: "one")["f:status"].isNull && owned(result, by: "one")["f:spec"]["f:replicas"] == [:])
  }
}

@Suite struct CustomOpenAPITests {
  let documents = OpenAPIDocuments(registry: cronTabRegistry, version: "v1.36.0")
  let name = "com.example.stable.v1.CronTab"

  @Test func versionThreeShowsTheSchema() throws {
    let document = try JSON.parse(try #require(documents.openAPIV3Document(group: "stable.example.com", version: "v1")).bytes)
    let schemas = document["components"]["schemas"]
    let schema = schemas[name]
    #expect(schema["x-kubernetes-group-version-kind"] == [["group": "stable.example.com", "version": "v1", "kind": "CronTab"]])
    let metadata = schema["properties"]["metadata"]
    #expect(metadata["allOf"] == [["$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]])
    // What the conformance tests look for in the output of kubectl explain.
    #expect(metadata["description"].string?.hasPrefix("Standard object's metadata") == true)
    #expect(schema["properties"]["apiVersion"]["description"].string?.hasPrefix("APIVersion defines") == true)
    let meta = schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["creationTimestamp"]
    #expect(meta["description"].string?.hasPrefix("CreationTimestamp is a timestamp") == true)
    #expect(meta["allOf"][0]["$ref"] == "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Time")
    #expect(schema["properties"]["spec"]["properties"]["ports"]["x-kubernetes-list-map-keys"] == ["port", "protocol"])
    #expect(schema["properties"]["spec"]["properties"]["template"]["properties"]["kind"]["type"] == "string")
    #expect(schemas[name + "List"]["properties"]["items"]["items"]["$ref"] == .string("#/components/schemas/" + name))
    let patch = document["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}"]["patch"]
    #expect(
      patch["requestBody"]["content"].object?.keys == [
        "application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml",
      ])
    #expect(patch["parameters"].items.contains { $0["name"] == "fieldValidation" })
    #expect(document["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/scale"]["put"].object != nil)
    #expect(schemas["io.k8s.api.autoscaling.v1.Scale"].object != nil)
  }

  private func version2(_ schema: JSON) throws -> JSON {
    let registry = SchemaRegistry.shared.adding([definition(versions: [version(schema: schema)])])
    let document = try JSON.parse(OpenAPIDocuments(registry: registry, version: "v1.36.0").openAPIV2Document().bytes)
    return document["definitions"][name]
  }

  /// The definition without what the server adds is the schema of the CustomResourceDefinition.
  @Test func versionTwoEqualsTheSchema() throws {
    let schema: JSON = [
      "description": "Foo CRD for Testing", "type": "object",
      "properties": [
        "spec": [
          "type": "object",
          "properties": [
            "bars": [
              "type": "array",
              "items": ["type": "object", "required": ["name"], "properties": ["name": ["type": "string", "enum": ["a", "b"]]]],
            ]
          ],
        ]
      ],
    ]
    var published = try version2(schema)
    for name in ["apiVersion", "kind", "metadata"] {
      #expect(!published["properties"][name].isNull)
      published["properties"][name] = .null
    }
    published["x-kubernetes-group-version-kind"] = .null
    #expect(published == schema)
  }

  @Test func unknownFieldsKeepVersionTwoOpen() throws {
    let root = try version2([
      "description": "anything", "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": ["spec": ["type": "object"]],
    ])
    #expect(root.object?.keys.sorted() == ["type", "x-kubernetes-group-version-kind"] && root["type"] == "object")
    let nested = try version2([
      "type": "object",
      "properties": [
        "spec": ["type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": ["dummy": ["type": "string"]]],
        "maybe": ["type": "string", "nullable": true],
        "either": ["x-kubernetes-int-or-string": true, "anyOf": [["type": "integer"], ["type": "string"]]],
      ],
    ])
    #expect(nested["properties"]["spec"] == ["x-kubernetes-preserve-unknown-fields": true])
    #expect(nested["properties"]["maybe"] == [:] && nested["properties"]["either"] == ["x-kubernetes-int-or-string": true])
  }

  @Test func documentsOfUnchangedGroupsAreKept() throws {
    let before = try #require(documents.openAPIV3Document(group: "apps", version: "v1"))
    let index = try JSON.parse(documents.openAPIV3Index().bytes)["paths"]
    let next = documents.following(cronTabRegistry.adding([]))
    #expect(next.openAPIV3Document(group: "apps", version: "v1")?.hash == before.hash)
    #expect(next.openAPIV3Document(group: "stable.example.com", version: "v1") == nil)
    let after = try JSON.parse(next.openAPIV3Index().bytes)["paths"]
    #expect(
      after["apis/apps/v1"] == index["apis/apps/v1"] && after["apis/stable.example.com/v1"].isNull
        && !index["apis/stable.example.com/v1"].isNull)
  }

  @Test func discoveryShowsTheResource() throws {
    let discovery = DiscoveryDocuments(registry: cronTabRegistry)
    let group = try #require(
      discovery.aggregated(core: false, as: .v2)["items"].items.first { $0["metadata"]["name"] == "stable.example.com" })
    let resource = group["versions"][0]["resources"][0]
    #expect(resource["resource"] == "crontabs" && resource["singularResource"] == "crontab" && resource["shortNames"] == ["ct"])
    #expect(resource["subresources"].items.map { $0["subresource"] } == ["scale", "status"])
    let list = try #require(discovery.apiResourceList(group: "stable.example.com", version: "v1"))
    #expect(list["resources"].items.contains { $0["name"] == "crontabs/scale" && $0["group"] == "autoscaling" && $0["kind"] == "Scale" })
  }
}
