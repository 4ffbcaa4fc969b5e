import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

#if canImport(Glibc)
  import Glibc
#endif

private func zoneFile(_ name: String) -> [UInt8]? {
  guard let file = fopen("/usr/share/zoneinfo/" + name, "rb") else { return nil }
  defer { fclose(file) }
  var bytes = [UInt8](repeating: 0, count: 1 << 16)
  let count = fread(&bytes, 1, bytes.count, file)
  return Array(bytes.prefix(count))
}

private func cron(_ schedule: String, policy: String = "Allow", zone: String? = nil) -> JSON {
  [
    "metadata": ["name": "c"],
    "spec": [
      "schedule": .string(schedule), "concurrencyPolicy": .string(policy), "timeZone": JSON(zone), "successfulJobsHistoryLimit": 2,
      "failedJobsHistoryLimit": 1, "jobTemplate": ["spec": ["template": podTemplate()]],
    ],
  ]
}

extension FakeCluster {
  fileprivate func finish(_ job: JSON, _ type: String = "Complete") {
    change(.job, job.objectName.name) {
      $0["status"] = [
        "conditions": [["type": .string(type), "status": "True"]], "startTime": .string(now.rfc3339),
        "completionTime": .string(now.rfc3339),
      ]
    }
  }
}

@Suite struct CronJobTests {
  private func next(_ schedule: String, _ after: String, _ zone: TimeZoneRules = .utc) -> String? {
    CronSchedule(schedule)?.next(after: Timestamp(rfc3339: after)!, in: zone)?.rfc3339
  }

  @Test(
    arguments: [
      ("*/5 * * * *", "2026-11-23T10:02:00Z", "2026-11-23T10:05:00Z"), ("0 0 1 1 *", "2026-11-23T10:02:00Z", "2027-01-01T00:00:00Z"),
      ("30 4 * * mon-fri", "2026-11-20T05:00:00Z", "2026-11-23T04:30:00Z"), ("0 12 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T12:00:00Z"),
      ("0 0 13 * 5", "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z"), ("@hourly", "2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"),
      ("@every 90s", "2026-11-23T10:00:00Z", "2026-11-23T10:01:30Z"),
      ("15,45 8-10/2 * jan,nov *", "2026-11-23T08:45:00Z", "2026-11-23T10:15:00Z"),
    ])
  func theNextTime(schedule: String, after: String, expected: String) { #expect(next(schedule, after) == expected) }

  @Test(arguments: ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "*/0 * * * *", "5-1 * * * *", "a * * * *", "@never"])
  func noSchedule(text: String) { #expect(CronSchedule(text) == nil) }

  @Test func clocksOfAZone() throws {
    let berlin = try #require(zoneFile("Europe/Berlin").flatMap { TimeZoneRules(file: $0) })
    #expect(next("0 9 * * *", "2026-07-01T00:00:00Z", berlin) == "2026-07-01T07:00:00Z")
    #expect(next("0 9 * * *", "2026-12-01T00:00:00Z", berlin) == "2026-12-01T08:00:00Z")
    // 02:30 does not exist on 29 March 2026, and comes twice on 25 October.
    #expect(next("30 2 * * *", "2026-03-28T12:00:00Z", berlin) == "2026-03-30T00:30:00Z")
    #expect(next("30 2 * * *", "2026-10-24T12:00:00Z", berlin) == "2026-10-25T00:30:00Z")
    // Beyond the file's table only its footer tells.
    #expect(next("0 9 1 7 *", "2060-01-01T00:00:00Z", berlin) == "2060-07-01T07:00:00Z")
  }

  @Test func makesJobsAndKeepsALimitedHistory() throws {
    let cluster = FakeCluster(CronJobReconciler(zoneFile: zoneFile))
    cluster.now = Timestamp(rfc3339: "2026-11-23T10:00:30Z")!
    cluster.add(.cronJob, cron("* * * * *"))
    try cluster.settle()
    #expect(cluster.all(.job).isEmpty)
    for _ in 0..<4 {
      try cluster.advance(60)
      for job in cluster.all(.job) where !JobReconciler.isFinished(job) { cluster.finish(job) }
    }
    try cluster.settle()
    #expect(cluster.all(.job).count == 2)
    #expect(cluster.get(.cronJob, "c")["status"]["lastScheduleTime"].string == "2026-11-23T10:04:00Z")
    #expect(cluster.get(.cronJob, "c")["status"]["active"].isNull && !cluster.get(.cronJob, "c")["status"]["lastSuccessfulTime"].isNull)
    #expect(
      cluster.all(.job)[0]["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].string?.hasPrefix(
        "2026-11-23T10:0") == true)
  }

  @Test func concurrencyPolicies() throws {
    for (policy, expected) in [("Allow", 3), ("Forbid", 1), ("Replace", 1)] {
      let cluster = FakeCluster(CronJobReconciler(zoneFile: zoneFile))
      cluster.add(.cronJob, cron("* * * * *", policy: policy))
      try cluster.settle()
      try cluster.advance(190)
      #expect(cluster.all(.job).count == expected, "\(policy)")
      let last = cluster.all(.job).compactMap { $0["metadata"]["annotations"][CronJobReconciler.scheduledAnnotation].string }.max()
      #expect(last == (policy == "Forbid" ? "2026-11-23T10:01:00Z" : "2026-11-23T10:03:00Z"))
      #expect(cluster.get(.cronJob, "c")["status"]["active"].array?.count == expected)
    }
  }

  @Test func suspensionDeadlineAndUnknownZone() throws {
    let cluster = FakeCluster(CronJobReconciler(zoneFile: zoneFile))
    var json = cron("* * * * *")
    json["spec"]["suspend"] = true
    json["spec"]["startingDeadlineSeconds"] = 20
    cluster.add(.cronJob, json)
    try cluster.settle()
    try cluster.advance(330)
    #expect(cluster.all(.job).isEmpty)
    cluster.change(.cronJob, "c") { $0["spec"]["suspend"] = .null }
    try cluster.settle()
    #expect(cluster.all(.job).isEmpty, "the last time is more than 20 s ago")
    try cluster.advance(31)
    #expect(cluster.all(.job).count == 1)
    cluster.change(.cronJob, "c") { $0["spec"]["timeZone"] = "No/Where" }
    try cluster.settle()
    #expect(cluster.events.contains { $0.reason == "UnknownTimeZone" })
  }
}
