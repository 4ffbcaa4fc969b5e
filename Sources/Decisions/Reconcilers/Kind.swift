/// A kind of objects, as far as a controller needs to know it to read and write them.
package struct Kind: Hashable, Sendable, CustomStringConvertible {
  /// Empty for the core group.
  package let group: String
  package let version: String
  package let kind: String
  package let plural: String
  package let isNamespaced: Bool

  package init(_ group: String, _ version: String, _ kind: String, _ plural: String, isNamespaced: Bool = true) {
    self.group = group
    self.version = version
    self.kind = kind
    self.plural = plural
    self.isNamespaced = isNamespaced
  }

  package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
  package var description: String { group.isEmpty ? plural : "\(plural).\(group)" }

  package static let pod = Kind("", "v1", "Pod", "pods")
  package static let node = Kind("", "v1", "Node", "nodes", isNamespaced: false)
  package static let namespace = Kind("", "v1", "Namespace", "namespaces", isNamespaced: false)
  package static let service = Kind("", "v1", "Service", "services")
  package static let endpoints = Kind("", "v1", "Endpoints", "endpoints")
  package static let replicationController = Kind("", "v1", "ReplicationController", "replicationcontrollers")
  package static let persistentVolume = Kind("", "v1", "PersistentVolume", "persistentvolumes", isNamespaced: false)
  package static let persistentVolumeClaim = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
  package static let replicaSet = Kind("apps", "v1", "ReplicaSet", "replicasets")
  package static let deployment = Kind("apps", "v1", "Deployment", "deployments")
  package static let daemonSet = Kind("apps", "v1", "DaemonSet", "daemonsets")
  package static let statefulSet = Kind("apps", "v1", "StatefulSet", "statefulsets")
  package static let controllerRevision = Kind("apps", "v1", "ControllerRevision", "controllerrevisions")
  package static let job = Kind("batch", "v1", "Job", "jobs")
  package static let cronJob = Kind("batch", "v1", "CronJob", "cronjobs")
  package static let endpointSlice = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
  package static let disruptionBudget = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
  package static let autoscaler = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
  package static let lease = Kind("coordination.k8s.io", "v1", "Lease", "leases")
  package static let volumeAttachment = Kind("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", isNamespaced: false)
  package static let csiDriver = Kind("storage.k8s.io", "v1", "CSIDriver", "csidrivers", isNamespaced: false)
  package static let storageClass = Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", isNamespaced: false)
}

/// Where an object of a known kind stands.
package struct ObjectName: Hashable, Sendable, CustomStringConvertible {
  /// Empty for cluster-scoped kinds.
  package let namespace: String
  package let name: String

  package init(_ namespace: String, _ name: String) {
    self.namespace = namespace
    self.name = name
  }

  package var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }
}
