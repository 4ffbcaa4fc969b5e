import APIMachinery
import Admission
import JSONCodec
import KubernetesAPI
import Logging
import RevisionStore

/// Reads and writes objects of every registered kind in the store, by their schema. Everything a request does beside
/// carrying bytes happens here, for HTTP and for calls in this process alike.
final class Resources: Sendable {
  /// How often a change is tried again when another writer was faster and the caller did not insist on a version.
  static let conflictRetriesMax = 8

  let store: any RevisionStore
  let catalog: ResourceCatalog
  let decoded = DecodedObjects()
  let log: Logger
  /// The built-in admission plug-ins.
  let plugins: AdmissionChain
  let quotas = Quotas()
  let webhooks: WebhookAdmission
  let policies: PolicyAdmission
  /// Where cluster addresses of Services come from.
  let serviceRange: IPv4Range?
  let access: AccessControl
  let revocations: NodeRevocations

  init(
    store: any RevisionStore, catalog: ResourceCatalog, plugins: AdmissionChain, serviceRange: IPv4Range?, backends: BackendClients,
    log: Logger
  ) {
    self.serviceRange = serviceRange
    revocations = NodeRevocations(store: store, log: log)
    self.store = store
    self.catalog = catalog
    self.plugins = plugins
    self.log = log
    func configurations(_ plural: String) -> LiveCollection {
      LiveCollection(store: store, prefix: "/registry/admissionregistration.k8s.io/\(plural)/", log: log)
    }
    access = AccessControl(index: AccessIndex(store: store, decoded: decoded, log: log))
    let asking = PolicyQuestions(access: access)
    policies = PolicyAdmission(
      validating: configurations("validatingadmissionpolicies"), validatingBindings: configurations("validatingadmissionpolicybindings"),
      mutating: configurations("mutatingadmissionpolicies"), mutatingBindings: configurations("mutatingadmissionpolicybindings"),
      asking: asking)
    webhooks = WebhookAdmission(
      mutating: configurations("mutatingwebhookconfigurations"), validating: configurations("validatingwebhookconfigurations"),
      caller: WebhookCaller(backends: backends), conditions: HookConditions(asking: asking))
  }

  var registry: SchemaRegistry { catalog.registry }

  func resource(_ plural: String, group: String = "", version: String = "v1") -> ResourceInfo {
    guard let resource = registry.resource(group: group, version: version, plural: plural) else {
      preconditionFailure("the schema has no \(group)/\(version) \(plural)")
    }
    return resource
  }

  /// The stored object, or NotFound.
  func stored(_ request: ResourceRequest) async throws -> (object: JSON, value: StoredValue) {
    let name = request.name ?? ""
    guard let value = try await store.get(request.key(name), at: nil) else { throw APIFailure.notFound(request.resource, name) }
    return (try await presented(try decoded.object(value), as: request.resource), value)
  }

  /// The stored object's JSON, or NotFound.
  func storedBytes(_ request: ResourceRequest) async throws -> [UInt8] {
    let name = request.name ?? ""
    guard let value = try await store.get(request.key(name), at: nil) else { throw APIFailure.notFound(request.resource, name) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(value.value.count + 40)
    StoredForm.splice(value.value, revision: value.revision, into: &bytes)
    return bytes
  }

  /// The revision that a `resourceVersion` parameter means; nil for "most recent".
  static func revision(_ text: String?) throws -> Revision? {
    guard let text, !text.isEmpty, text != "0" else { return nil }
    guard let revision = Revision(text), revision > 0 else {
      throw APIFailure.badRequest("resourceVersion: Invalid value: \"\(text)\": must be a positive number")
    }
    return revision
  }
}

/// Core events and events.k8s.io events are one stored object with two spellings.
enum EventConversion {
  private static let pairs = [
    ("involvedObject", "regarding"), ("message", "note"), ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"), ("lastTimestamp", "deprecatedLastTimestamp"), ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
  ]

  static func toEventsV1(_ core: JSON) -> JSON { renamed(core, pairs, apiVersion: "events.k8s.io/v1") }
  static func toCore(_ event: JSON) -> JSON { renamed(event, pairs.map { ($1, $0) }, apiVersion: "v1") }

  private static func renamed(_ object: JSON, _ pairs: [(String, String)], apiVersion: String) -> JSON {
    var result = object
    for (from, to) in pairs {
      let value = object[from]
      result[from] = .null
      result[to] = value
    }
    result["apiVersion"] = .string(apiVersion)
    return result
  }
}
