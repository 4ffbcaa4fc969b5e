import JSONCodec
import KubernetesAPI
import Testing

@testable import APIMachinery

@Suite struct DefinitionTests {
  let resource = registered("customresourcedefinitions", "apiextensions.k8s.io")
  let now = Timestamp(nanosecondsSinceEpoch: 1_700_000_000_000_000_000)
  let good = definition(versions: [version(schema: cronTabSchema, cronTabExtras)])

  private func errors(_ object: JSON, old: JSON? = nil) -> [String] {
    validate(object, old: old, resource: resource).map(\.description)
  }

  private func errors(schema: JSON, _ extras: JSON = .object(JSONObject())) -> [String] {
    let head = "spec.versions[0].schema.openAPIV3Schema"
    return errors(definition(versions: [version(schema: schema, extras)])).map {
      $0.hasPrefix(head) ? String($0.dropFirst(head.count)) : $0
    }
  }

  @Test func aDefinitionIsFilledInAndAccepted() {
    #expect(errors(good).isEmpty)
    #expect(good["spec"]["names"]["singular"] == "crontab" && good["spec"]["names"]["listKind"] == "CronTabList")
    #expect(good["spec"]["conversion"] == ["strategy": "None"] && good["status"]["storedVersions"] == ["v1"])
  }

  @Test func namesVersionsAndScope() {
    var object = good
    object["metadata"]["name"] = "other.example.com"
    object["spec"]["scope"] = "World"
    object["spec"]["names"]["shortNames"] = ["CT"]
    object["spec"]["names"]["listKind"] = "CronTab"
    object["spec"]["versions"] = [version("v1", schema: cronTabSchema), version("v1", schema: cronTabSchema)]
    let found = errors(object)
    func has(_ start: String) -> Bool { found.contains { $0.hasPrefix(start) } }
    #expect(found.contains(#"metadata.name: Invalid value: "other.example.com": must be spec.names.plural+"."+spec.group"#))
    #expect(found.contains(#"spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced""#))
    #expect(has(#"spec.names.shortNames[0]: Invalid value: "CT": a DNS-1035 label"#))
    #expect(found.contains(#"spec.names.listKind: Invalid value: "CronTab": kind and listKind may not be the same"#))
    #expect(found.contains { $0.hasSuffix("must contain unique version names") })
    #expect(found.contains { $0.hasSuffix("must have exactly one version marked as storage version") })
    var dotless = definition(group: "example", versions: [version(schema: cronTabSchema)])
    #expect(errors(dotless) == [#"spec.group: Invalid value: "example": should be a domain with at least one dot"#])
    dotless["spec"]["versions"] = [["name": "v1", "served": true, "storage": true]]
    #expect(errors(dotless).contains("spec.versions[0].schema.openAPIV3Schema: Required value"))
  }

