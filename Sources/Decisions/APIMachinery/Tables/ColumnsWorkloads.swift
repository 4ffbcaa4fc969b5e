import JSONCodec
import KubernetesAPI

extension TableLayouts {
  static let workloads: Layouts = [
    "/replicationcontrollers": [.name] + replicaCounts + TableColumn.containers(at: "spec", "template", "spec")
      + [.map("Selector", "spec", "selector")],
    "apps/replicasets": [.name] + replicaCounts + TableColumn.containers(at: "spec", "template", "spec")
      + [.labelSelector("Selector", "spec", "selector")],
    "apps/daemonsets": [
      .name,
      .number("Desired", "status", "desiredNumberScheduled"),
      .number("Current", "status", "currentNumberScheduled"),
      .number("Ready", "status", "numberReady"),
      .number("Up-to-date", "status", "updatedNumberScheduled"),
      .number("Available", "status", "numberAvailable"),
      .map("Node Selector", "spec", "template", "spec", "nodeSelector", wide: false),
      .age,
    ] + TableColumn.containers(at: "spec", "template", "spec") + [.labelSelector("Selector", "spec", "selector")],
    "apps/deployments": [
      .name, readyReplicas,
      .number("Up-to-date", "status", "updatedReplicas", declared: .string),
      .number("Available", "status", "availableReplicas", declared: .string),
      .age,
    ] + TableColumn.containers(at: "spec", "template", "spec") + [
      TableColumn("Selector", wide: true) { deployment in
        switch selectorText(deployment.spec["selector"]) {
        case "<none>": ""
        case "<error>": "<invalid>"
        case let text: .string(text)
        }
      }
    ],
    "apps/statefulsets": [.name, readyReplicas, .age] + TableColumn.containers(at: "spec", "template", "spec"),
    "apps/controllerrevisions": [
      .name,
      TableColumn("Controller") { .string(controller(of: $0)) },
      .number("Revision", "revision", declared: .string),
      .age,
    ],
    "batch/jobs": [
      .name,
      TableColumn("Status") { .string(jobStatus($0)) },
      TableColumn("Completions") { .string(jobCompletions($0)) },
      TableColumn("Duration") { .string(jobDuration($0)) },
      .age,
    ] + TableColumn.containers(at: "spec", "template", "spec") + [.labelSelector("Selector", "spec", "selector")],
    "batch/cronjobs": [
      .name,
      .text("Schedule", "spec", "schedule"),
      .text("Timezone", "spec", "timeZone", missing: "<none>"),
      TableColumn("Suspend", .boolean) { job in job.spec["suspend"].bool.map { $0 ? "True" : "False" } ?? "<unset>" },
      .count("Active", "status", "active"),
      TableColumn("Last Schedule") { job in
        job.status["lastScheduleTime"].isNull ? "<none>" : .string(job.age(job.status["lastScheduleTime"]))
      },
      .age,
    ] + TableColumn.containers(at: "spec", "jobTemplate", "spec", "template", "spec")
      + [.labelSelector("Selector", "spec", "jobTemplate", "spec", "selector")],
    "autoscaling/horizontalpodautoscalers": [
      .name,
      TableColumn("Reference") { scaler in
        let target = scaler.spec["scaleTargetRef"]
        return .string("\(target["kind"].string ?? "")/\(target["name"].string ?? "")")
      },
      TableColumn("Targets") { .string(AutoscalerMetrics.text($0)) },
      .text("MinPods", "spec", "minReplicas", missing: "<unset>"),
      .number("MaxPods", "spec", "maxReplicas", declared: .string),
      .number("Replicas", "status", "currentReplicas", declared: .string),
      .age,
    ],
  ]

  private static let replicaCounts: [TableColumn] = [
    .number("Desired", "spec", "replicas"), .number("Current", "status", "replicas"), .number("Ready", "status", "readyReplicas"), .age,
  ]

