import JSONCodec
import KubernetesAPI

extension Findings {
  /// Selector and template of a workload of apps/v1, which belong together.
  private mutating func selectorAndTemplate(_ spec: JSON, old: JSON?, _ kind: String) {
    let path = FieldPath("spec")
    let selector = spec["selector"]
    if selector.isNull {
      required(path / "selector")
    } else {
      labelSelector(selector, path / "selector")
      if selector["matchLabels"].isEmpty, selector["matchExpressions"].isEmpty {
        invalid(path / "selector", .object(JSONObject()), "empty selector is invalid for \(kind)")
      }
    }
    if spec["template"].isNull { required(path / "template") }
    let templateLabels = spec["template"]["metadata"]["labels"]
    if let parsed = LabelSelector(json: selector), !parsed.selectsEverything, !parsed.matches(templateLabels) {
      invalid(
        path / "template" / "metadata" / "labels", templateLabels.isNull ? .object(JSONObject()) : templateLabels,
        "`selector` does not match template `labels`")
    }
    template(spec["template"], path / "template", restartPolicies: ["Always"])
    if !spec["template"]["spec"]["activeDeadlineSeconds"].isNull {
      forbidden(path / "template" / "spec" / "activeDeadlineSeconds", "activeDeadlineSeconds in \(Self.title(kind)) is not Supported")
    }
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] { notNegative(spec[field], path / field) }
    if let old { immutable(selector, old["spec"]["selector"], path / "selector") }
  }

  private static func title(_ kind: String) -> String {
    ["deployment": "Deployment", "replicaset": "ReplicaSet", "daemonset": "DaemonSet", "statefulset": "StatefulSet"][kind] ?? kind
  }

  /// A share that may not pass all of it.
  private mutating func atMostAll(_ json: JSON, _ path: FieldPath) {
    if let text = json.string, let value = Int(text.dropLast()), value > 100 { invalid(path, json, "must not be greater than 100%") }
  }

  private static func isZero(_ json: JSON) -> Bool { json.isNull || json == 0 || json == "0%" }

  mutating func deployment(_ deployment: JSON, old: JSON?) {
    let spec = deployment["spec"]
    selectorAndTemplate(spec, old: old, "deployment")
    let path = FieldPath("spec.strategy")
    let update = spec["strategy"]["rollingUpdate"]
    switch spec["strategy"]["type"].string {
    case "Recreate":
      if !update.isNull { forbidden(path / "rollingUpdate", "may not be specified when strategy `type` is 'Recreate'") }
    case "RollingUpdate":
      for field in ["maxUnavailable", "maxSurge"] { countOrPercent(update[field], path / "rollingUpdate" / field) }
      atMostAll(update["maxUnavailable"], path / "rollingUpdate" / "maxUnavailable")
      if Self.isZero(update["maxUnavailable"]), Self.isZero(update["maxSurge"]) {
        invalid(path / "rollingUpdate" / "maxUnavailable", update["maxUnavailable"], "may not be 0 when `maxSurge` is 0")
      }
    default: notSupported(path / "type", spec["strategy"]["type"], ["Recreate", "RollingUpdate"])
    }
    guard let deadline = spec["progressDeadlineSeconds"].int else { return }
    notNegative(spec["progressDeadlineSeconds"], FieldPath("spec.progressDeadlineSeconds"))
    if deadline <= spec["minReadySeconds"].int ?? 0 {
      invalid(FieldPath("spec.progressDeadlineSeconds"), spec["progressDeadlineSeconds"], "must be greater than minReadySeconds")
    }
  }

  mutating func replicaSet(_ set: JSON, old: JSON?) { selectorAndTemplate(set["spec"], old: old, "replicaset") }

  mutating func replicationController(_ controller: JSON) {
    let spec = controller["spec"]
    if spec["selector"].isEmpty { required(FieldPath("spec.selector")) }
    notNegative(spec["replicas"], FieldPath("spec.replicas"))
    if spec["template"].isNull { return required(FieldPath("spec.template")) }
    for (key, value) in spec["selector"].object ?? JSONObject() where spec["template"]["metadata"]["labels"][key] != value {
      invalid(
        FieldPath("spec.template.metadata.labels"), spec["template"]["metadata"]["labels"], "`selector` does not match template `labels`")
      break
    }
    template(spec["template"], FieldPath("spec.template"), restartPolicies: ["Always"])
  }

  mutating func daemonSet(_ set: JSON, old: JSON?) {
    let spec = set["spec"]
    selectorAndTemplate(spec, old: old, "daemonset")
    let path = FieldPath("spec.updateStrategy")
    let update = spec["updateStrategy"]["rollingUpdate"]
    switch spec["updateStrategy"]["type"].string {
    case "OnDelete": break
    case "RollingUpdate":
      if update.isNull { return required(path / "rollingUpdate") }
      let at = path / "rollingUpdate"
      for field in ["maxUnavailable", "maxSurge"] {
        countOrPercent(update[field], at / field)
        atMostAll(update[field], at / field)
      }
      switch (Self.isZero(update["maxUnavailable"]), Self.isZero(update["maxSurge"])) {
      case (true, true): required(at / "maxUnavailable", "cannot be 0 when maxSurge is 0")
      case (false, false): invalid(at / "maxSurge", update["maxSurge"], "may not be set when maxUnavailable is non-zero")
      default: break
      }
    default: notSupported(path, spec["updateStrategy"]["type"], ["OnDelete", "RollingUpdate"])
    }
  }

  /// The spec with a volume for each claim: pods have them though the template does not name them, and containers may mount them.
  private static func withClaims(_ spec: JSON) -> JSON {
    let volumes = spec["template"]["spec"]["volumes"].items
    let claims = spec["volumeClaimTemplates"].items.map { $0["metadata"]["name"] }.filter { name in !volumes.contains { $0["name"] == name }
    }
    guard !claims.isEmpty else { return spec }
    var whole = spec
    whole["template"]["spec"]["volumes"] = .array(volumes + claims.map { ["name": $0, "persistentVolumeClaim": ["claimName": "claim"]] })
    return whole
  }

  mutating func statefulSet(_ set: JSON, old: JSON?) {
    let spec = set["spec"]
    let path = FieldPath("spec")
    selectorAndTemplate(Self.withClaims(spec), old: nil, "statefulset")
    let policy = spec["podManagementPolicy"]
    if !["OrderedReady", "Parallel"].contains(policy.string ?? "") {
      invalid(path / "podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    }
    let strategy = spec["updateStrategy"]
    switch strategy["type"].string {
    case "OnDelete":
      if !strategy["rollingUpdate"].isNull {
        invalid(path / "updateStrategy" / "rollingUpdate", strategy["rollingUpdate"], "only allowed for updateStrategy 'RollingUpdate'")
      }
    case "RollingUpdate": notNegative(strategy["rollingUpdate"]["partition"], path / "updateStrategy" / "rollingUpdate" / "partition")
    default: invalid(path / "updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'")
    }
    if !spec["serviceName"].isEmpty { check(spec["serviceName"], path / "serviceName", NameProblems.dnsLabel) }
    notNegative(spec["ordinals"]["start"], path / "ordinals" / "start")
    guard let old else { return }
    var kept = spec
    let free = [
      "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
      "minReadySeconds",
    ]
    for field in free { kept[field] = old["spec"][field] }
    if kept != old["spec"] {
      forbidden(
        path,
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
      )
    }
  }

  mutating func job(_ job: JSON, old: JSON?) {
    jobSpec(job["spec"], FieldPath("spec"))
    if job["spec"]["selector"].isNull { required(FieldPath("spec.selector")) }
    guard let old else { return }
    let path = FieldPath("spec")
    let before = old["spec"]
    let spec = job["spec"]
    if spec["completionMode"] != "Indexed" || spec["completions"] != spec["parallelism"] {
      immutable(spec["completions"], before["completions"], path / "completions")
    }
    for field in ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy", "managedBy"] {
      immutable(spec[field], before[field], path / field)
    }
    let mayReschedule = before["suspend"] == true && old["status"]["startTime"].isNull
    if !mayReschedule { immutable(spec["template"], before["template"], path / "template") }
  }

  private mutating func jobSpec(_ spec: JSON, _ path: FieldPath) {
    for field in [
      "parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "backoffLimitPerIndex",
      "maxFailedIndexes",
    ] {
      notNegative(spec[field], path / field)
    }
    oneOf(spec["completionMode"], path / "completionMode", ["NonIndexed", "Indexed"])
    if spec["completionMode"] == "Indexed" {
      if spec["completions"].isNull { required(path / "completions", "when completion mode is Indexed") }
      if let parallelism = spec["parallelism"].int, parallelism > 100_000 {
        invalid(path / "parallelism", spec["parallelism"], "must be less than or equal to 100000 when completion mode is Indexed")
      }
    } else {
      for field in ["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"] where !spec[field].isNull {
        invalid(path / field, spec[field], "requires indexed completion mode")
      }
    }
    template(spec["template"], path / "template", restartPolicies: ["Always", "OnFailure", "Never"])
    if spec["template"]["spec"]["restartPolicy"] == "Always" {
      required(path / "template" / "spec" / "restartPolicy", "valid values: \"OnFailure\", \"Never\"")
    }
    labelSelector(spec["selector"], path / "selector")
  }

  mutating func cronJob(_ cronJob: JSON) {
    let spec = cronJob["spec"]
    let path = FieldPath("spec")
    let name = cronJob["metadata"]["name"]
    if (name.string?.utf8.count ?? 0) > 52 { invalid(FieldPath("metadata.name"), name, "must be no more than 52 characters") }
    let schedule = spec["schedule"].string ?? ""
    if schedule.isEmpty {
      required(path / "schedule")
    } else if schedule.contains("TZ=") {
      invalid(path / "schedule", spec["schedule"], "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    } else if !Self.isSchedule(schedule) {
      invalid(
        path / "schedule", spec["schedule"], "expected exactly 5 fields, found \(schedule.split(separator: " ").count): [\(schedule)]")
    }
    oneOf(spec["concurrencyPolicy"], path / "concurrencyPolicy", ["Allow", "Forbid", "Replace"])
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
      notNegative(spec[field], path / field)
    }
    for field in ["selector", "manualSelector"]
    where spec["jobTemplate"]["spec"][field] != .null && spec["jobTemplate"]["spec"][field] != false {
      invalid(path / "jobTemplate" / "spec" / field, spec["jobTemplate"]["spec"][field], "`\(field)` will be auto-generated")
    }
    jobSpec(spec["jobTemplate"]["spec"], path / "jobTemplate" / "spec")
  }

  private static func isSchedule(_ text: String) -> Bool {
    if text.hasPrefix("@every ") { return true }
    if text.hasPrefix("@") { return ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"].contains(text) }
    return text.split(separator: " ").count == 5
  }
}
