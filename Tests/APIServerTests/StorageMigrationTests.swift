import Foundation
import JSONCodec
import KubernetesClient
import RevisionStore
import Testing

@testable import APIServer

@Suite struct StorageMigrationTests {
  private static let definitions = ResourcePath(group: "apiextensions.k8s.io", version: "v1", "customresourcedefinitions")
  private static let migrations = ResourcePath(group: "storagemigration.k8s.io", version: "v1beta1", "storageversionmigrations")
  private static let gears = "/registry/mill.example.com/gears/"

  private static func version(_ name: String, isStorage: Bool, teethMax: Int = 100) -> JSON {
    [
      "name": .string(name), "served": true, "storage": .bool(isStorage),
      "schema": [
        "openAPIV3Schema": [
          "type": "object",
          "properties": [
            "spec": [
              "type": "object", "properties": ["teeth": ["type": "integer", "maximum": JSON(teethMax)], "name": ["type": "string"]],
            ]
          ],
        ]
      ],
    ]
  }

  private static func definition(_ versions: [JSON]) -> JSON {
    [
      "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": ["name": "gears.mill.example.com"],
      "spec": [
        "group": "mill.example.com", "scope": "Namespaced",
        "names": ["plural": "gears", "singular": "gear", "kind": "Gear", "listKind": "GearList"], "versions": .array(versions),
      ],
    ]
  }

  private func change(_ server: ServerUnderTest, _ versions: [JSON]) async throws -> JSON {
    var definition = try await server.admin.get(Self.definitions, name: "gears.mill.example.com")
    definition["spec"]["versions"] = .array(versions)
    return try await server.admin.update(Self.definitions, name: "gears.mill.example.com", definition)
  }

  private func storedVersions(_ server: ServerUnderTest) async throws -> JSON {
    try await server.admin.get(Self.definitions, name: "gears.mill.example.com")["status"]["storedVersions"]
  }

  /// Runs a migration to its end; its conditions by type, with their messages.
  private func migrate(_ server: ServerUnderTest, _ name: String, group: String, _ plural: String) async throws -> JSON {
    let body: JSON = [
      "metadata": ["name": .string(name)], "spec": ["resource": ["group": .string(group), "resource": .string(plural)]],
    ]
    _ = try await server.admin.create(Self.migrations, body)
    try await eventually("the end of \(name)") {
      let types = try await server.admin.get(Self.migrations, name: name)["status"]["conditions"].list.compactMap { $0["type"].string }
      return types.contains("Succeeded") || types.contains("Failed")
    }
    return try await server.admin.get(Self.migrations, name: name)["status"]
  }

  private func raw(_ server: ServerUnderTest, _ prefix: String) async throws -> [JSON] {
    try await server.store.list(prefix: prefix).items.map { try StoredForm.decode($0.value, revision: $0.revision) }
  }

