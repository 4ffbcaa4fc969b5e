import ContainerImages
import FoundationEssentials
import JSONCodec
import KubernetesAPI
import KubernetesClient
import OCISpec
import PodLifecycle

/// Makes sure that a container's image is here, by its pull policy, and tells how that went in the words of the
/// waiting reasons and events that people know.
package struct ImageManager: Sendable {
  package enum Outcome: Sendable {
    case ready(ImageRecord)
    /// `wait.retryAt` is the caller's.
    case failed(ContainerWait, isPull: Bool)
  }

  let images: any PodImages
  let client: KubernetesClient
  let events: EventRecorder
  let clock: KubeletClock

  package init(images: any PodImages, client: KubernetesClient, events: EventRecorder, clock: KubeletClock) {
    self.images = images
    self.client = client
    self.events = events
    self.clock = clock
  }

  package func resolve(_ container: Container, list: String, of pod: Pod) async -> Outcome {
    let name = container.image
    func say(_ kind: EventRecorder.Kind, _ reason: String, _ message: String) {
      events.record(pod, container: container.name, list: list, kind, reason, message)
    }
    func fail(_ reason: String, _ message: String, isPull: Bool = false) -> Outcome {
      say(.warning, "Failed", "Error: \(reason)")
      return .failed(ContainerWait(reason: reason, message: message), isPull: isPull)
    }
    do {
      _ = try ImageReference(parsing: name)
    } catch {
      let message = "Failed to apply default image tag \"\(name)\": \(error)"
      say(.warning, "InspectFailed", message)
      return fail(WaitingReason.invalidImageName, message)
    }
    if container.imagePullPolicy != "Always", let record = await images.image(named: name) {
      say(.normal, "Pulled", "Container image \"\(name)\" already present on machine")
      return .ready(record)
    }
    if container.imagePullPolicy == "Never" {
      let message = "Container image \"\(name)\" is not present with pull policy of Never"
      say(.warning, WaitingReason.errImageNeverPull, message)
      return fail(WaitingReason.errImageNeverPull, message)
    }
    say(.normal, "Pulling", "Pulling image \"\(name)\"")
    let began = clock.now()
    do {
      let record = try await images.pull(name, credentials: await credentials(for: pod))
      let seconds = clock.now().seconds(since: began)
      let duration = seconds < 1 ? "\(Int(seconds * 1000))ms" : "\(Double(Int(seconds * 1000)) / 1000)s"
      say(
        .normal, "Pulled",
        "Successfully pulled image \"\(name)\" in \(duration) (\(duration) including waiting). Image size: \(record.size) bytes.")
      return .ready(record)
    } catch {
      let message = "failed to pull image \"\(name)\": \(error)"
      say(.warning, "Failed", "Failed to pull image \"\(name)\": \(error)")
      let reason = (error as? ImageError)?.waitingReason ?? WaitingReason.errImagePull
      return fail(reason, message, isPull: true)
    }
  }

  /// The logins of the pod's image pull secrets; one that cannot be read is told in an event and skipped.
  private func credentials(for pod: Pod) async -> [RegistryCredential] {
    var result: [RegistryCredential] = []
    var missing: [String] = []
    for name in pod.spec.imagePullSecrets {
      do {
        let secret = try await client.get(.secrets(pod.namespace), name: name)
        result += try Self.logins(in: secret)
      } catch {
        missing.append(name)
      }
    }
    if !missing.isEmpty {
      events.record(
        pod, .warning, "FailedToRetrieveImagePullSecret",
        "Unable to retrieve some image pull secrets (\(missing.joined(separator: ", "))); attempting to pull the image may not succeed.")
    }
    return result
  }

  /// A secret of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg.
  static func logins(in secret: JSON) throws -> [RegistryCredential] {
    for key in [".dockerconfigjson", ".dockercfg"] {
      guard let text = secret["data"][key].string else { continue }
      guard let bytes = Data(base64Encoded: text) else { throw ImageError(.malformed, "\(key) is not base64") }
      return try RegistryCredential.parse(pullSecret: Array(bytes))
    }
    throw ImageError(.malformed, "the secret has neither .dockerconfigjson nor .dockercfg")
  }
}
