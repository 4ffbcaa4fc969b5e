import HTTPServing
import JSONCodec
import NIOCore
import NIOHTTP1

/// The paths of the kubelet's endpoint.
struct KubeletRoutes: Sendable {
  let backend: any KubeletBackend
  let nodeName: String

  func answer(_ request: ServedRequest) async -> ServedResponse {
    let parts = request.path.split(separator: "/").map(String.init)
    guard let first = parts.first else { return .notFound }
    let rest = Array(parts.dropFirst())
    do throws(BackendError) {
      switch first {
      case "exec": return try await exec(request, containerTarget(rest))
      case "attach": return try await attach(request, containerTarget(rest))
      case "portForward": return try await portForward(request, podTarget(rest))
      case "run": return try await run(request, containerTarget(rest))
      default: break
      }
      guard request.method == .GET || request.method == .HEAD else { return .text(.methodNotAllowed, "405: Method Not Allowed") }
      switch first {
      case "pods" where rest.isEmpty: return .json(podList(await backend.pods()))
      case "runningpods" where rest.isEmpty: return .json(podList(await backend.pods().compactMap(runningPart)))
      case "containerLogs": return try await logs(request, containerTarget(rest))
      case "logs": return SystemLogs().answer(rest, isDirectoryPath: request.path.hasSuffix("/"))
      case "configz" where rest.isEmpty: return .json(["kubeletconfig": await backend.configuration()])
      case "stats": return rest == ["summary"] ? .json(await summary(request)) : .notFound
      case "metrics": return await metrics(rest)
      case "healthz": return await health(rest)
      case "runtime" where rest.isEmpty: return .json(await backend.inspectRuntime())
      case "node" where rest.isEmpty:
        guard let node = await backend.node() else { return .text(.notFound, "the node is not registered yet") }
        return .json(node)
      default: return .notFound
      }
    } catch { return .refused(error) }
  }

  /// namespace / pod / [uid /] container
  private func containerTarget(_ parts: [String]) throws(BackendError) -> ContainerTarget {
    switch parts.count {
    case 3: return ContainerTarget(namespace: parts[0], pod: parts[1], container: parts[2])
    case 4: return ContainerTarget(namespace: parts[0], pod: parts[1], uid: parts[2], container: parts[3])
    default: throw .notFound("404 page not found")
    }
  }

  /// namespace / pod [/ uid]
  private func podTarget(_ parts: [String]) throws(BackendError) -> ContainerTarget {
    switch parts.count {
    case 2: return ContainerTarget(namespace: parts[0], pod: parts[1])
    case 3: return ContainerTarget(namespace: parts[0], pod: parts[1], uid: parts[2])
    default: throw .notFound("404 page not found")
    }
  }

  // MARK: what runs here

  private func podList(_ pods: [JSON]) -> JSON {
    ["kind": "PodList", "apiVersion": "v1", "metadata": .object(JSONObject()), "items": .array(pods)]
  }

  /// Names, image and command of what runs of a pod; nil where nothing does.
  private func runningPart(_ pod: JSON) -> JSON? {
    let running = (pod.at("status", "containerStatuses").array ?? []).filter { $0["state"]["running"].object != nil }
    guard !running.isEmpty else { return nil }
    let metadata = pod["metadata"]
    return [
      "metadata": ["name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]],
      "spec": ["containers": .array(running.map { ["name": $0["name"], "image": $0["image"]] })],
      "status": ["phase": "Running"],
    ]
  }

  private func summary(_ request: ServedRequest) async -> JSON {
    let summary = await backend.statsSummary()
    guard ["1", "true"].contains(request.queryValue("only_cpu_and_memory")) else { return summary }
    func trimmed(_ entry: JSON, keeping names: [String]) -> JSON {
      .object(JSONObject((entry.object ?? JSONObject()).filter { names.contains($0.0) }))
    }
    let pods = (summary["pods"].array ?? []).map { pod in
      var pod = trimmed(pod, keeping: ["podRef", "startTime", "containers", "cpu", "memory"])
      pod["containers"] = .array((pod["containers"].array ?? []).map { trimmed($0, keeping: ["name", "startTime", "cpu", "memory"]) })
      return pod
    }
    return [
      "node": trimmed(summary["node"], keeping: ["nodeName", "startTime", "systemContainers", "cpu", "memory"]), "pods": .array(pods),
    ]
  }

  private func metrics(_ rest: [String]) async -> ServedResponse {
    let text: String
    switch rest {
    case []: text = KubeletMetrics.kubelet(pods: await backend.pods(), nodeName: nodeName)
    case ["resource"]: text = KubeletMetrics.resource(summary: await backend.statsSummary())
    case ["cadvisor"]: text = KubeletMetrics.cadvisor(summary: await backend.statsSummary())
    default: return .notFound
    }
    return ServedResponse(headers: ["Content-Type": "text/plain; version=0.0.4; charset=utf-8"], body: .bytes(ByteBuffer(string: text)))
  }

  private func health(_ rest: [String]) async -> ServedResponse {
    switch rest {
    case [], ["ping"], ["log"]: return .text(.ok, "ok")
    case ["syncloop"]: return await backend.node() == nil ? .text(.internalServerError, "the node is not registered yet") : .text(.ok, "ok")
    default: return .notFound
    }
  }

  // MARK: logs

  private func logs(_ request: ServedRequest, _ target: ContainerTarget) async throws(BackendError) -> ServedResponse {
    let options = try LogOptions(query: request)
    let log = try await backend.containerLogs(target, options: options)
    return ServedResponse(
      headers: ["Content-Type": "text/plain"],
      body: .stream { writer in try await log.copy { try await writer.write($0) } })
  }
}

extension ServedResponse {
  static let notFound = ServedResponse.text(.notFound, "404 page not found\n")

  static func json(_ document: JSON) -> ServedResponse {
    ServedResponse(headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(bytes: document.serialized())))
  }

  static func refused(_ error: BackendError) -> ServedResponse { .text(HTTPResponseStatus(statusCode: error.status), error.message + "\n") }
}
