import APIMachinery
import FlowControl
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging

/// Keeps the default FlowSchemas and PriorityLevelConfigurations, says which schemas lead nowhere, and gives the gate what is stored.
struct FlowController: Sendable {
  private static let group = "flowcontrol.apiserver.k8s.io"
  private static let schemaPath = ResourcePath(group: group, "flowschemas")
  private static let levelPath = ResourcePath(group: group, "prioritylevelconfigurations")

  let server: APIServer
  let client: KubernetesClient
  private let schemas: LiveCollection
  private let levels: LiveCollection

  init(server: APIServer, client: KubernetesClient) {
    self.server = server
    self.client = client
    let store = server.resources.store
    schemas = LiveCollection(store: store, prefix: "/registry/\(Self.group)/flowschemas/", log: server.log)
    levels = LiveCollection(store: store, prefix: "/registry/\(Self.group)/prioritylevelconfigurations/", log: server.log)
  }

  /// Runs until the task is cancelled.
  func run() async {
    let (news, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await schemas.run { continuation.yield() } }
      group.addTask { await levels.run { continuation.yield() } }
      group.addTask { for await _ in news { await look() } }
    }
  }

  private func look() async {
    do {
      let (storedSchemas, storedLevels) = (try await schemas.all().objects, try await levels.all().objects)
      server.flow.configure(
        FlowConfiguration(
          schemas: Self.filled(storedSchemas, DefaultFlows.suggestedSchemas),
          levels: Self.filled(storedLevels, DefaultFlows.suggestedLevels)))
      try await make(storedSchemas, storedLevels)
      for wanted in DefaultFlows.mandatoryLevels { try await keep(wanted, storedLevels, Self.levelPath, isMandatory: true) }
      for wanted in DefaultFlows.suggestedLevels { try await keep(wanted, storedLevels, Self.levelPath, isMandatory: false) }
      for wanted in DefaultFlows.mandatorySchemas { try await keep(wanted, storedSchemas, Self.schemaPath, isMandatory: true) }
      for wanted in DefaultFlows.suggestedSchemas { try await keep(wanted, storedSchemas, Self.schemaPath, isMandatory: false) }
      let names = Set(storedLevels.map(Self.name)).union((DefaultFlows.mandatoryLevels + DefaultFlows.suggestedLevels).map(Self.name))
      for schema in storedSchemas { try await tell(schema, names) }
    } catch {
      // Whoever was faster, or the object that changed, is the next news.
      server.log.debug("the objects of priority and fairness were not brought up to date: \(error)")
    }
  }

  private static func name(_ object: JSON) -> String { object["metadata"]["name"].string ?? "" }

  /// Suggested objects count from the first moment, before they are written.
  private static func filled(_ stored: [JSON], _ suggested: [JSON]) -> [JSON] {
    let names = Set(stored.map(name))
    return stored + suggested.filter { !names.contains(name($0)) }
  }

  /// Writes what is missing, all in one commit: nobody's policy has a say in what the server cannot do without.
  private func make(_ storedSchemas: [JSON], _ storedLevels: [JSON]) async throws {
    let names = (schemas: Set(storedSchemas.map(Self.name)), levels: Set(storedLevels.map(Self.name)))
    let missing =
      (DefaultFlows.mandatoryLevels + DefaultFlows.suggestedLevels).filter { !names.levels.contains(Self.name($0)) }.map { (levels, $0) }
      + (DefaultFlows.mandatorySchemas + DefaultFlows.suggestedSchemas).filter { !names.schemas.contains(Self.name($0)) }.map {
        (schemas, $0)
      }
    await withTaskGroup(of: Void.self) { group in
      for (collection, wanted) in missing {
        group.addTask {
          let plural = collection === levels ? Self.levelPath.plural : Self.schemaPath.plural
          var object = wanted
          applyDefaults(&object, resource: server.resources.resource(plural, group: Self.group))
          object["metadata"]["uid"] = .string(UUIDs.random())
          object["metadata"]["creationTimestamp"] = .string(Timestamp.now.rfc3339)
          object["metadata"]["generation"] = 1
          object["status"] = collection === levels ? .object(JSONObject()) : ["conditions": [Self.dangling(object, isThere: true)]]
          // Somebody else may have been faster.
          _ = try? await server.resources.store.write(
            .put(key: collection.prefix + Self.name(wanted), value: StoredForm.encode(object), .absent))
        }
      }
    }
  }

  private func keep(_ wanted: JSON, _ stored: [JSON], _ path: ResourcePath, isMandatory: Bool) async throws {
    guard let present = stored.first(where: { Self.name($0) == Self.name(wanted) }) else { return }
    let mark = present["metadata"]["annotations"][DefaultFlows.annotation].string
    // Without the annotation, an object that nobody has ever changed is still ours.
    let isOurs = isMandatory || (mark.map { $0 == "true" } ?? (present["metadata"]["generation"].int == 1))
    guard isOurs, present["metadata"]["deletionTimestamp"].isNull else { return }
    var whole = wanted
    applyDefaults(&whole, resource: server.resources.resource(path.plural, group: Self.group))
    // How much of the exempt level others may count on is the administrator's choice.
    if whole["spec"]["type"].string == "Exempt", present["spec"]["type"].string == "Exempt" {
      whole["spec"]["exempt"] = present["spec"]["exempt"]
    }
    guard whole["spec"] != present["spec"] else { return }
    var changed = present
    changed["spec"] = whole["spec"]
    try await client.update(path, name: Self.name(wanted), changed)
  }

  /// The condition Dangling: whether the schema's priority level is there.
  private func tell(_ schema: JSON, _ levels: Set<String>) async throws {
    let level = schema["spec"]["priorityLevelConfiguration"]["name"].string ?? ""
    let isThere = levels.contains(level)
    let status = isThere ? "False" : "True"
    let others = schema["status"]["conditions"].array ?? []
    let present = others.first { $0["type"].string == "Dangling" }
    guard present?["status"].string != status, schema["metadata"]["deletionTimestamp"].isNull else { return }
    var changed = schema
    changed["status"]["conditions"] = .array(
      others.filter { $0["type"].string != "Dangling" } + [Self.dangling(schema, isThere: isThere)])
    do {
      try await client.update(Self.schemaPath, name: Self.name(schema), subresource: "status", changed)
    } catch let error as APIStatusError where error.isConflict || error.isNotFound {}
  }

  private static func dangling(_ schema: JSON, isThere: Bool) -> JSON {
    let level = schema["spec"]["priorityLevelConfiguration"]["name"].string ?? ""
    return [
      "type": "Dangling", "status": isThere ? "False" : "True", "reason": isThere ? "Found" : "NotFound",
      "message": .string(
        "This FlowSchema references the PriorityLevelConfiguration object named \"\(level)\" "
          + (isThere ? "and it exists" : "but there is no such object")),
      "lastTransitionTime": .string(Timestamp.now.rfc3339),
    ]
  }
}
