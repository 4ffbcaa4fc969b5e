import KubernetesAPI

/// What part a container has in its pod.
package enum ContainerRole: Sendable, Equatable {
  /// Runs to completion before the next one.
  case initial
  /// An init container with restartPolicy Always: started in order, runs beside the others until the end.
  case sidecar
  case regular
  case ephemeral
}

extension Pod {
  /// Every container with its part: init containers first, then regular ones, then ephemeral ones.
  package var containersWithRoles: [(container: Container, role: ContainerRole)] {
    spec.initContainers.map { ($0, $0.isSidecar ? .sidecar : .initial) } + spec.containers.map { ($0, .regular) }
      + spec.ephemeralContainers.map { ($0, .ephemeral) }
  }

  package func container(named name: String) -> (container: Container, role: ContainerRole)? {
    containersWithRoles.first { $0.container.name == name }
  }
}

extension Container {
  /// The action of the first of the container's `restartPolicyRules` that an exit code matches.
  package func restartRule(for code: Int) -> String? {
    for rule in json["restartPolicyRules"].array ?? [] {
      let isListed = (rule["exitCodes"]["values"].array ?? []).contains { $0.int == code }
      switch rule["exitCodes"]["operator"].string {
      case "In" where isListed, "NotIn" where !isListed: return rule["action"].string
      default: continue
      }
    }
    return nil
  }

  /// Whether a run that ended with this exit is followed by another.
  package func restarts(after exit: ContainerExit, role: ContainerRole, pod: RestartPolicy) -> Bool {
    if exit.isForRestart || (role != .ephemeral && restartRule(for: exit.code) == "Restart") { return true }
    switch role {
    case .sidecar: return true
    case .ephemeral: return false
    case .initial:
      // An init container is done when it succeeds; "Always" means "on failure" for it.
      return exit.code != 0 && (restartPolicy ?? pod) != .never
    case .regular:
      switch restartPolicy ?? pod {
      case .always: return true
      case .onFailure: return exit.code != 0
      case .never: return false
      }
    }
  }
}
