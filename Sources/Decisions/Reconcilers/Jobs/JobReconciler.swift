import JSONCodec
import KubernetesAPI

/// Runs the pods of a Job until enough have succeeded or too many have failed. Each pod has a finalizer until it is
/// counted, so that none is missed and none is counted twice.
package struct JobReconciler: Reconciler {
  static let finalizer = "batch.kubernetes.io/job-tracking"
  static let indexAnnotation = "batch.kubernetes.io/job-completion-index"
  static let failuresAnnotation = "batch.kubernetes.io/job-index-failure-count"
  static let ignoredAnnotation = "batch.kubernetes.io/job-index-ignored-failure-count"
  static let nameLabel = "batch.kubernetes.io/job-name"
  /// Pods that one round creates or deletes at most.
  static let burstMax = 500
  /// Seconds before a failed pod is replaced for the first time, doubling, and at most.
  static let backoffFirst = 10.0
  static let backoffMax = 600.0

  package let name = "job-controller"
  package let watched: [Kind] = [.job, .pod]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    if change.kind == .job { return [change.name] }
    var keys = ownerKeys(of: change, .job, in: cluster) { LabelSelector(json: $0["spec"]["selector"]) }
    // A pod whose job let go of it still has the finalizer.
    if let new = change.new, new.meta.controller == nil, new.meta.finalizers.contains(Self.finalizer),
      let job = new["metadata"]["labels"][Self.nameLabel].string
    {
      keys.append(ObjectName(change.name.namespace, job))
    }
    return keys
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    let job = cluster.object(.job, key)
    let strays = strays(key, uid: job?.uid, in: cluster)
    guard let job, (job["spec"]["managedBy"].string ?? "kubernetes.io/job-controller") == "kubernetes.io/job-controller",
      let selector = LabelSelector(json: job["spec"]["selector"])
    else { return strays }
    if Self.isFinished(job) {
      return strays + cluster.controlled(.pod, by: job.uid).filter { $0.meta.finalizers.contains(Self.finalizer) }.map(Self.release)
    }
    let claims = Claims(of: job, .job, .pod, selector: selector, in: cluster, finalizer: Self.finalizer)
    var run = JobRun(job, pods: claims.members, circumstances)
    run.writes = strays + claims.writes
    run.run()
    return run.writes
  }

  static func isFinished(_ job: JSON) -> Bool { finish(job) != nil }

  /// The condition that says that a job is over.
  static func finish(_ job: JSON) -> JSON? {
    ["Complete", "Failed"].lazy.compactMap { job.condition($0) }.first { $0["status"].string == "True" }
  }

  /// Pods that wait to be counted by a job that is gone.
  private func strays(_ key: ObjectName, uid: String?, in cluster: any ClusterReader) -> [Write] {
    let orphans = cluster.orphans(.pod, namespace: key.namespace).filter { $0["metadata"]["labels"][Self.nameLabel].string == key.name }
    let adopted = uid != nil ? [] : cluster.objects(.pod, namespace: key.namespace).filter { $0.controllerName(.job) == key }
    return (adopted + (uid == nil ? orphans : [])).filter { $0.meta.finalizers.contains(Self.finalizer) }.map(Self.release)
  }

  /// Takes the finalizer off a pod.
  static func release(_ pod: JSON) -> Write {
    .patch(
      .pod, pod.objectName, uid: pod.uid,
      [
        "metadata": [
          "uid": .string(pod.uid), "resourceVersion": pod["metadata"]["resourceVersion"],
          "finalizers": JSON(pod.meta.finalizers.filter { $0 != finalizer }),
        ]
      ])
  }
}
