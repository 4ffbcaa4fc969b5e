import JSONCodec
import KubernetesAPI
import KubernetesClient
import Synchronization

/// The runtimes that pods can ask for by class: this node has one.
package final class RuntimeClasses: Sendable {
  /// The default's handler, and the name by which a class can ask for it.
  package static let handlers = ["", "swiftlet"]

  /// A class that cannot be used; the text follows "Failed to create pod sandbox: ".
  package struct Refusal: Error, CustomStringConvertible, Sendable {
    package let description: String
  }

  private let client: KubernetesClient
  /// Handlers of classes that were asked for, for when the API is away: a class's handler never changes.
  private let known = Mutex<[String: String]>([:])

  package init(client: KubernetesClient) { self.client = client }

  /// Throws where the pod asks for a runtime that this node does not have.
  package func check(_ pod: Pod) async throws {
    if pod.spec.json["hostUsers"].bool == false {
      // Never with less separation than was asked for.
      throw Refusal(description: "can't set `spec.hostUsers: false`, runtime does not support user namespaces")
    }
    guard let name = pod.spec.json["runtimeClassName"].string, !name.isEmpty else { return }
    let handler = try await handler(of: name)
    guard Self.handlers.contains(handler) else {
      throw Refusal(description: "failed to get sandbox runtime: no runtime for \"\(handler)\" is configured")
    }
  }

  private func handler(of name: String) async throws -> String {
    do {
      let found = try await client.get(ResourcePath(group: "node.k8s.io", "runtimeclasses"), name: name)
      let handler = found["handler"].string ?? ""
      known.withLock { $0[name] = handler }
      return handler
    } catch let error as APIStatusError {
      throw Refusal(description: error.message)
    } catch {
      if let handler = known.withLock({ $0[name] }) { return handler }
      throw Refusal(description: "failed to lookup RuntimeClass \(name): \(error)")
    }
  }
}
