import JSONCodec

/// The objects that people create.
enum Workloads {
  private static func template(_ name: String, milliCPU: Int, annotations: JSON = .null, restartPolicy: String? = nil) -> JSON {
    [
      "metadata": ["labels": ["app": .string(name)], "annotations": annotations],
      "spec": [
        "restartPolicy": JSON(restartPolicy), "terminationGracePeriodSeconds": 30,
        "containers": [["name": "c", "image": "simulated", "resources": ["requests": ["cpu": .string("\(milliCPU)m")]]]],
      ],
    ]
  }

  private static func object(_ apiVersion: String, _ kind: String, _ name: String, _ spec: JSON) -> JSON {
    ["apiVersion": .string(apiVersion), "kind": .string(kind), "metadata": ["name": .string(name)], "spec": spec]
  }

  private static func selector(_ name: String) -> JSON { ["matchLabels": ["app": .string(name)]] }

  static func deployment(_ name: String, _ replicas: Int) -> JSON {
    object(
      "apps/v1", "Deployment", name,
      ["replicas": JSON(replicas), "selector": selector(name), "template": template(name, milliCPU: 200)])
  }

  static func statefulSet(_ name: String, _ replicas: Int, isParallel: Bool) -> JSON {
    object(
      "apps/v1", "StatefulSet", name,
      [
        "replicas": JSON(replicas), "serviceName": .string(name), "selector": selector(name),
        "podManagementPolicy": isParallel ? "Parallel" : "OrderedReady", "template": template(name, milliCPU: 150),
      ])
  }

  static func daemonSet(_ name: String) -> JSON {
    object("apps/v1", "DaemonSet", name, ["selector": selector(name), "template": template(name, milliCPU: 50)])
  }

  static func job(_ name: String, _ completions: Int) -> JSON {
    object(
      "batch/v1", "Job", name,
      [
        "completions": JSON(completions), "parallelism": 2, "backoffLimit": 3, "ttlSecondsAfterFinished": 600,
        "template": template(name, milliCPU: 100, annotations: ["simulator/seconds": "20"], restartPolicy: "Never"),
      ])
  }

  static func budget(_ name: String, of workload: Int) -> JSON {
    object("policy/v1", "PodDisruptionBudget", name, ["minAvailable": 1, "selector": selector("web-\(workload)")])
  }
}
