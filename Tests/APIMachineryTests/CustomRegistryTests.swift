import JSONCodec
import KubernetesAPI
import Testing

@testable import APIMachinery

@Suite struct CustomRegistryTests {
  let now = Timestamp(nanosecondsSinceEpoch: 1_700_000_000_000_000_000)

  @Test func resourcesOfDefinitionsAreFound() throws {
    #expect(cronTabs.kind == "CronTab" && cronTabs.singular == "crontab" && cronTabs.isNamespaced && cronTabs.shortNames == ["ct"])
    #expect(cronTabs.subresources.map(\.name) == ["scale", "status"])
    #expect(cronTabs.fieldSelectors == ["spec.image", "spec.replicas"])
    #expect(cronTabRegistry.kind(apiVersion: "stable.example.com/v1", kind: "CronTab") === cronTabs.type)
    #expect(cronTabRegistry.kind(apiVersion: "stable.example.com/v1", kind: "DeleteOptions")?.name == "meta/v1.DeleteOptions")
    #expect(cronTabRegistry.resource(group: "", version: "v1", plural: "pods") != nil)
    #expect(SchemaRegistry.shared.resource(group: "stable.example.com", version: "v1", plural: "crontabs") == nil)
    #expect(cronTabRegistry.adding([]).resource(group: "stable.example.com", version: "v1", plural: "crontabs") == nil)
  }

  @Test func onlyServedVersionsOfEstablishedDefinitionsAreThere() {
    let versions = [
      version("v1", storage: false, schema: cronTabSchema), version("v2", schema: cronTabSchema),
      version("v1beta1", storage: false, served: false, schema: cronTabSchema), version("v2alpha1", storage: false, schema: cronTabSchema),
    ]
    let registry = SchemaRegistry.shared.adding([
      definition(versions: versions),
      definition(group: "other.example.com", versions: [version(schema: cronTabSchema)], established: false),
    ])
    #expect(registry.customResources.map(\.version) == ["v2", "v1", "v2alpha1"])
    #expect(registry.customResources.allSatisfy { $0.custom?.storageVersion == "v2" })
    #expect(DiscoveryDocuments(registry: registry).apiGroup("stable.example.com")?["preferredVersion"]["version"] == "v2")
  }