  private static let readyReplicas = TableColumn("Ready") { set in
    .string("\(set.status["readyReplicas"].int ?? 0)/\(set.spec["replicas"].int ?? 0)")
  }

  private static func controller(of revision: TableSubject) -> String {
    guard let owner = revision.metadata["ownerReferences"].array?.first(where: { $0["controller"].bool == true }) else { return "<none>" }
    let parts = (owner["apiVersion"].string ?? "").split(separator: "/")
    let kind = (owner["kind"].string ?? "") + (parts.count == 2 ? ".\(parts[0])" : "")
    return "\(kind.lowercased())/\(owner["name"].string ?? "")"
  }

  private static func jobStatus(_ job: TableSubject) -> String {
    if job.isTrue("Complete") { return "Complete" }
    if job.isTrue("Failed") { return "Failed" }
    if job.isBeingDeleted { return "Terminating" }
    return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].first { job.isTrue($0) } ?? "Running"
  }

  private static func jobCompletions(_ job: TableSubject) -> String {
    let succeeded = job.status["succeeded"].int ?? 0
    if let completions = job.spec["completions"].int { return "\(succeeded)/\(completions)" }
    let parallelism = job.spec["parallelism"].int ?? 0
    return parallelism > 1 ? "\(succeeded)/1 of \(parallelism)" : "\(succeeded)/1"
  }

  private static func jobDuration(_ job: TableSubject) -> String {
    guard let start = job.status["startTime"].timestamp else { return "" }
    let end = job.status["completionTime"].timestamp ?? job.now
    return humanDuration(nanoseconds: end.nanoseconds(since: start))
  }
}

/// The targets of a HorizontalPodAutoscaler: `cpu: 20%/80%, 3/10`.
private enum AutoscalerMetrics {
  static let shownMax = 2

  static func text(_ scaler: TableSubject) -> String {
    // autoscaling/v1 knows only processor utilization.
    if let target = scaler.spec["targetCPUUtilizationPercentage"].int {
      let current = scaler.status["currentCPUUtilizationPercentage"].int.map { "\($0)%" } ?? "<unknown>"
      return "cpu: \(current)/\(target)%"
    }
    let current = scaler.status["currentMetrics"].array ?? []
    let texts = (scaler.spec["metrics"].array ?? []).enumerated().map { index, metric in
      text(metric, current.indices.contains(index) ? current[index] : .null)
    }
    return shortened(texts, limit: shownMax, separator: ", ", none: "<none>")
  }

  private static func text(_ metric: JSON, _ status: JSON) -> String {
    switch metric["type"].string {
    case "Resource": resource(metric["resource"], status["resource"])
    case "ContainerResource": resource(metric["containerResource"], status["containerResource"])
    case "Pods": pair(status["pods"]["current"], metric["pods"]["target"], "averageValue")
    case "Object": valueOrAverage(metric["object"], status["object"])
    case "External": valueOrAverage(metric["external"], status["external"])
    default: "<unknown type>"
    }
  }

  private static func pair(_ current: JSON, _ target: JSON, _ field: String, suffix: String = "") -> String {
    current.text([field], missing: "<unknown>") + suffix + "/" + target.text([field], missing: "<auto>") + suffix
  }

  private static func valueOrAverage(_ metric: JSON, _ status: JSON) -> String {
    let target = metric["target"]
    return target["averageValue"].isNull
      ? pair(status["current"], target, "value") : pair(status["current"], target, "averageValue", suffix: " (avg)")
  }

  private static func resource(_ metric: JSON, _ status: JSON) -> String {
    let name = metric["name"].string ?? ""
    let target = metric["target"]
    if !target["averageValue"].isNull { return "\(name): \(pair(status["current"], target, "averageValue"))" }
    let current = status["current"]["averageUtilization"].int.map { "\($0)%" } ?? "<unknown>"
    return "\(name): \(current)/\(target["averageUtilization"].int.map { "\($0)%" } ?? "<auto>")"
  }
}
