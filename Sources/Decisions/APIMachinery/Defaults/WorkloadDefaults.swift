import JSONCodec

extension Defaulting {
  static let workloadRules: [String: Rule] = [
    "core/v1.ReplicationController": { controller in
      let labels = controller["spec"]["template"]["metadata"]["labels"]
      guard !labels.isEmpty else { return }
      if controller["spec"]["selector"].isEmpty { controller["spec"]["selector"] = labels }
      if controller["metadata"]["labels"].isEmpty { controller["metadata"]["labels"] = labels }
    },
    "apps/v1.DeploymentStrategy": { fillRollingUpdate(&$0) },
    "apps/v1.DaemonSetUpdateStrategy": { fillRollingUpdate(&$0) },
    "apps/v1.StatefulSetUpdateStrategy": { fillRollingUpdate(&$0) },
    "apps/v1.StatefulSetSpec": { spec in
      guard !spec["volumeClaimTemplates"].isNull else { return }
      spec["volumeClaimTemplates"].forEachItem { template in
        template.fill("kind", "PersistentVolumeClaim")
        template.fill("apiVersion", "v1")
      }
    },
    "batch/v1.Job": { job(&$0) },
  ]

  private static func fillRollingUpdate(_ strategy: inout JSON) {
    if strategy["type"] == "RollingUpdate" { strategy.fill("rollingUpdate", .object(JSONObject())) }
  }

  /// Jobs only: the template of a CronJob keeps these open.
  private static func job(_ job: inout JSON) {
    if job["metadata"]["labels"].isEmpty { job["metadata"]["labels"] = job["spec"]["template"]["metadata"]["labels"] }
    var spec = job["spec"]
    if spec["completions"].isNull, spec["parallelism"].isNull { spec["completions"] = 1 }
    spec.fill("parallelism", 1)
    let backoffLimit: JSON = spec["backoffLimitPerIndex"].isNull ? 6 : 2_147_483_647
    spec.fill("backoffLimit", backoffLimit)
    spec.fill("completionMode", "NonIndexed")
    spec.fill("suspend", false)
    let replacement: JSON = spec["podFailurePolicy"].isNull ? "TerminatingOrFailed" : "Failed"
    spec.fill("podReplacementPolicy", replacement)
    spec.fill("manualSelector", false)
    job["spec"] = spec
    selectOwnPods(&job)
  }

  /// A job finds its pods by its own UID, which it has once it is being created.
  private static func selectOwnPods(_ job: inout JSON) {
    guard job["spec"]["manualSelector"] != true, job["spec"]["selector"].isNull, let uid = job["metadata"]["uid"].string, !uid.isEmpty
    else { return }
    job["spec"]["selector"] = ["matchLabels": ["batch.kubernetes.io/controller-uid": .string(uid)]]
    let name = job["metadata"]["name"]
    let labels: JSONObject = JSONObject([
      ("batch.kubernetes.io/controller-uid", .string(uid)), ("controller-uid", .string(uid)), ("batch.kubernetes.io/job-name", name),
      ("job-name", name),
    ])
    for (key, value) in labels { job["spec"]["template"]["metadata"]["labels"].fill(key, value) }
  }
}
