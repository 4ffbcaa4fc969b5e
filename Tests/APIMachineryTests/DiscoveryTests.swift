import JSONCodec
import Testing

@testable import APIMachinery

@Suite struct DiscoveryTests {
  let discovery = DiscoveryDocuments()
  let openAPI = OpenAPIDocuments(version: "v1.36.0")

  @Test func aggregatedDiscoveryTellsPodsAndTheirSubresources() throws {
    let core = discovery.aggregated(core: true, as: .v2)
    #expect(core["apiVersion"] == "apidiscovery.k8s.io/v2" && core["kind"] == "APIGroupDiscoveryList")
    let version = core["items"][0]["versions"][0]
    #expect(version["version"] == "v1" && version["freshness"] == "Current")
    let pods = try #require(version["resources"].array?.first { $0["resource"] == "pods" })
    #expect(
      pods["scope"] == "Namespaced" && pods["singularResource"] == "pod" && pods["shortNames"] == ["po"] && pods["categories"] == ["all"])
    #expect(pods["responseKind"] == ["group": "", "version": "v1", "kind": "Pod"])
    let eviction = try #require(pods["subresources"].array?.first { $0["subresource"] == "eviction" })
    #expect(eviction["responseKind"] == ["group": "policy", "version": "v1", "kind": "Eviction"])
    #expect(eviction["verbs"] == ["create"])
  }

  @Test func namedGroupsStandInUpstreamsOrder() {
    let names = discovery.aggregated(core: false, as: .v2beta1)["items"].items.compactMap { $0["metadata"]["name"].string }
    #expect(names.prefix(3) == ["apiregistration.k8s.io", "apps", "events.k8s.io"])
    #expect(names.contains("coordination.k8s.io") && names.contains("discovery.k8s.io") && !names.contains(""))
    #expect(discovery.apiGroupList()["groups"].items.compactMap { $0["name"].string } == names)
  }

  @Test func legacyDocumentsAgree() throws {
    #expect(discovery.apiVersions(serverAddress: "10.0.0.1:6443")["versions"] == ["v1"])
    let list = try #require(discovery.apiResourceList(group: "", version: "v1"))
    #expect(list["groupVersion"] == "v1" && list["kind"] == "APIResourceList")
    let eviction = try #require(list["resources"].array?.first { $0["name"] == "pods/eviction" })
    #expect(
      eviction["kind"] == "Eviction" && eviction["group"] == "policy" && eviction["version"] == "v1" && eviction["namespaced"] == true)
    let pods = try #require(list["resources"].array?.first { $0["name"] == "pods" })
    #expect(pods["storageVersionHash"] == "xPOwRZ+Yhw8=" && pods["singularName"] == "pod")
    #expect(discovery.apiGroup("apps")?["preferredVersion"] == ["groupVersion": "apps/v1", "version": "v1"])
    #expect(discovery.apiGroup("nosuch") == nil && discovery.apiResourceList(group: "apps", version: "v2") == nil)
  }

  private func document(_ group: String) throws -> JSON {
    try JSON.parse(try #require(openAPI.openAPIV3Document(group: group, version: "v1")).bytes)
  }

  @Test func theIndexNamesEveryServedGroup() throws {
    let index = try JSON.parse(openAPI.openAPIV3Index().bytes)
    let url = try #require(index["paths"]["apis/apps/v1"]["serverRelativeURL"].string)
    #expect(url.hasPrefix("/openapi/v3/apis/apps/v1?hash="))
    #expect(index["paths"]["api/v1"].object != nil)
    #expect(openAPI.openAPIV3Document(group: "nosuch", version: "v1") == nil)
  }

  /// What kubectl looks for before it sends fieldValidation and strategic merge patches.
  @Test func patchOperationsTellFieldValidationAndPatchTypes() throws {
    let patch = try document("")["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    #expect(patch["x-kubernetes-group-version-kind"] == ["group": "", "version": "v1", "kind": "Pod"])
    #expect(patch["parameters"].items.contains { $0["name"] == "fieldValidation" && $0["in"] == "query" })
    #expect(patch["requestBody"]["content"].object?.contains("application/strategic-merge-patch+json") == true)
    let namespace = try document("")["paths"]["/api/v1/namespaces/{name}"]["patch"]
    #expect(namespace["parameters"].items.contains { $0["name"] == "fieldValidation" })
  }

  @Test func schemasTellHowListsMerge() throws {
    let schemas = try document("apps")["components"]["schemas"]
    let containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    #expect(containers["x-kubernetes-patch-strategy"] == "merge" && containers["x-kubernetes-patch-merge-key"] == "name")
    #expect(containers["x-kubernetes-list-type"] == "map" && containers["x-kubernetes-list-map-keys"] == ["name"])
    let volumes = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"]
    #expect(volumes["x-kubernetes-patch-strategy"] == "merge,retainKeys")
    let deployment = schemas["io.k8s.api.apps.v1.Deployment"]
    #expect(deployment["x-kubernetes-group-version-kind"] == [["group": "apps", "version": "v1", "kind": "Deployment"]])
    #expect(deployment["properties"]["spec"]["allOf"][0]["$ref"] == "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec")
    #expect(schemas["io.k8s.api.core.v1.Container"]["required"] == ["name"])
  }

  @Test(arguments: [
    "", "apps", "events.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
    "resource.k8s.io",
  ])
  func everyReferenceHasItsSchema(_ group: String) throws {
    let document = try document(group)
    let schemas = try #require(document["components"]["schemas"].object)
    var missing: Set<String> = []
    func visit(_ json: JSON) {
      switch json {
      case .object(let object):
        if let reference = object["$ref"]?.string {
          let name = String(reference.dropFirst("#/components/schemas/".count))
          if !schemas.contains(name) { missing.insert(name) }
        }
        for (_, value) in object { visit(value) }
      case .array(let items): items.forEach(visit)
      default: break
      }
    }
    visit(document)
    #expect(missing.isEmpty)
  }

  @Test func versionTwoHoldsAllGroups() throws {
    let document = try JSON.parse(openAPI.openAPIV2Document().bytes)
    #expect(document["swagger"] == "2.0")
    #expect(document["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec")
    #expect(document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"].object != nil)
  }

  /// Reads the messages at a path of field numbers.
  private func messages(_ bytes: [UInt8], _ path: [Int]) throws -> [[UInt8]] {
    guard let number = path.first else { return [bytes] }
    var inner: [[UInt8]] = []
    try bytes.withUnsafeBytes { buffer in
      var reader = ProtobufReader(buffer)
      while !reader.isAtEnd {
        let (found, wire) = try reader.tag()
        if found == number, wire == .bytes { inner.append(Array(try reader.message().content)) } else { try reader.skip(wire) }
      }
    }
    return try inner.flatMap { try messages($0, Array(path.dropFirst())) }
  }

  @Test func versionTwoAsProtobufHoldsTheSame() throws {
    let bytes = openAPI.openAPIV2Protobuf().bytes
    let document = try JSON.parse(openAPI.openAPIV2Document().bytes)
    func texts(_ path: [Int]) throws -> [String] { try messages(bytes, path).map { String(decoding: $0, as: UTF8.self) } }
    #expect(try texts([1]) == ["2.0"])
    #expect(try texts([8, 2, 1]) == document["paths"].object?.keys)
    #expect(try texts([9, 1, 1]) == document["definitions"].object?.keys)
    // Names of the query parameters of all PATCH operations, which is where kubectl looks for fieldValidation.
    #expect(try texts([8, 2, 2, 8, 8, 1, 2, 3, 4]).contains("fieldValidation"))
    #expect(try texts([8, 2, 2, 8, 13, 2, 2]).contains("{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Pod\"}\n"))
    #expect(try texts([9, 1, 2, 25, 1, 2, 31, 2, 2]).contains("\"merge\"\n"))
  }

  @Test func selectorsSeeFieldsAndTheirDefaults() {
    let pods = registered("pods")
    let pod: JSON = [
      "metadata": ["name": "a", "namespace": "n"], "spec": ["nodeName": "x", "restartPolicy": "Never"],
      "status": ["phase": "Running", "podIPs": [["ip": "1.2.3.4"]]],
    ]
    let values = fieldSelectorValues(resource: pods, object: pod)
    #expect(values["metadata.name"] == "a" && values["metadata.namespace"] == "n" && values["spec.nodeName"] == "x")
    #expect(values["status.phase"] == "Running" && values["spec.hostNetwork"] == "false" && values["status.podIP"] == "")
    #expect(fieldSelectorValues(resource: registered("nodes"), object: ["spec": ["unschedulable": true]])["spec.unschedulable"] == "true")
    let event: JSON = ["involvedObject": ["kind": "Pod", "name": "p"], "source": ["component": "kubelet"], "reason": "Started"]
    let eventValues = fieldSelectorValues(resource: registered("events"), object: event)
    #expect(
      eventValues["involvedObject.name"] == "p" && eventValues["reportingComponent"] == "kubelet" && eventValues["reason"] == "Started")
    #expect(fieldSelectorValues(resource: registered("events", "events.k8s.io"), object: event)["regarding.name"] == "p")
    #expect(isSelectable("spec.nodeName", resource: pods) && !isSelectable("spec.containers", resource: pods))
  }
}