  /// As upstream's discovery shows it for its own kinds.
  @Test func storageVersionsAreHashedAsUpstreamDoes() {
    #expect(StorageVersionHash.of(group: "apps", version: "v1", kind: "Deployment") == "8aSe+NMegvE=")
    #expect(StorageVersionHash.of(group: "batch", version: "v1", kind: "Job") == "mudhfqk/qZY=")
    let digest = StorageVersionHash.sha256(Array("abc".utf8)).map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }
    #expect(digest.joined() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  @Test func schemasOutliveChangesOfOtherDefinitions() {
    let mine = definition(versions: [version(schema: cronTabSchema)])
    let first = SchemaRegistry.shared.adding([mine])
    let schema = first.customResources.first!.custom!.schema
    let other = definition(group: "b.example.com", versions: [version(schema: cronTabSchema)], uid: "u2")
    let second = first.adding([mine, other])
    #expect(second.customResources.last!.custom!.schema === schema)
    var changed = mine
    changed["metadata"]["generation"] = 2
    #expect(second.adding([changed]).customResources.first!.custom!.schema !== schema)
    #expect(first.textHash("stable.example.com", "v1") == second.textHash("stable.example.com", "v1"))
    #expect(first.textHash("stable.example.com", "v1") != second.adding([changed]).textHash("stable.example.com", "v1"))
    #expect(first.textHash("apps", "v1") == second.textHash("apps", "v1"))
  }

  /// Debug builds on a busy machine get a wide margin.
  @Test func aThousandDefinitionsAreQuick() {
    let one = definition(versions: [version(schema: cronTabSchema, cronTabExtras)])
    let definitions = (0..<1_000).map { i in
      var copy = one
      copy["metadata"]["uid"] = .string("u\(i)")
      copy["metadata"]["resourceVersion"] = "1"
      copy["spec"]["group"] = .string("g\(i).example.com")
      return copy
    }
    let first = SchemaRegistry.shared.adding(definitions)
    let time = ContinuousClock().measure { #expect(first.adding(definitions).customResources.count == 1_000) }
    var changed = definitions
    changed[5]["metadata"]["resourceVersion"] = "2"
    changed[5]["status"]["conditions"] = .null
    #expect(first.adding(changed).customResources.count == 999)
    #expect(time < .seconds(1))
  }

  // MARK: what the generic functions make of them

  @Test func tablesShowTheColumns() {
    let object = cronTab(["cronSpec": "* * * * *", "replicas": 3], ["creationTimestamp": "2023-11-14T22:12:20Z"])
    let shown = table(resource: cronTabs, objects: [object], now: now)
    #expect(shown["columnDefinitions"].items.map { $0["name"] } == ["Name", "Spec", "Replicas", "Age"])
    #expect(shown["columnDefinitions"][1]["description"] == "The cron spec" && shown["columnDefinitions"][2]["priority"] == 1)
    #expect(shown["rows"][0]["cells"] == ["a", "* * * * *", 3, "60s"])
    let plain = SchemaRegistry.shared.adding([definition(versions: [version(schema: cronTabSchema)])]).customResources.first!
    let aged = table(resource: plain, objects: [object], now: now)
    #expect(aged["columnDefinitions"].items.map { $0["name"] } == ["Name", "Age"] && aged["columnDefinitions"][1]["type"] == "date")
    #expect(aged["rows"][0]["cells"] == ["a", "60s"])
  }

  @Test func columnPathsReachIntoLists() {
    let object: JSON = [
      "status": ["conditions": [["type": "Ready", "status": "True"], ["type": "Old", "status": "False"]]],
      "spec": ["ports": [["port": 80], ["port": 81]]], "metadata": ["labels": ["a.b/c": "x"]],
    ]
    func values(_ path: String) -> [JSON] { JSONPath(path)?.values(in: object) ?? ["no path"] }
    #expect(values(#".status.conditions[?(@.type=="Old")].status"#) == ["False"])
    #expect(values(".status.conditions[?(@.type=='Ready')].status") == ["True"])
    #expect(values(".spec.ports[*].port") == [80, 81] && values(".spec.ports[-1].port") == [81] && values(".spec.ports[0:1].port") == [80])
    #expect(values(#".metadata.labels.a\.b/c"#) == ["x"] && values(".metadata.labels['a.b/c']") == ["x"])
    #expect(values("..port") == [80, 81] && values(".spec.ports[?(@.port>80)].port") == [81] && values(".none.at.all").isEmpty)
    #expect(JSONPath(".a[") == nil && JSONPath(".a[?(@.b==)]") == nil)
  }

  @Test func selectorsSeeScalarsOfAnyKind() {
    let values = fieldSelectorValues(resource: cronTabs, object: cronTab(["image": "nginx", "replicas": 3]))
    #expect(values == ["metadata.name": "a", "metadata.namespace": "n", "spec.image": "nginx", "spec.replicas": "3"])
    #expect(isSelectable("spec.image", resource: cronTabs) && !isSelectable("spec.cronSpec", resource: cronTabs))
  }

  @Test func statusAndGenerationFollowTheEndpoints() {
    let custom = cronTabs.custom!
    var created = cronTab(["cronSpec": "a"])
    created["status"] = ["replicas": 9]
    custom.prepareForCreate(&created)
    #expect(created["status"].isNull && created["metadata"]["generation"] == 1)
    var updated = created
    updated["status"] = ["replicas": 9]
    updated["metadata"]["labels"] = ["a": "b"]
    custom.prepareForUpdate(&updated, old: created, subresource: nil)
    #expect(updated["status"].isNull && updated["metadata"]["generation"] == 1)
    updated["spec"]["cronSpec"] = "b"
    custom.prepareForUpdate(&updated, old: created, subresource: nil)
    #expect(updated["metadata"]["generation"] == 2)
    var status = updated
    status["status"] = ["replicas": 9]
    status["spec"] = .null
    status["metadata"]["labels"] = .null
    custom.prepareForUpdate(&status, old: updated, subresource: "status")
    #expect(status["status"] == ["replicas": 9] && status["spec"] == updated["spec"] && status["metadata"]["labels"] == ["a": "b"])
  }

  @Test func storedObjectsAreShownByTheVersionThatIsAskedFor() throws {
    let strict: JSON = [
      "type": "object", "properties": ["spec": ["type": "object", "properties": ["x": ["type": "string", "default": "y"]]]],
    ]
    let registry = SchemaRegistry.shared.adding([
      definition(versions: [version("v1", schema: cronTabSchema), version("v2", storage: false, schema: strict)])
    ])
    let v2 = try #require(registry.resource(group: "stable.example.com", version: "v2", kind: "CronTab")?.custom)
    var object = cronTab(["cronSpec": "* * * * *"])
    v2.present(&object)
    #expect(object["apiVersion"] == "stable.example.com/v2" && object["spec"] == ["x": "y"])
    #expect(v2.readsNeedWork && !cronTabs.custom!.readsNeedWork)
  }

  @Test func webhooksConvert() throws {
    let conversion: JSON = ["strategy": "Webhook", "webhook": ["conversionReviewVersions": ["v9", "v1"]]]
    let object = cronTab(["a": 1], ["uid": "u", "resourceVersion": "7"])
    let review = try #require(ConversionReview([object], to: "stable.example.com/v2", conversion: conversion, uid: "q"))
    #expect(review.body?["request"]["objects"] == [object] && review.body?["apiVersion"] == "apiextensions.k8s.io/v1")
    var result = object
    result["apiVersion"] = "stable.example.com/v2"
    result["metadata"]["resourceVersion"] = "9"
    result["metadata"]["labels"] = ["l": "m"]
    func answer(_ objects: JSON, uid: JSON = "q", status: JSON = ["status": "Success"]) -> JSON {
      [
        "kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
        "response": ["uid": uid, "result": status, "convertedObjects": objects],
      ]
    }
    let converted = try review.converted(by: answer([result]))
    #expect(converted[0]["metadata"]["labels"] == ["l": "m"] && converted[0]["metadata"]["resourceVersion"] == "7")
    let head = "conversion webhook for stable.example.com/v1, Kind=CronTab"
    func failure(_ answer: JSON) -> String? {
      do throws(ConversionError) {
        _ = try review.converted(by: answer)
        return nil
      } catch {
        return error.description
      }
    }
    #expect(failure(answer([])) == "\(head) returned 0 objects, expected 1")
    #expect(failure(answer([result], uid: "x")) == "\(head) failed: expected response.uid=\"q\", got \"x\"")
    #expect(failure(answer([result], status: ["status": "Failure", "message": "no"])) == "\(head) failed: no")
    result["metadata"]["name"] = "other"
    #expect(failure(answer([result])) == "\(head) returned invalid metadata of object at index 0: metadata.name must not be changed")
    #expect(ConversionReview([object], to: "stable.example.com/v1", conversion: conversion, uid: "q")?.body == nil)
  }

  @Test func scaleIsReadAndWritten() throws {
    var object = cronTab(["replicas": 3])
    object["status"] = ["replicas": 2, "selector": "a=b"]
    let scale = try #require(cronTabs.custom?.scale(of: object))
    #expect(scale["spec"]["replicas"] == 3 && scale["status"] == ["replicas": 2, "selector": "a=b"] && scale["metadata"]["name"] == "a")
    cronTabs.custom?.setReplicas(7, in: &object)
    #expect(object["spec"]["replicas"] == 7)
    #expect(cronTabs.custom?.scale(of: cronTab([:])) == nil)
  }

  @Test func rulesArePluggedIn() {
    struct NoNine: ValidationRules {
      func errors(object: JSON, old: JSON?) -> [FieldError] {
        object["spec"]["replicas"] == 9 ? [FieldError(path: "spec", reason: .invalid, message: "Invalid value: nine")] : []
      }
    }
    var schema = cronTabSchema
    schema["x-kubernetes-validations"] = [["rule": "self.spec.replicas != 9"]]
    var hooks = CustomResourceHooks()
    hooks.compileRules = { $0.rules.isEmpty ? nil : NoNine() }
    let resource = SchemaRegistry.shared.adding([definition(versions: [version(schema: schema)])], hooks: hooks).customResources.first!
    let nine: JSON = ["cronSpec": "* * * * *", "replicas": 9]
    #expect(validate(cronTab(nine), old: nil, resource: resource).map(\.message) == ["Invalid value: nine"])
    let incomplete = validate(cronTab(["replicas": 9]), old: nil, resource: resource)
    #expect(incomplete.count == 2 && incomplete[1].message.contains("some validation rules were not checked"))
  }

  @Test func deprecatedVersionsWarn() {
    let versions = [version("v1", schema: cronTabSchema), version("v1beta1", storage: false, schema: cronTabSchema, ["deprecated": true])]
    let registry = SchemaRegistry.shared.adding([definition(versions: versions)])
    #expect(
      registry.resource(group: "stable.example.com", version: "v1beta1", kind: "CronTab")?.custom?.deprecationWarning
        == "stable.example.com/v1beta1 CronTab is deprecated; use stable.example.com/v1 CronTab")
    #expect(registry.resource(group: "stable.example.com", version: "v1", kind: "CronTab")?.custom?.deprecationWarning == nil)
  }

  @Test func withoutASchemaEverythingIsKept() throws {
    let schema: JSON = ["type": "object", "x-kubernetes-preserve-unknown-fields": true]
    let resource = SchemaRegistry.shared.adding([definition(versions: [version(schema: schema)])]).customResources.first!
    var object = cronTab(["any": ["thing": [["a": 1]]]])
    #expect(try prune(&object, type: resource.type).isEmpty)
    #expect(object["spec"]["any"]["thing"][0]["a"] == 1)
    #expect(validate(object, old: nil, resource: resource).isEmpty)
  }

  @Test func ownAPIServicesAreListed() throws {
    let services = localAPIServices(cronTabRegistry, now: now)
    let names = services.compactMap { $0["metadata"]["name"].string }
    #expect(
      names.first == "v1." && names.contains("v1.apps") && names.contains("v2.autoscaling") && names.contains("v1.stable.example.com"))
    let custom = try #require(services.first { $0["metadata"]["name"] == "v1.stable.example.com" })
    #expect(custom["spec"] == ["group": "stable.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100])
    #expect(custom["status"]["conditions"][0]["reason"] == "Local")
    for service in services {
      #expect(validate(service, old: nil, resource: registered("apiservices", "apiregistration.k8s.io")).isEmpty)
    }
  }
}
