import Foundation
import JSONCodec
import Testing
import Yams

@testable import Admission

/// Upstream's fixtures, where they are present: pods that each level must let pass, and pods that it must refuse.
@Suite struct PodSecurityFixtureTests {
  static let folder: String? = {
    var directory = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
    while directory.path != "/" {
      let candidate = directory.appendingPathComponent("shared/vectors/pod-security").path
      if FileManager.default.fileExists(atPath: candidate) { return candidate }
      directory.deleteLastPathComponent()
    }
    return nil
  }()

  /// The check that a fixture's name begins with, by the start of the reason that its refusal must give.
  static let reasons: [(prefix: String, reason: String)] = [
    ("allowprivilegeescalation", "allowPrivilegeEscalation != false"), ("apparmorprofile", "forbidden AppArmor profile"),
    ("capabilities_baseline", "non-default capabilities"), ("capabilities_restricted", "unrestricted capabilities"),
    ("hostnamespaces", "host namespaces"), ("hostpathvolumes", "hostPath volumes"), ("hostports", "hostPort"),
    ("hostprobesandhostlifecycle", "probe or lifecycle host"), ("privileged", "privileged"), ("procmount", "procMount"),
    ("restrictedvolumes", "restricted volume types"), ("runasnonroot", "runAsNonRoot != true"), ("runasuser", "runAsUser=0"),
    ("seccompprofile", "seccompProfile"), ("selinuxoptions", "seLinuxOptions"), ("sysctls", "forbidden sysctls"),
    ("windowshostprocess", "hostProcess"),
  ]

  static let overriding = ["non-default capabilities": "unrestricted capabilities", "hostPath volumes": "restricted volume types"]

  private static func json(_ node: Node) -> JSON {
    switch node {
    case .mapping(let mapping): .object(JSONObject(mapping.map { ($0.key.string ?? "", json($0.value)) }))
    case .sequence(let sequence): .array(sequence.map(json))
    case .scalar where node.tag.description.hasSuffix(":bool"): JSON(node.bool ?? false)
    case .scalar where node.tag.description.hasSuffix(":int"): JSON(node.int ?? 0)
    case .scalar where node.tag.description.hasSuffix(":null"): .null
    case .scalar(let scalar): .string(scalar.string)
    case .alias: .null
    }
  }

  /// The fixtures of a folder such as `baseline/fail`.
  private static func fixtures(_ path: String) throws -> [(name: String, pod: JSON)] {
    guard let folder else { return [] }
    return try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(path)").sorted().map { file in
      let text = try String(contentsOfFile: "\(folder)/\(path)/\(file)", encoding: .utf8)
      return (file, json(try #require(try compose(yaml: text))))
    }
  }

  /// Admission sees pods with their defaults: a volume without a source is an emptyDir.
  private static func violations(_ pod: JSON, _ level: PodSecurityLevel) -> [PodSecurityViolation] {
    var pod = pod
    if let volumes = pod["spec"]["volumes"].array {
      let empty: JSON = ["emptyDir": .object(JSONObject())]
      pod["spec"]["volumes"] = .array(volumes.map { $0.object?.count == 1 ? empty : $0 })
    }
    return PodSecurityCheck.violations(of: CheckedPod(metadata: pod["metadata"], spec: pod["spec"]), PodSecurityStandard(level))
  }

  @Test(.enabled(if: folder != nil), arguments: [PodSecurityLevel.baseline, .restricted])
  func everyFixtureGetsUpstreamsVerdict(_ level: PodSecurityLevel) throws {
    let passing = try Self.fixtures("\(level.rawValue)/pass")
    let failing = try Self.fixtures("\(level.rawValue)/fail")
    #expect(passing.count >= 10 && failing.count >= 30)
    for fixture in passing {
      #expect(Self.violations(fixture.pod, level).isEmpty, "\(fixture.name)")
      #expect(Self.violations(fixture.pod, .privileged).isEmpty)
    }
    for fixture in failing {
      let found = Self.violations(fixture.pod, level)
      let expected = try #require(Self.reasons.first { fixture.name.hasPrefix($0.prefix) }).reason
      // A check of the higher level stands for the one of the lower that it makes superfluous.
      let reason = level == .restricted ? Self.overriding[expected] ?? expected : expected
      #expect(found.contains { $0.reason.hasPrefix(reason) }, "\(fixture.name): \(found)")
    }
  }
}
