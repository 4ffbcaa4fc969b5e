import JSONCodec
import KubernetesClient

/// A bug that is put in on purpose, to see that the judge finds it.
enum DeliberateBug: String, CaseIterable, Sendable {
  /// The store takes writes whatever they were made from.
  case ignorePreconditions = "ignore-preconditions"
  /// Controllers delete pods without waiting for their node.
  case forceDelete = "force-delete"
  /// Nodes are small, and look large to the scheduler.
  case overcommit
  /// The garbage collector's deletions get lost.
  case forgetOrphans = "forget-orphans"
  /// Budgets always have one more to spare.
  case generousBudget = "generous-budget"
}

struct Faults: Sendable {
  let bug: DeliberateBug?

  func tamper(_ request: APIRequest, by component: String) -> APIRequest {
    var request = request
    switch bug {
    case .forceDelete where component.hasPrefix("controllers") && request.method == "DELETE" && request.path.contains("/pods/"):
      request.body?["gracePeriodSeconds"] = 0
    case .forgetOrphans where component.hasPrefix("controllers") && request.method == "DELETE" && request.path.contains("/replicasets/"):
      request.query.append((name: "dryRun", value: "All"))
    case .generousBudget where request.method == "PUT" && request.path.contains("/poddisruptionbudgets/"):
      let allowed = request.body?["status"]["disruptionsAllowed"].int ?? 0
      request.body?["status"]["disruptionsAllowed"] = JSON(allowed + 1)
    default: break
    }
    return request
  }

  func tamper(_ event: WatchEvent, to component: String) -> WatchEvent {
    guard bug == .overcommit, component.hasPrefix("scheduler"), event.object["kind"].string == "Node" else { return event }
    return WatchEvent(kind: event.kind, object: Self.enlarged(event.object))
  }

  func tamper(_ response: APIResponse, to component: String) -> APIResponse {
    guard bug == .overcommit, component.hasPrefix("scheduler"), response.body["kind"].string == "NodeList" else { return response }
    var body = response.body
    body["items"] = .array((body["items"].array ?? []).map(Self.enlarged))
    return APIResponse(status: response.status, body: body)
  }

  private static func enlarged(_ node: JSON) -> JSON {
    var node = node
    node["status"]["allocatable"]["cpu"] = "40"
    return node
  }
}
