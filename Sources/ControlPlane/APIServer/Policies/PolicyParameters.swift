import APIMachinery
import JSONCodec
import KubernetesAPI
import RevisionStore

/// Finds the objects that a binding names as parameters of its policy.
struct PolicyParameters {
  /// Why a policy cannot be used with a binding.
  struct Failure: Error {
    let message: String
  }

  let resources: Resources

  /// One element for each evaluation of the policy: nil where it has no parameters. None: there is nothing to evaluate.
  func find(_ policy: JSON, _ binding: JSON, _ attempt: AdmissionAttempt) async throws -> [JSON?] {
    let kind = policy["spec"]["paramKind"]
    let reference = binding["spec"]["paramRef"]
    guard !kind.isNull, !reference.isNull else { return [nil] }
    let resource = try resource(kind)
    let found = try await objects(resource, reference, attempt)
    if !found.isEmpty { return found }
    if reference["parameterNotFoundAction"].string == "Deny" {
      throw Failure(message: "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction")
    }
    return []
  }

  private func resource(_ kind: JSON) throws -> ResourceInfo {
    guard let resource = Self.resource(kind, resources.registry) else {
      let named = "\(kind["apiVersion"].string ?? ""), Kind=\(kind["kind"].string ?? "")"
      throw Failure(message: "failed to configure policy: failed to find resource referenced by paramKind: '\(named)'")
    }
    return resource
  }

  /// The resource of a ParamKind; nil where the server has none.
  static func resource(_ kind: JSON, _ registry: SchemaRegistry) -> ResourceInfo? {
    let parts = (kind["apiVersion"].string ?? "").split(separator: "/", maxSplits: 1).map(String.init)
    let resource = registry.resource(
      group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: kind["kind"].string ?? "")
    return resource?.isServed == true ? resource : nil
  }

  private func objects(_ resource: ResourceInfo, _ reference: JSON, _ attempt: AdmissionAttempt) async throws -> [JSON] {
    var namespace: String?
    let named = reference["namespace"].string ?? ""
    if resource.isNamespaced {
      guard !named.isEmpty || attempt.request.namespace != nil else {
        throw Failure(
          message: "failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
      }
      namespace = named.isEmpty ? attempt.request.namespace : named
    } else if !named.isEmpty {
      throw Failure(message: "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    }
    let prefix = ResourceRequest.prefix(resource, namespace: namespace)
    if let name = reference["name"].string, !name.isEmpty {
      guard let stored = try await resources.store.get(prefix + name, at: nil) else { return [] }
      return [try await resources.presented(try resources.decoded.object(stored), as: resource)]
    }
    let selection = reference["selector"]
    guard let selector = selection.isEmpty ? .everything : LabelSelector(json: selection) else { return [] }
    let all = try await resources.store.list(prefix: prefix).items.map { try resources.decoded.object($0) }
    return try await resources.presented(all.filter { selector.matches($0["metadata"]["labels"]) }, as: resource)
  }
}
