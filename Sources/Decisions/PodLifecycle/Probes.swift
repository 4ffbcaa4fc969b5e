import JSONCodec
import KubernetesAPI

package enum ProbeKind: String, Sendable, CaseIterable {
  case startup, liveness, readiness

  /// How event texts name it.
  package var title: String {
    switch self {
    case .startup: "Startup"
    case .liveness: "Liveness"
    case .readiness: "Readiness"
    }
  }

  package func spec(of container: Container) -> ProbeSpec? {
    let json =
      switch self {
      case .startup: container.startupProbe
      case .liveness: container.livenessProbe
      case .readiness: container.readinessProbe
      }
    return json.isNull ? nil : ProbeSpec(json)
  }
}

/// core/v1 Probe with its defaults.
package struct ProbeSpec: Sendable, Equatable {
  /// `exec`, `httpGet`, `tcpSocket` or `grpc`, as the object stands.
  package let handler: JSON
  /// Seconds.
  package let initialDelay: Double
  package let period: Double
  package let timeout: Double
  package let successThreshold: Int
  package let failureThreshold: Int
  package let terminationGracePeriodSeconds: Int?

  package init(_ json: JSON) {
    handler = json
    initialDelay = Double(max(0, json["initialDelaySeconds"].int ?? 0))
    func positive(_ key: String, _ fallback: Int) -> Int { json[key].int.flatMap { $0 > 0 ? $0 : nil } ?? fallback }
    period = Double(positive("periodSeconds", 10))
    timeout = Double(positive("timeoutSeconds", 1))
    successThreshold = positive("successThreshold", 1)
    failureThreshold = positive("failureThreshold", 3)
    terminationGracePeriodSeconds = json["terminationGracePeriodSeconds"].int
  }
}

package enum ProbeResult: Sendable, Equatable {
  case success
  case failure
  /// The probe itself could not be carried out: counts for nothing.
  case unknown
}

/// Counts the results of one probe of one run.
///
/// Liveness is assumed until the failure threshold, readiness and startup are denied until the success threshold. A
/// verdict that condemns the run is given once.
package struct ProbeMachine: Sendable, Equatable {
  package enum Verdict: Sendable, Equatable {
    case unchanged
    case passes
    case fails
    /// Liveness or startup: the container is to be killed.
    case condemns
  }

  package let kind: ProbeKind
  package let spec: ProbeSpec
  /// What holds now.
  package private(set) var isPassing: Bool
  private var last: ProbeResult?
  private var inARow = 0
  private var isOver = false
  /// When the next probe is due.
  package private(set) var nextAt: Timestamp

  package init(kind: ProbeKind, spec: ProbeSpec, startedAt: Timestamp) {
    self.kind = kind
    self.spec = spec
    isPassing = kind == .liveness
    nextAt = startedAt.advanced(bySeconds: spec.initialDelay)
  }

  /// Takes over a run that an earlier agent has started: what held then (`wasPassing`) holds until a probe says otherwise.
  package init(kind: ProbeKind, spec: ProbeSpec, startedAt: Timestamp, wasPassing: Bool) {
    self.init(kind: kind, spec: spec, startedAt: startedAt)
    isPassing = kind == .liveness || wasPassing
    isOver = kind == .startup && wasPassing
  }

  /// When to probe next; nil: never again. Liveness and readiness wait for the startup probe.
  package func due(isStarted: Bool) -> Timestamp? {
    guard !isOver, kind == .startup || isStarted else { return nil }
    return nextAt
  }

  package mutating func record(_ result: ProbeResult, at now: Timestamp) -> Verdict {
    nextAt = now.advanced(bySeconds: spec.period)
    guard result != .unknown, !isOver else { return .unchanged }
    inARow = result == last ? inARow + 1 : 1
    last = result
    if result == .success {
      guard inARow >= spec.successThreshold else { return .unchanged }
      if kind == .startup { isOver = true }
      guard !isPassing else { return .unchanged }
      isPassing = true
      return .passes
    }
    guard inARow >= spec.failureThreshold else { return .unchanged }
    if kind != .readiness {
      isPassing = false
      isOver = true
      return .condemns
    }
    guard isPassing else { return .unchanged }
    isPassing = false
    return .fails
  }
}
