import JSONCodec
import KubernetesAPI

/// Deletes finished Jobs whose time to live is over.
package struct FinishedJobReconciler: Reconciler {
  package let name = "ttl-after-finished-controller"
  package let watched: [Kind] = [.job]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    guard let job = change.new, !job["spec"]["ttlSecondsAfterFinished"].isNull, !job.isBeingDeleted, JobReconciler.isFinished(job) else {
      return []
    }
    return [change.name]
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let job = cluster.object(.job, key), !job.isBeingDeleted, let seconds = job["spec"]["ttlSecondsAfterFinished"].int,
      let finished = JobReconciler.finish(job)?["lastTransitionTime"].timestamp
    else { return [] }
    let left = Double(seconds) - circumstances.now.seconds(since: finished)
    if left > 0 { return [.requeue(after: left)] }
    let version = job["metadata"]["resourceVersion"].string
    return [.delete(.job, key, uid: job.uid, Write.Deletion(propagation: "Foreground", resourceVersion: version))]
  }
}
