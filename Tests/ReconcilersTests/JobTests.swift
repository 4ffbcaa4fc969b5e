import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private func job(_ spec: JSON, restartPolicy: String = "Never") -> JSON {
  var spec = spec
  if spec["backoffLimit"].isNull { spec["backoffLimit"] = spec["backoffLimitPerIndex"].isNull ? 6 : JSON(Int(Int32.max)) }
  if spec["podReplacementPolicy"].isNull {
    spec["podReplacementPolicy"] = spec["podFailurePolicy"].isNull ? "TerminatingOrFailed" : "Failed"
  }
  spec["selector"] = ["matchLabels": ["job": "j"]]
  spec["template"] = podTemplate(labels: ["job": "j"])
  spec["template"]["spec"]["restartPolicy"] = .string(restartPolicy)
  return ["metadata": ["name": "j"], "spec": spec]
}

extension FakeCluster {
  fileprivate var status: JSON { self.get(.job, "j")["status"] }
  fileprivate var running: [JSON] { all(.pod).filter(\.isActivePod) }
  fileprivate func condition(_ type: String) -> JSON? { self.get(.job, "j").condition(type) }
  fileprivate func pod(index: Int) -> JSON? {
    running.first { $0["metadata"]["annotations"][JobReconciler.indexAnnotation].string == String(index) }
  }
}

