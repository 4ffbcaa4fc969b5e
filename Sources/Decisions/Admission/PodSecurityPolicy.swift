import JSONCodec

/// How much a pod may do, from everything to little (Pod Security Standards).
package enum PodSecurityLevel: String, Sendable, Comparable, CaseIterable {
  case privileged, baseline, restricted

  private var rank: Int { Self.allCases.firstIndex(of: self)! }
  package static func < (a: PodSecurityLevel, b: PodSecurityLevel) -> Bool { a.rank < b.rank }
}

/// The release whose rules apply.
package enum PodSecurityVersion: Sendable, Equatable, CustomStringConvertible {
  case latest
  /// `v1.<minor>`
  case minor(Int)

  /// Nil where the text is neither `latest` nor `v1.<number>` without leading zeros.
  package init?(_ text: String) {
    if text == "latest" {
      self = .latest
      return
    }
    let digits = text.dropFirst(3)
    guard text.hasPrefix("v1."), let minor = Int(digits), String(minor) == digits, minor >= 0 else { return nil }
    self = .minor(minor)
  }

  package var description: String {
    switch self {
    case .latest: "latest"
    case .minor(let minor): "v1.\(minor)"
    }
  }

  func isAtLeast(_ minimum: Int) -> Bool {
    switch self {
    case .latest: true
    case .minor(let minor): minor >= minimum
    }
  }
}

package struct PodSecurityStandard: Sendable, Equatable, CustomStringConvertible {
  package var level: PodSecurityLevel
  package var version: PodSecurityVersion

  package init(_ level: PodSecurityLevel, _ version: PodSecurityVersion = .latest) {
    self.level = level
    self.version = version
  }

  /// `restricted:v1.30`
  package var description: String { "\(level.rawValue):\(version)" }
}

/// What a namespace's labels ask for.
package struct PodSecurityPolicy: Sendable, Equatable {
  /// A label that cannot be read.
  package struct LabelError: Sendable, Equatable {
    package let label: String
    package let value: String
    package let detail: String
    /// `Invalid value: "x": must be ...`
    package var message: String { "Invalid value: \"\(value)\": \(detail)" }
    package var field: String { "metadata.labels[\(label)]" }
  }

  package var enforce: PodSecurityStandard
  package var audit: PodSecurityStandard
  package var warn: PodSecurityStandard

  package static let privileged = PodSecurityPolicy(
    enforce: PodSecurityStandard(.privileged), audit: PodSecurityStandard(.privileged), warn: PodSecurityStandard(.privileged))

  package init(enforce: PodSecurityStandard, audit: PodSecurityStandard, warn: PodSecurityStandard) {
    self.enforce = enforce
    self.audit = audit
    self.warn = warn
  }

  package static let labelPrefix = "pod-security.kubernetes.io/"

  /// Reads the labels over the defaults. An enforce level that cannot be read is the strictest one, so that a slip of the
  /// pen does not open a namespace; audit and warn are off then.
  package static func read(labels: JSON, defaults: PodSecurityPolicy) -> (policy: PodSecurityPolicy, errors: [LabelError]) {
    var policy = defaults
    var errors: [LabelError] = []
    func level(_ mode: String, failing: PodSecurityLevel, _ standard: inout PodSecurityStandard) -> Bool {
      guard let text = labels[labelPrefix + mode].string else { return false }
      if let level = PodSecurityLevel(rawValue: text) {
        standard.level = level
        return true
      }
      standard.level = failing
      let names = PodSecurityLevel.allCases.map(\.rawValue).joined(separator: ", ")
      errors.append(LabelError(label: labelPrefix + mode, value: text, detail: "must be one of \(names)"))
      return false
    }
    func version(_ mode: String, _ standard: inout PodSecurityStandard) {
      let label = "\(labelPrefix)\(mode)-version"
      guard let text = labels[label].string else { return }
      standard.version = PodSecurityVersion(text) ?? .latest
      if PodSecurityVersion(text) == nil { errors.append(LabelError(label: label, value: text, detail: "must be \"latest\" or \"v1.x\"")) }
    }
    let isEnforced = level("enforce", failing: .restricted, &policy.enforce)
    version("enforce", &policy.enforce)
    _ = level("audit", failing: .privileged, &policy.audit)
    version("audit", &policy.audit)
    _ = level("warn", failing: .privileged, &policy.warn)
    version("warn", &policy.warn)
    // Who enforces a level and says nothing of warnings wants to hear of workloads whose pods will be refused.
    let saysWarn = labels[labelPrefix + "warn"].string != nil
    if isEnforced, !saysWarn, policy.enforce.level > policy.warn.level {
      policy.warn.level = policy.enforce.level
      if labels[labelPrefix + "warn-version"].string == nil { policy.warn.version = policy.enforce.version }
    }
    return (policy, errors)
  }
}
