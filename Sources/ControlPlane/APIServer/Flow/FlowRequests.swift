import APIMachinery
import Authorization
import FlowControl
import HTTPServing
import JSONCodec
import NIOHTTP1
import Synchronization

// Unlike upstream: a write costs one seat whatever the number of watchers that hear of it, and a watch holds its seat only while it is set up.

/// What lists of each kind came to last time, which says what the next one will cost.
final class ListSizes: Sendable {
  /// Objects whose list costs as much as one ordinary request, and the most seats that one list takes.
  static let objectsPerSeat = 100
  static let seatsMax = 10

  private let sizes = Mutex<[String: Int]>([:])

  func note(_ key: String, _ count: Int) { sizes.withLock { $0[key] = count } }

  func width(_ key: String, limit: Int?) -> Int {
    var count = sizes.withLock { $0[key] ?? 0 }
    if let limit, limit > 0 { count = min(count, limit) }
    return min(Self.seatsMax, max(1, (count + Self.objectsPerSeat - 1) / Self.objectsPerSeat))
  }
}

extension APIServer {
  /// Streams that go on for as long as somebody reads them hold no seat.
  private static let longRunning: Set<String> = ["log", "exec", "attach", "portforward", "proxy"]

  static func isLongRunning(_ target: ResourceRequest?) -> Bool { target?.subresource.map(longRunning.contains) ?? false }

  /// A request as FlowSchemas look at it.
  func flowRequest(_ request: ServedRequest, _ user: UserInfo, _ target: ResourceRequest?) -> FlowRequest {
    guard let target else {
      return FlowRequest(user: user.name, groups: user.groups, verb: request.method.rawValue.lowercased(), path: request.path)
    }
    let verb = Self.verb(request, target)
    var width = 1
    if verb == "list" {
      width = listSizes.width(target.resource.plural, limit: request.queryValue("limit").flatMap { Int($0) })
    }
    var namespace = target.namespace ?? ""
    if target.resource.plural == "namespaces", target.resource.group.isEmpty { namespace = target.name ?? "" }
    return FlowRequest(
      user: user.name, groups: user.groups, verb: verb, group: target.resource.group,
      resource: target.resource.plural + (target.subresource.map { "/" + $0 } ?? ""), namespace: namespace, width: width)
  }

  static func verb(_ request: ServedRequest, _ target: ResourceRequest) -> String {
    switch request.method {
    case .GET, .HEAD:
      if let watch = request.queryValue("watch"), watch.isEmpty || watch == "1" || watch.lowercased() == "true" { return "watch" }
      return target.name == nil ? "list" : "get"
    case .POST: return "create"
    case .PUT: return "update"
    case .PATCH: return "patch"
    default: return target.name == nil ? "deletecollection" : "delete"
    }
  }

  /// The answer to a request that waited for its turn, or to one that gets none; both say which objects decided.
  func inTurn(
    _ request: ServedRequest, _ user: UserInfo, _ target: ResourceRequest?, _ answer: () async throws -> ServedResponse,
    failed: (any Error) -> ServedResponse
  ) async -> ServedResponse {
    if Self.isLongRunning(target) {
      do { return try await answer() } catch { return failed(error) }
    }
    var response: ServedResponse
    let pass: FlowGate.Pass
    do {
      pass = try await flow.enter(flowRequest(request, user, target))
    } catch let refusal as FlowGate.Refusal {
      response = failed(refusal.failure)
      Self.name(refusal.pass, &response)
      return response
    } catch {
      return failed(error)
    }
    let isMutating = ![.GET, .HEAD].contains(request.method)
    metrics.began(isMutating: isMutating)
    do { response = try await answer() } catch { response = failed(error) }
    metrics.ended(isMutating: isMutating)
    flow.leave(pass)
    Self.name(pass, &response)
    return response
  }

  private static func name(_ pass: FlowGate.Pass, _ response: inout ServedResponse) {
    response.headers.replaceOrAdd(name: "X-Kubernetes-PF-FlowSchema-UID", value: pass.schema.uid)
    response.headers.replaceOrAdd(name: "X-Kubernetes-PF-PriorityLevel-UID", value: pass.level.uid)
  }
}