extension FakeCluster {
  fileprivate func podName(index: Int) throws -> String { try #require(pod(index: index)).objectName.name }
}

@Suite struct JobTests {
  @Test func runsToItsCompletions() throws {
    let cluster = FakeCluster(JobReconciler())
    cluster.add(.job, job(["completions": 5, "parallelism": 2]))
    try cluster.settle()
    #expect(cluster.running.count == 2 && cluster.status["active"].int == 2 && !cluster.status["startTime"].isNull)
    #expect(cluster.running[0].meta.finalizers == [JobReconciler.finalizer])
    cluster.invariant = { #expect($0.all(.pod).filter(\.isActivePod).count <= 2) }
    for _ in 0..<5 {
      cluster.play()
      try cluster.settle()
      guard let pod = cluster.running.first else { break }
      cluster.end(pod.objectName.name, "Succeeded")
      try cluster.settle()
    }
    #expect(cluster.status["succeeded"].int == 5 && cluster.status["active"].isNull)
    #expect(cluster.status["ready"].int == 0 && cluster.status["terminating"].int == 0)
    #expect(cluster.condition("SuccessCriteriaMet")?["reason"].string == "CompletionsReached")
    #expect(cluster.condition("Complete")?["message"].string == "Reached expected number of succeeded pods")
    #expect(!cluster.status["completionTime"].isNull)
    #expect(cluster.all(.pod).allSatisfy { $0.meta.finalizers.isEmpty })
    #expect(cluster.status["uncountedTerminatedPods"]["succeeded"].isNull)
  }

  @Test func failsAtItsLimitWithPausesBetween() throws {
    let cluster = FakeCluster(JobReconciler())
    cluster.add(.job, job(["completions": 1, "parallelism": 1, "backoffLimit": 2]))
    try cluster.settle()
    for expected in [10.0, 20.0] {
      cluster.end(cluster.running[0].objectName.name, "Failed", exitCode: 1)
      try cluster.settle()
      #expect(cluster.running.isEmpty)
      try cluster.advance(expected - 1)
      #expect(cluster.running.isEmpty, "before \(expected) s")
      try cluster.advance(2)
      #expect(cluster.running.count == 1, "after \(expected) s")
    }
    cluster.end(cluster.running[0].objectName.name, "Failed", exitCode: 1)
    try cluster.settle()
    #expect(cluster.condition("Failed")?["reason"].string == "BackoffLimitExceeded" && cluster.condition("FailureTarget") != nil)
    #expect(cluster.status["failed"].int == 3)
  }

  @Test func indexesEachHaveTheirPod() throws {
    let cluster = FakeCluster(JobReconciler())
    cluster.add(.job, job(["completions": 4, "parallelism": 4, "completionMode": "Indexed"]))
    try cluster.settle()
    let pod = try #require(cluster.pod(index: 2))
    #expect(pod["spec"]["hostname"].string == "j-2" && pod["metadata"]["labels"][JobReconciler.indexAnnotation].string == "2")
    #expect(pod["spec"]["containers"][0]["env"][0]["name"].string == "JOB_COMPLETION_INDEX")
    for i in [0, 1, 3] { cluster.end(try cluster.podName(index: i), "Succeeded") }
    try cluster.settle()
    #expect(cluster.status["completedIndexes"].string == "0,1,3" && cluster.status["succeeded"].int == 3)
    cluster.end(try cluster.podName(index: 2), "Succeeded")
    try cluster.settle()
    #expect(cluster.status["completedIndexes"].string == "0-3" && cluster.condition("Complete") != nil)
  }

  @Test func anIndexFailsAlone() throws {
    let cluster = FakeCluster(JobReconciler())
    cluster.add(.job, job(["completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1]))
    try cluster.settle()
    cluster.end(try cluster.podName(index: 0), "Failed", exitCode: 1)
    try cluster.settle()
    try cluster.advance(11)
    let second = try #require(cluster.pod(index: 0))
    #expect(second["metadata"]["annotations"][JobReconciler.failuresAnnotation].string == "1")
    cluster.end(second.objectName.name, "Failed", exitCode: 1)
    try cluster.settle()
    #expect(cluster.status["failedIndexes"].string == "0" && cluster.condition("Failed") == nil)
    cluster.end(try cluster.podName(index: 1), "Succeeded")
    try cluster.settle()
    #expect(cluster.condition("Failed")?["reason"].string == "FailedIndexes")
    #expect(cluster.status["completedIndexes"].string == "1" && cluster.status["failed"].int == 2)
    #expect(cluster.all(.pod).allSatisfy { $0.meta.finalizers.isEmpty })
  }

  @Test func tooManyFailedIndexesEndIt() throws {
    let cluster = FakeCluster(JobReconciler())
    cluster.add(
      .job, job(["completions": 4, "parallelism": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 1]))
    try cluster.settle()
    cluster.play()
    for i in 0..<2 { cluster.end(try cluster.podName(index: i), "Failed", exitCode: 1) }
    try cluster.converge()
    #expect(cluster.condition("Failed")?["reason"].string == "MaxFailedIndexesExceeded" && cluster.running.isEmpty)
  }

  @Test func thePolicyJudgesFailures() throws {
    let rules: JSON = [
      ["action": "Ignore", "onPodConditions": [["type": "DisruptionTarget", "status": "True"]]],
      ["action": "FailJob", "onExitCodes": ["operator": "In", "values": [42]]],
    ]
    let cluster = FakeCluster(JobReconciler())
    cluster.add(.job, job(["completions": 1, "parallelism": 1, "backoffLimit": 0, "podFailurePolicy": ["rules": rules]]))
    try cluster.settle()
    cluster.end(cluster.running[0].objectName.name, "Failed", conditions: [["type": "DisruptionTarget", "status": "True"]])
    try cluster.settle()
    try cluster.advance(30)
    #expect(cluster.condition("FailureTarget") == nil && cluster.running.count == 1 && cluster.status["failed"].isNull)
    let name = cluster.running[0].objectName.name
    cluster.end(name, "Failed", exitCode: 42)
    try cluster.settle()
    #expect(cluster.condition("Failed")?["reason"].string == "PodFailurePolicy")
    #expect(
      cluster.condition("Failed")?["message"].string
        == "Container c for pod default/\(name) failed with exit code 42 matching FailJob rule at index 1")
  }

  @Test func aSuccessPolicyEndsItEarly() throws {
    let cluster = FakeCluster(JobReconciler())
    cluster.add(
      .job,
      job([
        "completions": 5, "parallelism": 5, "completionMode": "Indexed",
        "successPolicy": ["rules": [["succeededIndexes": "0-2", "succeededCount": 1]]],
      ]))
    try cluster.settle()
    cluster.play()
    cluster.end(try cluster.podName(index: 1), "Succeeded")
    try cluster.settle()
    #expect(cluster.condition("SuccessCriteriaMet")?["reason"].string == "SuccessPolicy")
    #expect(cluster.condition("SuccessCriteriaMet")?["message"].string == "Matched rules at index 0")
    #expect(cluster.condition("Complete") == nil)
    try cluster.converge()
    #expect(cluster.condition("Complete")?["reason"].string == "SuccessPolicy" && cluster.running.isEmpty)
  }

  @Test func suspendsAndResumes() throws {
    let cluster = FakeCluster(JobReconciler())
    cluster.add(.job, job(["completions": 2, "parallelism": 2, "suspend": true]))
    try cluster.converge()
    #expect(
      cluster.running.isEmpty && cluster.condition("Suspended")?["reason"].string == "JobSuspended" && cluster.status["startTime"].isNull)
    cluster.change(.job, "j") { $0["spec"]["suspend"] = false }
    try cluster.converge()
    #expect(cluster.running.count == 2 && cluster.condition("Suspended")?["reason"].string == "JobResumed")
    cluster.change(.job, "j") { $0["spec"]["suspend"] = true }
    try cluster.converge()
    #expect(cluster.all(.pod).isEmpty && cluster.status["failed"].isNull)
  }

  @Test func hasADeadlineAndATimeToLive() throws {
    let cluster = FakeCluster(JobReconciler(), FinishedJobReconciler())
    cluster.add(.job, job(["completions": 1, "parallelism": 1, "activeDeadlineSeconds": 5, "ttlSecondsAfterFinished": 60]))
    try cluster.converge()
    try cluster.advance(6)
    try cluster.converge()
    #expect(cluster.condition("Failed")?["reason"].string == "DeadlineExceeded")
    try cluster.advance(50)
    #expect(!cluster.get(.job, "j").isNull)
    try cluster.advance(20)
    #expect(cluster.get(.job, "j").isNull)
  }

  @Test func letsGoOfPodsOfAJobThatIsGone() throws {
    let cluster = FakeCluster(JobReconciler())
    cluster.add(.job, job(["completions": 1, "parallelism": 1]))
    try cluster.settle()
    cluster.delete(.job, "j")
    cluster.delete(.pod, cluster.all(.pod)[0].objectName.name)
    try cluster.settle()
    #expect(cluster.all(.pod).isEmpty)
  }

  @Test(arguments: [("0", [0]), ("1,3-5,7", [1, 3, 4, 5, 7]), ("2,3", [2, 3]), ("", [])] as [(String, [Int])])
  func indexesAsText(text: String, values: [Int]) {
    #expect(CompletionIndexes(text: text).values == Set(values) && CompletionIndexes(Set(values)).text == text)
  }

  @Test(arguments: 0..<30) func countsEveryPodOnce(seed: UInt64) throws {
    var random = SeededRandom(seed)
    let cluster = FakeCluster(JobReconciler())
    let isIndexed = Bool.random(using: &random)
    let completions = Int.random(in: 1...6, using: &random)
    cluster.add(
      .job,
      job([
        "completions": JSON(completions), "parallelism": JSON(Int.random(in: 1...4, using: &random)),
        "completionMode": isIndexed ? "Indexed" : "NonIndexed", "backoffLimit": 1000,
      ]))
    var ended = (succeeded: 0, failed: 0)
    for _ in 0..<200 {
      try cluster.settle()
      if cluster.condition("Complete") != nil { break }
      if let pod = cluster.running.randomElement(using: &random) {
        let isGood = Int.random(in: 0..<3, using: &random) > 0
        if isGood { ended.succeeded += 1 } else { ended.failed += 1 }
        cluster.end(pod.objectName.name, isGood ? "Succeeded" : "Failed", exitCode: isGood ? 0 : 1)
      }
      try cluster.advance(600)
    }
    #expect(cluster.status["succeeded"].int == completions && ended.succeeded == completions)
    #expect(cluster.status["failed"].int ?? 0 == ended.failed)
  }

  @Test func thePolicyFailsAnIndex() throws {
    let rules: JSON = [["action": "FailIndex", "onExitCodes": ["operator": "In", "values": [13]]]]
    let cluster = FakeCluster(JobReconciler())
    cluster.add(
      .job,
      job([
        "completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 5, "podFailurePolicy": ["rules": rules],
      ]))
    try cluster.settle()
    cluster.end(try cluster.podName(index: 0), "Failed", exitCode: 13)
    try cluster.settle()
    try cluster.advance(600)
    #expect(cluster.pod(index: 0) == nil && cluster.status["failedIndexes"].string == "0", "not tried again")
    cluster.end(try cluster.podName(index: 1), "Succeeded")
    try cluster.settle()
    #expect(cluster.condition("Failed")?["reason"].string == "FailedIndexes" && cluster.status["completedIndexes"].string == "1")
  }

  @Test func adoptsAndReleases() throws {
    let cluster = FakeCluster(JobReconciler())
    let owner = cluster.add(.job, job(["completions": 1, "parallelism": 1]))
    try cluster.settle()
    let name = cluster.running[0].objectName.name
    cluster.change(.pod, name) { $0["metadata"]["ownerReferences"] = .null }
    try cluster.settle()
    #expect(cluster.get(.pod, name).controllerUID == owner.uid && cluster.running.count == 1)
    cluster.change(.pod, name) { $0["metadata"]["labels"]["job"] = "another" }
    try cluster.settle()
    #expect(cluster.get(.pod, name).controllerUID == nil)
    #expect(cluster.running.filter { $0.controllerUID == owner.uid }.count == 1)
  }
}
