import ContainerImages
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import PodLifecycle

/// What every pod worker shares: the rooms it acts through. Holds no state of its own.
package struct PodServices: Sendable {
  package let configuration: KubeletConfiguration
  package let client: KubernetesClient
  package let runtime: any PodRuntime
  package let images: ImageManager
  package let network: any PodNetworking
  /// Nil: nobody on this node is asked before a pod ends.
  package let endpoints: (any PodEndpoints)?
  package let volumes: any PodVolumes
  package let environments: any PodEnvironments
  package let events: EventRecorder
  package let prober: Prober
  package let runtimeClasses: RuntimeClasses
  package let clock: KubeletClock
  package let log: Logger
  /// Bytes of memory of this machine.
  package let memoryBytes: Int64
  /// Asks the node for other resources for a pod that is admitted; nil: granted, from now on counted so.
  let grantResize: @Sendable (Pod) -> ResizePending?

  /// `<log directory>/<namespace>_<name>_<uid>`.
  func logDirectory(of pod: Pod) -> String {
    "\(configuration.logDirectory)/\(pod.namespace)_\(pod.name)_\(pod.uid)"
  }

  /// `<pod's log directory>/<container>/<attempt>.log`.
  func logPath(of pod: Pod, container: String, attempt: Int) -> String {
    "\(logDirectory(of: pod))/\(container)/\(attempt).log"
  }
}
