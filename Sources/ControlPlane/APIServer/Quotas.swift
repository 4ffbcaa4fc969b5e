import Admission
import JSONCodec
import KubernetesAPI
import RevisionStore
import Synchronization

/// Keeps what namespaces use within their quotas: a write is charged before it is made, with the quota's revision as the
/// precondition, so that writers side by side never take more than there is.
final class Quotas: Sendable {
  /// How often a charge is tried again when another writer was faster.
  static let triesMax = 64

  /// Writes that are charged and not made yet, by namespace: a recount would miss them.
  private let underway = Mutex<[String: Int]>([:])

  func charging<Value>(
    _ object: JSON, _ attributes: AdmissionAttributes, namespace: String, isDryRun: Bool, _ resources: Resources,
    _ write: () async throws -> Value
  ) async throws -> Value {
    begin(namespace)
    defer { end(namespace) }
    let charged = try await charge(object, attributes, namespace, isDryRun, resources)
    do {
      return try await write()
    } catch {
      if charged { await refund(namespace, resources) }
      throw error
    }
  }

  /// True where a quota was changed.
  private func charge(
    _ object: JSON, _ attributes: AdmissionAttributes, _ namespace: String, _ isDryRun: Bool, _ resources: Resources
  ) async throws -> Bool {
    let info = resources.resource("resourcequotas")
    let prefix = ResourceRequest.prefix(info, namespace: namespace)
    var done: Set<String> = []
    for _ in 0..<Self.triesMax {
      let page = try await resources.store.list(prefix: prefix)
      guard !page.items.isEmpty else { return false }
      // A quota that is charged already has counted the object.
      let quotas = try page.items.map { try resources.decoded.object($0) }.filter { !done.contains($0["metadata"]["name"].string ?? "") }
      let charges: [QuotaCharge]
      do {
        charges = try ResourceQuotas.check(quotas, object: object, attributes: attributes, now: .now)
      } catch {
        if !done.isEmpty { await refund(namespace, resources) }
        throw APIFailure(error)
      }
      if isDryRun || charges.isEmpty { return !done.isEmpty }
      guard try await commit(charges, prefix, &done, resources) else { continue }
      return true
    }
    throw APIFailure.conflict(
      info, "", "unable to charge the quota of namespace \(namespace): too many others were faster; please try again")
  }

  /// False where somebody else changed one of the quotas.
  private func commit(_ charges: [QuotaCharge], _ prefix: String, _ done: inout Set<String>, _ resources: Resources) async throws -> Bool {
    for charge in charges {
      guard let revision = Revision(charge.resourceVersion) else { return false }
      do {
        try await resources.store.write(
          .put(key: prefix + charge.name, value: StoredForm.encode(charge.quota), .revision(revision)))
        done.insert(charge.name)
      } catch let error as RevisionStoreError {
        switch error.code {
        case .conflict, .notFound: return false
        default: throw error
        }
      }
    }
    return true
  }

  private func begin(_ namespace: String) { underway.withLock { $0[namespace, default: 0] += 1 } }

  private func end(_ namespace: String) {
    underway.withLock { underway in
      let left = (underway[namespace] ?? 1) - 1
      underway[namespace] = left > 0 ? left : nil
    }
  }

  // MARK: recounting

  /// What was charged for a write that did not happen is found by counting.
  private func refund(_ namespace: String, _ resources: Resources) async {
    do {
      // This write itself is still counted as under way.
      _ = try await recount(namespace, resources, except: 1)
    } catch {
      resources.log.warning("the quotas of namespace \(namespace) were not recounted: \(error)")
    }
  }

  /// Counts everything in a namespace anew. False where writes were under way or a quota changed meanwhile: to be repeated.
  func recount(_ namespace: String, _ resources: Resources, except own: Int = 0) async throws -> Bool {
    let prefix = ResourceRequest.prefix(resources.resource("resourcequotas"), namespace: namespace)
    let page = try await resources.store.list(prefix: prefix)
    guard underway.withLock({ ($0[namespace] ?? 0) <= own }) else { return false }
    var isDone = true
    for item in page.items {
      var quota = try StoredForm.decode(item.value, revision: item.revision)
      var objects: [CountedResource: [JSON]] = [:]
      for counted in ResourceQuotas.counted(by: quota) {
        let info = resources.registry.resources.first { $0.group == counted.group && $0.plural == counted.resource && $0.isNamespaced }
        guard let info else { continue }
        let list = try await resources.store.list(prefix: ResourceRequest.prefix(info, namespace: namespace))
        objects[counted] = try list.items.map { try StoredForm.decode($0.value, revision: $0.revision) }
      }
      let status = ResourceQuotas.status(of: quota, objects: objects, now: .now)
      guard status != quota["status"] else { continue }
      quota["status"] = status
      do {
        try await resources.store.write(.put(key: item.key, value: StoredForm.encode(quota), .revision(item.revision)))
      } catch let error as RevisionStoreError {
        switch error.code {
        case .notFound: continue
        case .conflict: isDone = false
        default: throw error
        }
      }
    }
    return isDone
  }
}