  @Test func whatIsFixedOnceEstablished() {
    var changed = good
    changed["spec"]["scope"] = "Cluster"
    changed["spec"]["names"]["kind"] = "Other"
    #expect(
      errors(changed, old: good) == [
        #"spec.scope: Invalid value: "Cluster": field is immutable"#, #"spec.names.kind: Invalid value: "Other": field is immutable"#,
      ])
    var dropped = good
    dropped["spec"]["versions"] = [version("v2", schema: cronTabSchema)]
    #expect(
      errors(dropped, old: good).contains {
        $0.hasPrefix("status.storedVersions: Invalid value: [\"v1\"]: must have the storage version v2")
      })
    #expect(
      errors(dropped, old: good).contains { $0.hasPrefix("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions") })
  }

  static let schemas: [(String, String)] = [
    (#"{}"#, ".type: Required value: must not be empty at the root"),
    (#"{"type":"object","properties":{"a":{}}}"#, ".properties[a].type: Required value: must not be empty for specified object fields"),
    (#"{"type":"object","properties":{"a":{"type":"array"}}}"#, ".properties[a].items: Required value: must be specified"),
    (#"{"type":"object","additionalProperties":{"type":"string"}}"#, ".additionalProperties: Forbidden: must not be used at the root"),
    (#"{"type":"object","anyOf":[{"type":"object"}]}"#, ".anyOf[0].type: Forbidden: must be empty to be structural"),
    (
      #"{"type":"object","anyOf":[{"properties":{"a":{"maximum":1}}}]}"#,
      ".properties[a]: Required value: because it is defined in spec.versions[0].schema.openAPIV3Schema.anyOf[0].properties[a]"
    ),
    (
      #"{"type":"object","properties":{"metadata":{"type":"object","properties":{"labels":{"type":"object"}}}}}"#,
      ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
    ),
    (
      #"{"type":"object","properties":{"a":{"type":"string","pattern":"("}}}"#,
      ".properties[a].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`"
    ),
    (
      #"{"type":"object","properties":{"a":{"type":"integer","default":"x"}}}"#,
      ".properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\""
    ),
    (
      #"{"type":"object","properties":{"a":{"type":"object","default":{"b":1}}}}"#,
      ".properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields"
    ),
    (#"{"type":"object","nullable":true}"#, ".nullable: Forbidden: nullable cannot be true at the root"),
    (#"{"type":"object","properties":{"a":{"type":"string","$ref":"x"}}}"#, ".properties[a].$ref: Forbidden: $ref is not supported"),
    (
      #"{"type":"object","properties":{"a":{"type":"array","uniqueItems":true,"items":{"type":"string"}}}}"#,
      ".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
    ),
    (
      #"""
      {"type":"object","properties":{"a":{"type":"object","additionalProperties":{"type":"string"},
      "properties":{"b":{"type":"string"}}}}}
      """#,
      ".properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"
    ),
    (
      #"""
      {"type":"object","properties":{"a":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],
      "items":{"type":"object","properties":{"k":{"type":"string"}}}}}}
      """#,
      ".properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, "
        + "so it must have a default or be a required property"
    ),
    (
      #"{"type":"object","properties":{"a":{"type":"array","x-kubernetes-list-map-keys":["k"],"items":{"type":"object"}}}}"#,
      ".properties[a].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty"
    ),
    (
      #"{"type":"object","x-kubernetes-validations":[{"rule":" "}]}"#,
      ".x-kubernetes-validations[0].rule: Required value: rule is not specified"
    ),
    (
      #"{"type":"object","x-kubernetes-validations":[{"rule":"true","fieldPath":".nope"}]}"#,
      ".x-kubernetes-validations[0].fieldPath: Invalid value: \".nope\": must be a valid path"
    ),
  ]

  @Test(arguments: schemas.indices)
  func schemasMustBeStructural(_ i: Int) throws {
    let (schema, expected) = Self.schemas[i]
    #expect(errors(schema: try JSON.parse(schema)).first == expected)
  }

  /// As large as a body may be, and wrong everywhere.
  @Test func hugeSchemasAreRefusedInTime() {
    var properties = JSONObject()
    for i in 0..<60_000 { properties.append("property-\(i)", ["description": "some text"]) }
    let object = definition(versions: [version(schema: ["type": "object", "properties": .object(properties)])], established: false)
    var found: [FieldError] = []
    let time = ContinuousClock().measure { found = validate(object, old: nil, resource: resource) }
    #expect(found.count == 1_000 && time < .seconds(20))
    #expect(invalidStatus(found, resource: resource, name: "x")["details"]["causes"].items.count == 1_000)
  }

  @Test func intOrStringMayBeWrittenOut() throws {
    let schema = try JSON.parse(
      #"{"type":"object","properties":{"a":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]}}}"#)
    #expect(errors(schema: schema).isEmpty)
  }

  @Test func extrasOfAVersion() {
    let scalarsOnly = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
    let extras: JSON = [
      "additionalPrinterColumns": [["name": "A", "type": "text", "jsonPath": "spec.a"]],
      "selectableFields": [
        ["jsonPath": ".spec.limits"], ["jsonPath": ".metadata.name"], ["jsonPath": ".spec.image"], ["jsonPath": ".spec.image"],
      ],
      "subresources": ["scale": ["specReplicasPath": ".a", "statusReplicasPath": ".status.a"]],
      "deprecationWarning": "old",
    ]
    #expect(
      errors(schema: cronTabSchema, extras) == [
        #"spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions"#,
        #"spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".a": should be a json path under .spec"#,
        #"spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string"#,
        #"spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: "spec.a": must be a simple json path starting with ."#,
        #"spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.limits": \#(scalarsOnly)"#,
        #"spec.versions[0].selectableFields[1].jsonPath: Invalid value: ".metadata.name": must not point to fields in metadata"#,
        #"spec.versions[0].selectableFields[1].jsonPath: Invalid value: ".metadata.name": \#(scalarsOnly)"#,
        #"spec.versions[0].selectableFields[3].jsonPath: Duplicate value: ".spec.image""#,
      ])
  }

  @Test func conversionByWebhook() {
    var object = good
    object["spec"]["conversion"] = ["strategy": "Webhook"]
    #expect(
      errors(object) == [
        "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        "spec.conversion.conversionReviewVersions: Required value",
      ])
    object["spec"]["conversion"] = [
      "strategy": "Webhook",
      "webhook": ["clientConfig": ["service": ["namespace": "n", "name": "s", "path": "/c"]], "conversionReviewVersions": ["v1"]],
    ]
    #expect(errors(object).isEmpty)
  }

  // MARK: status

  private func condition(_ status: JSON, _ type: String) -> JSON { status["conditions"].items.first { $0["type"].string == type } ?? .null }

  @Test func acceptedNamesEstablish() {
    let fresh = definition(versions: [version(schema: cronTabSchema)], established: false)
    let status = definitionStatus(fresh, others: [fresh], now: now)
    #expect(
      condition(status, "NamesAccepted")["reason"] == "NoConflicts" && condition(status, "NamesAccepted")["message"] == "no conflicts found"
    )
    #expect(condition(status, "Established")["reason"] == "InitialNamesAccepted")
    #expect(condition(status, "Established")["message"] == "the initial names have been accepted")
    #expect(status["acceptedNames"]["plural"] == "crontabs" && status["storedVersions"] == ["v1"])
    #expect(condition(status, "KubernetesAPIApprovalPolicyConformant").isNull && condition(status, "NonStructuralSchema").isNull)
    var settled = fresh
    settled["status"] = status
    #expect(definitionStatus(settled, others: [settled], now: Timestamp(nanosecondsSinceEpoch: 1_800_000_000_000_000_000)) == status)
  }

  @Test func namesOfOthersAreNotAccepted() {
    let first = definition(versions: [version(schema: cronTabSchema)])
    var second = definition(kind: "Other", plural: "others", versions: [version(schema: cronTabSchema)], established: false, uid: "u2")
    let status = definitionStatus(second, others: [first, second], now: now)
    #expect(condition(status, "NamesAccepted")["status"] == "False" && condition(status, "NamesAccepted")["reason"] == "ShortNamesConflict")
    #expect(condition(status, "NamesAccepted")["message"] == "\"ct\" is already in use")
    #expect(condition(status, "Established")["reason"] == "NotAccepted" && status["acceptedNames"]["shortNames"].isNull)
    second["status"] = status
    #expect(SchemaRegistry.shared.adding([first, second]).customResources.map(\.plural) == ["crontabs"])
    // The other one goes, and the names are free.
    #expect(condition(definitionStatus(second, others: [second], now: now), "Established")["status"] == "True")
  }

  @Test func communityGroupsNeedApproval() {
    func made(_ annotation: String?) -> JSON {
      definition(
        group: "x.k8s.io", versions: [version(schema: cronTabSchema)],
        annotations: annotation.map { ["api-approved.kubernetes.io": .string($0)] } ?? .null)
    }
    func conformant(_ object: JSON) -> JSON {
      condition(definitionStatus(object, others: [], now: now), "KubernetesAPIApprovalPolicyConformant")
    }
    #expect(
      errors(made(nil)).first?.hasPrefix("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have")
        == true)
    #expect(errors(made("maybe")).first?.hasPrefix("metadata.annotations[api-approved.kubernetes.io]: Invalid value: \"maybe\"") == true)
    #expect(errors(made("unapproved, an experiment")).isEmpty && errors(made("https://github.com/x/1")).isEmpty)
    #expect(conformant(made("https://github.com/x/1"))["reason"] == "ApprovedAnnotation")
    #expect(conformant(made("unapproved"))["reason"] == "UnapprovedAnnotation" && conformant(made(nil))["reason"] == "MissingAnnotation")
  }

  @Test func storageVersionsAreRememberedAndDeletionIsTold() {
    var object = good
    object["spec"]["versions"] = [version("v1", storage: false, schema: cronTabSchema), version("v2", schema: cronTabSchema)]
    #expect(definitionStatus(object, others: [], now: now)["storedVersions"] == ["v1", "v2"])
    let terminating = condition(definitionStatus(good, deletion: .inProgress, now: now), "Terminating")
    #expect(terminating["status"] == "True" && terminating["reason"] == "InstanceDeletionInProgress")
  }

  // MARK: protobuf

  /// JSONSchemaProps is recursive, and some of its fields are one thing or another.
  @Test func definitionsGoOverTheWireAndBack() throws {
    var schema = cronTabSchema
    schema["properties"]["extra"] = [
      "type": "object", "additionalProperties": true, "x-kubernetes-preserve-unknown-fields": true, "enum": [["a": 1], "b", 3],
    ]
    schema["properties"]["map"] = ["type": "object", "additionalProperties": ["type": "string", "maximum": 1.5]]
    schema["properties"]["closed"] = ["type": "object", "additionalProperties": false]
    var object = definition(versions: [version(schema: schema, cronTabExtras)])
    #expect(try prune(&object, type: resource.type).isEmpty)
    let decoded = try decodeProtobuf(try encodeProtobuf(object, type: resource.type))
    #expect(decoded["spec"] == object["spec"])
    #expect(decoded["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["closed"]["additionalProperties"] == false)
  }

  /// A schema in the place of a flag also says that more is allowed.
  @Test func alternativesAreWrittenAsUpstreamWritesThem() throws {
    let type = try #require(SchemaRegistry.shared.type("apiextensions/v1.JSONSchemaProps"))
    var encoder = ProtobufEncoder()
    let props: JSON = ["additionalProperties": ["type": "x"]]
    try encoder.message(props.object ?? JSONObject(), type, depth: 0)
    // Field 30 holds allows = 1 and the schema as field 2.
    let bytes = encoder.out
    let start = try #require(bytes.firstIndex(of: 0xF2))
    #expect(bytes[start + 1] == 0x01 && Array(bytes[(start + 3)...].prefix(3)) == [0x08, 0x01, 0x12])
  }
}