  @Test func objectsMoveToTheStorageVersionOfTheirDefinition() async throws {
    try await withServer { server in
      let v1First = [Self.version("v1", isStorage: true), Self.version("v2", isStorage: false)]
      _ = try await server.admin.create(Self.definitions, Self.definition(v1First))
      let old = ResourcePath(group: "mill.example.com", version: "v1", "gears", namespace: "default")
      try await eventually("gears") { (try? await server.admin.list(old)) != nil }
      for i in 0..<5 {
        let gear: JSON = [
          "kind": "Gear", "apiVersion": "mill.example.com/v1", "metadata": ["name": .string("g\(i)")], "spec": ["teeth": 50],
        ]
        _ = try await server.admin.create(old, gear)
      }
      #expect(try await storedVersions(server) == ["v1"])
      // The new storage version is noted with the change itself; what still lies in the old one keeps that in the definition.
      // The new schema would not take what is there: unchanged values pass, as in any update.
      let v2First = [Self.version("v1", isStorage: false), Self.version("v2", isStorage: true, teethMax: 10)]
      #expect(try await change(server, v2First)["status"]["storedVersions"] == ["v1", "v2"])
      let refusal = await #expect(throws: APIStatusError.self) { try await change(server, [Self.version("v2", isStorage: true)]) }
      #expect(refusal?.message.contains("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions") == true)
      #expect(try await raw(server, Self.gears).allSatisfy { $0["apiVersion"] == "mill.example.com/v1" })

      let before = try await server.store.currentRevision()
      let status = try await migrate(server, "gears", group: "mill.example.com", "gears")
      #expect(status["conditions"].list.map { $0["type"] } == ["Succeeded"] && status["conditions"][0]["status"] == "True")
      #expect(status["conditions"][0]["message"] == "5 objects were written anew")
      #expect(Int64(status["resourceVersion"].string ?? "") ?? 0 >= before)
      let moved = try await raw(server, Self.gears)
      #expect(moved.count == 5 && moved.allSatisfy { $0["apiVersion"] == "mill.example.com/v2" && $0["spec"]["teeth"] == 50 })
      #expect(try await storedVersions(server) == ["v2"])
      let conditions = try await server.admin.get(Self.definitions, name: "gears.mill.example.com")["status"]["conditions"].list
      let migrating = conditions.first { $0["type"] == "StorageMigrating" }
      #expect(migrating?["status"] == "False" && migrating?["reason"] == "MigrationSucceeded")
      // Once more: nothing to do. Then the old version may go.
      let again = try await migrate(server, "again", group: "mill.example.com", "gears")
      #expect(again["conditions"][0]["message"] == "0 objects were written anew")
      #expect(
        try await raw(server, Self.gears).map { $0["metadata"]["resourceVersion"] } == moved.map { $0["metadata"]["resourceVersion"] })
      #expect(try await change(server, [Self.version("v2", isStorage: true)])["status"]["storedVersions"] == ["v2"])
    }
  }

  /// Built-in kinds are only ever written in one version: there is nothing to do, and that is said.
  @Test func builtInKindsLieRightAlready() async throws {
    try await withServer { server in
      let scaler: JSON = [
        "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1", "metadata": ["name": "h", "namespace": "default"],
        "spec": ["scaleTargetRef": ["kind": "Deployment", "name": "d"], "maxReplicas": 3, "targetCPUUtilizationPercentage": 70],
      ]
      _ = try await server.admin.create(
        ResourcePath(group: "autoscaling", version: "v1", "horizontalpodautoscalers", namespace: "default"), scaler)
      let before = try await raw(server, "/registry/autoscaling/horizontalpodautoscalers/")
      #expect(before.map { $0["apiVersion"] } == ["autoscaling/v2"])
      for (name, group, plural) in [("scalers", "autoscaling", "horizontalpodautoscalers"), ("maps", "", "configmaps")] {
        let status = try await migrate(server, name, group: group, plural)
        #expect(status["conditions"][0]["type"] == "Succeeded" && status["conditions"][0]["message"] == "0 objects were written anew")
      }
      #expect(try await raw(server, "/registry/autoscaling/horizontalpodautoscalers/") == before)
    }
  }

  @Test func aResourceThatIsNotThereFails() async throws {
    try await withServer { server in
      let status = try await migrate(server, "none", group: "mill.example.com", "wheels")
      #expect(status["conditions"].list.map { $0["type"] } == ["Failed"])
      #expect(status["conditions"][0]["message"].string?.hasPrefix("resource not found: wheels.mill.example.com") == true)
      // A migration is written once and ends once.
      var ended = try await server.admin.get(Self.migrations, name: "none")
      ended["spec"]["resource"]["resource"] = "gears"
      let changed = ended
      await #expect(throws: APIStatusError.self) { try await server.admin.update(Self.migrations, name: "none", changed) }
      ended = try await server.admin.get(Self.migrations, name: "none")
      ended["status"]["conditions"] = []
      let reopened = ended
      let refusal = await #expect(throws: APIStatusError.self) {
        try await server.admin.update(Self.migrations, name: "none", subresource: "status", reopened)
      }
      #expect(refusal?.message.contains("Failed condition cannot be set to false once it is true") == true)
      let bad: JSON = ["metadata": ["name": "x"], "spec": ["resource": ["group": "", "resource": ""]]]
      let empty = await #expect(throws: APIStatusError.self) { try await server.admin.create(Self.migrations, bad) }
      #expect(empty?.message.contains("spec.resource.resource: Required value: resource is required") == true)
    }
  }
}
