import JSONCodec
import KubernetesAPI
import Testing

@Suite struct QuantityTests {
  @Test(arguments: [
    ("0", "0"), ("100m", "100m"), ("1000m", "1"), ("1500m", "1500m"), ("1.5", "1500m"), ("2", "2"), ("1Ki", "1Ki"), ("1024Ki", "1Mi"),
    ("1.5Gi", "1536Mi"), ("128Mi", "128Mi"), ("1e3", "1e3"), ("12e6", "12e6"), ("1G", "1G"), ("1000M", "1G"), ("0.001", "1m"), ("-5", "-5"),
    ("100000000n", "100m"), ("4096", "4096"), ("+3", "3"), (".5", "500m"),
  ])
  func canonicalForm(_ text: String, _ canonical: String) { #expect(Quantity(text)?.text == canonical) }

  @Test(arguments: ["", "m", "1.2.3", "1x", "Ki", "1 ", "--1", "1ki", "1e"])
  func notAQuantity(_ text: String) { #expect(Quantity(text) == nil) }

  @Test func valuesRoundUp() {
    #expect(Quantity("1500m")?.value == 2)
    #expect(Quantity("100m")?.milliValue == 100)
    #expect(Quantity("1.5Gi")?.value == 1_610_612_736)
    #expect(Quantity("1n")?.milliValue == 1)
  }

  @Test func comparison() {
    #expect(Quantity("1Gi")! > Quantity("1G")!)
    #expect(Quantity("1000m")! == Quantity("1")!)
  }
}

@Suite struct TimestampTests {
  @Test(arguments: [
    ("1970-01-01T00:00:00Z", 0), ("2026-11-23T10:00:00Z", 1_795_428_000), ("2000-02-29T23:59:59Z", 951_868_799),
    ("2026-11-23T12:00:00+02:00", 1_795_428_000), ("1969-12-31T23:59:59Z", -1),
  ])
  func readsAndWrites(_ text: String, _ seconds: Int) {
    #expect(Timestamp(rfc3339: text)?.secondsSinceEpoch == Int64(seconds))
    if text.hasSuffix("Z") { #expect(Timestamp(secondsSinceEpoch: Int64(seconds)).rfc3339 == text) }
  }

  @Test func fractions() {
    let time = Timestamp(rfc3339: "2026-11-23T10:00:00.123456789Z")
    #expect(time?.rfc3339Nano == "2026-11-23T10:00:00.123456789Z")
    #expect(time?.rfc3339Micro == "2026-11-23T10:00:00.123456Z")
  }

  @Test(arguments: ["", "2026-11-23", "2026-13-01T00:00:00Z", "2026-11-23T10:00:00", "2026-11-23T10:00:00.Z", "2026-11-23T25:00:00Z"])
  func refused(_ text: String) { #expect(Timestamp(rfc3339: text) == nil) }
}

@Suite struct SelectorTests {
  static let labels = ["app": "web", "tier": "front", "n": "5"]

  @Test(arguments: [
    ("app=web", true), ("app==web,tier=front", true), ("app!=web", false), ("other!=x", true), ("app in (a, web)", true),
    ("app notin (web)", false), ("tier", true), ("!tier", false), ("!nothing", true), ("n>4", true), ("n<5", false), ("", true),
  ])
  func labelSelectors(_ text: String, _ matches: Bool) throws {
    #expect(try LabelSelector.parse(text).matches { Self.labels[$0] } == matches)
  }

  @Test(arguments: ["app in web", "=a", "a=b c", "a in (b", "-a=b", "a=b!"])
  func brokenLabelSelectors(_ text: String) { #expect(throws: SelectorError.self) { try LabelSelector.parse(text) } }

  @Test func fieldSelectors() throws {
    let selector = try FieldSelector.parse("spec.nodeName=a\\,b,status.phase!=Failed")
    #expect(selector.exact("spec.nodeName") == "a,b")
    #expect(selector.matches { $0 == "spec.nodeName" ? "a,b" : "Running" })
    #expect(!selector.matches { _ in "Failed" })
    #expect(throws: SelectorError.self) { try FieldSelector.parse("nonsense") }
  }
}

@Suite struct QOSTests {
  @Test(arguments: [
    (#"{"containers":[{"name":"a"}]}"#, QOSClass.bestEffort),
    (#"{"containers":[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}]}"#, .guaranteed),
    (#"{"containers":[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m"}}}]}"#, .burstable),
    (#"{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}},{"name":"b"}]}"#, .burstable),
    (#"{"containers":[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1"}}},{"name":"b"}]}"#, .burstable),
  ])
  func classes(_ spec: String, _ expected: QOSClass) throws {
    #expect(QOSClass(spec: PodSpec(try .parse(spec))) == expected)
  }
}
