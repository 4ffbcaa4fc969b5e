import JSONCodec
import Testing

@testable import APIMachinery

@Suite struct SchemaRegistryTests {
  let registry = SchemaRegistry.shared

  @Test func everyTypeOfEveryResourceCanBeRead() {
    var seen: Set<String> = []
    func visit(_ value: FieldValue) {
      switch value {
      case .object(let type): visit(type)
      case .list(let item), .map(let item): visit(item)
      default: break
      }
    }
    func visit(_ type: SchemaType) {
      guard seen.insert(type.name).inserted else { return }
      for field in type.fields { visit(field.value) }
    }
    for resource in registry.resources {
      visit(resource.type)
      for subresource in resource.subresources { visit(subresource.type) }
    }
    #expect(seen.count > 400)
    #expect(registry.resources.filter(\.isServed).count > 40)
  }

  @Test func aFieldKnowsItsWordsOfTheText() throws {
    let container = try #require(registry.type("core/v1.Container"))
    let ports = try #require(container.field("ports"))
    #expect(ports.number == 6)
    #expect(ports.listType == .map(keys: ["containerPort", "protocol"]))
    #expect(ports.patch == PatchStrategy(merges: true, mergeKey: "containerPort"))
    guard case .list(.object(let port)) = ports.value else {
      Issue.record("ports is \(ports.value)")
      return
    }
    #expect(port.field("protocol")?.enumValues == ["SCTP", "TCP", "UDP"])
    #expect(port.field("protocol")?.defaultValue == "TCP")
    #expect(port.field("containerPort")?.isRequired == true)
    #expect(container.field("name")?.defaultValue == "")
    #expect(container.field("imagePullPolicy")?.defaultValue == nil)
  }

  @Test func embeddedStructsAreFlatInJSONAndNestedOnTheWire() throws {
    let volume = try #require(registry.type("core/v1.Volume"))
    #expect(volume.field("emptyDir")?.number == 2)
    #expect(volume.fields.first?.name == "name")
    guard case .embedded(let source, at: 1) = volume.shape.member(2) else {
      Issue.record("member 2 is no embedded struct")
      return
    }
    #expect(source.name == "core/v1.VolumeSource")
  }

  @Test func atomicStructsAreAtomicWhereverTheyAreUsedUnlessSaidOtherwise() throws {
    #expect(registry.type("core/v1.EnvVarSource")?.field("configMapKeyRef")?.isMapAtomic == true)
    #expect(registry.type("core/v1.PersistentVolumeSpec")?.field("claimRef")?.isMapAtomic == false)
    #expect(registry.type("core/v1.ServiceSpec")?.field("selector")?.isMapAtomic == true)
    #expect(registry.type("core/v1.PodSpec")?.field("affinity")?.isMapAtomic == false)
  }

  @Test func resourcesAreFoundByPluralAndByKind() throws {
    let pods = try #require(registry.resource(group: "", version: "v1", plural: "pods"))
    #expect(pods.singular == "pod" && pods.isNamespaced && pods.shortNames == ["po"] && pods.verbs.count == 8)
    #expect(pods.subresource("eviction")?.type.name == "policy/v1.Eviction")
    #expect(pods.fieldSelectors.contains("spec.nodeName"))
    #expect(registry.resource(group: "apps", version: "v1", kind: "Deployment")?.plural == "deployments")
    #expect(registry.resource(group: "", version: "v1", plural: "endpoints")?.singular == "endpoints")
    #expect(registry.resource(group: "apps", version: "v2", plural: "deployments") == nil)
    #expect(registry.kind(apiVersion: "v1", kind: "Status")?.name == "meta/v1.Status")
    #expect(registry.kind(apiVersion: "policy/v1", kind: "DeleteOptions")?.name == "meta/v1.DeleteOptions")
    #expect(registry.kind(apiVersion: "nosuch/v1", kind: "Pod") == nil)
    #expect(registry.kind(apiVersion: "a/b/c", kind: "Status") == nil)
  }
}
