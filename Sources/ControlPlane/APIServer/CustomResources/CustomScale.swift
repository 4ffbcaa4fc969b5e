import APIMachinery
import JSONCodec
import KubernetesAPI

extension APIServer {
  /// The scale subresource of a custom resource.
  func customScale(_ call: APICall, _ request: ResourceRequest, _ custom: CustomResource) async throws -> APIResult {
    func scale(_ object: JSON) throws -> JSON {
      guard let scale = custom.scale(of: object) else {
        throw APIFailure.internalError(
          "the spec replicas field \".\(custom.scale?.specReplicas.joined(separator: ".") ?? "")\" does not exist")
      }
      return scale
    }
    if call.method == "GET" { return .object(try scale(try await resources.stored(request).object)) }
    let body = try call.decodedBody(registry).object
    let context = try WriteContext(call, subresource: "scale")
    let object = try await resources.update(request, context) { current in
      let present = custom.scale(of: current) ?? ["kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": current["metadata"]]
      var wanted = body
      switch call.contentType.prefix(while: { $0 != ";" }) {
      case "application/json-patch+json": wanted = try jsonPatch(original: present, patch: body)
      case _ where call.method == "PATCH": wanted = jsonMergePatch(original: present, patch: body)
      default: break
      }
      let replicas = wanted["spec"]["replicas"].int ?? 0
      guard replicas >= 0 else {
        throw Self.invalid(
          request.resource, request.name ?? "", "spec.replicas", "FieldValueInvalid",
          "Invalid value: \(replicas): should be a non-negative integer")
      }
      var changed = current
      custom.setReplicas(replicas, in: &changed)
      if let version = wanted["metadata"]["resourceVersion"].string, !version.isEmpty {
        changed["metadata"]["resourceVersion"] = .string(version)
      }
      return changed
    }
    return .object(try scale(object))
  }
}
