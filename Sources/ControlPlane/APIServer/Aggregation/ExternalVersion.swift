import APIMachinery
import JSONCodec

/// OpenAPI documents of a group version that another server serves.
struct ExternalOpenAPI: Sendable, Equatable {
  /// `/openapi/v3/apis/<group>/<version>`, as it came.
  var v3: OpenAPIDocuments.Document?
  /// Its part of `/openapi/v2`.
  var v2: JSON?
  /// Changes with either.
  let hash: String

  init?(v3: [UInt8]?, v2: JSON?) {
    guard v3 != nil || v2 != nil else { return nil }
    self.v3 = v3.map { OpenAPIDocuments.document(bytes: $0) }
    self.v2 = v2
    hash = (self.v3?.hash ?? "") + (v2.map { OpenAPIDocuments.document($0).hash } ?? "")
  }

  static func == (a: ExternalOpenAPI, b: ExternalOpenAPI) -> Bool { a.hash == b.hash }
}

/// A group and version that another API server serves behind this one.
struct ExternalVersion: Sendable, Equatable {
  let group: String
  let version: String
  /// `spec.service`: namespace, name, port.
  let service: JSON
  let caBundle: [UInt8]
  let trustsAnybody: Bool
  let groupPriority: Int
  let versionPriority: Int
  /// Its APIResourceList as it was last told; nil before it was reached.
  var resources: JSON?
  var isAvailable = false
  /// What its OpenAPI documents say of this group version; nil where it has none.
  var openAPI: ExternalOpenAPI?

  /// Nil for what this server serves itself.
  init?(_ apiService: JSON) {
    let spec = apiService["spec"]
    guard !spec["service"].isEmpty, let group = spec["group"].string, let version = spec["version"].string else { return nil }
    self.group = group
    self.version = version
    service = spec["service"]
    caBundle = spec["caBundle"].string.flatMap(Base64.decode) ?? []
    trustsAnybody = spec["insecureSkipTLSVerify"].bool ?? false
    groupPriority = spec["groupPriorityMinimum"].int ?? 0
    versionPriority = spec["versionPriority"].int ?? 0
  }

  var name: String { "\(version).\(group)" }
  var host: String { "\(service["name"].string ?? "").\(service["namespace"].string ?? "").svc" }
  var trust: BackendClients.Trust { trustsAnybody ? .anybody : caBundle.isEmpty ? .system : .authorities(caBundle) }

  // MARK: discovery

  /// Its entry in an APIGroupDiscovery.
  var discoveryVersion: JSON {
    var byName: [String: JSON] = [:]
    var order: [String] = []
    for resource in resources?["resources"].array ?? [] {
      let parts = (resource["name"].string ?? "").split(separator: "/", maxSplits: 1).map(String.init)
      guard let plural = parts.first else { continue }
      let kind: JSON = [
        "group": resource["group"].isEmpty ? .string(group) : resource["group"],
        "version": resource["version"].isEmpty ? .string(version) : resource["version"], "kind": resource["kind"],
      ]
      if byName[plural] == nil {
        order.append(plural)
        byName[plural] = [
          "resource": .string(plural), "responseKind": kind, "scope": "Namespaced", "singularResource": "", "verbs": .array([]),
        ]
      }
      guard parts.count == 1 else {
        let sub: JSON = ["subresource": .string(parts[1]), "responseKind": kind, "verbs": resource["verbs"]]
        byName[plural]!["subresources"] = .array((byName[plural]!["subresources"].array ?? []) + [sub])
        continue
      }
      byName[plural]!["scope"] = resource["namespaced"].bool == true ? "Namespaced" : "Cluster"
      byName[plural]!["singularResource"] = resource["singularName"].isNull ? "" : resource["singularName"]
      for field in ["verbs", "shortNames", "categories"] { byName[plural]![field] = resource[field] }
      byName[plural]!["responseKind"] = kind
    }
    return [
      "version": .string(version), "resources": .array(order.compactMap { byName[$0] }), "freshness": isAvailable ? "Current" : "Stale",
    ]
  }

  /// The groups of several versions, best first, each with its versions, best first.
  static func groups(_ all: [ExternalVersion]) -> [(name: String, versions: [ExternalVersion])] {
    let byGroup = Dictionary(grouping: all, by: \.group).mapValues {
      $0.sorted { ($0.versionPriority, $1.version) > ($1.versionPriority, $0.version) }
    }
    func priority(_ versions: [ExternalVersion]) -> Int { versions.map(\.groupPriority).max() ?? 0 }
    return byGroup.sorted { (priority($0.value), $1.key) > (priority($1.value), $0.key) }.map { ($0.key, $0.value) }
  }

  /// An entry of the legacy APIGroupList.
  static func group(_ name: String, _ versions: [ExternalVersion]) -> JSON {
    let entries = versions.map { ["groupVersion": .string("\(name)/\($0.version)"), "version": .string($0.version)] as JSON }
    return ["name": .string(name), "versions": .array(entries), "preferredVersion": entries.first ?? .null]
  }
}
