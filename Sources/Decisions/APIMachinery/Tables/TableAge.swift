import JSONCodec
import KubernetesAPI

/// A length of time as `kubectl get` shows it: `5s`, `3m20s`, `2h`, `4d3h`, `2y10d`.
///
/// Source: apimachinery's HumanDuration. Less than -1 s is `<invalid>`; clocks may differ by a second.
package func humanDuration(nanoseconds: Int64) -> String {
  let seconds = nanoseconds / 1_000_000_000
  if seconds < -1 { return "<invalid>" }
  if seconds < 0 { return "0s" }
  if seconds < 120 { return "\(seconds)s" }
  let minutes = seconds / 60
  if minutes < 10 { return pair(minutes, "m", seconds % 60, "s") }
  if minutes < 180 { return "\(minutes)m" }
  let hours = minutes / 60
  if hours < 8 { return pair(hours, "h", minutes % 60, "m") }
  if hours < 48 { return "\(hours)h" }
  let days = hours / 24
  if days < 8 { return pair(days, "d", hours % 24, "h") }
  if days < 365 * 2 { return "\(days)d" }
  if days < 365 * 8 { return pair(days / 365, "y", days % 365, "d") }
  return "\(days / 365)y"
}

private func pair(_ whole: Int64, _ unit: String, _ part: Int64, _ partUnit: String) -> String {
  part == 0 ? "\(whole)\(unit)" : "\(whole)\(unit)\(part)\(partUnit)"
}

/// The age of a moment in an object; `<unknown>` where there is none.
func age(_ time: JSON, now: Timestamp) -> String {
  guard let time = time.timestamp else { return "<unknown>" }
  return humanDuration(nanoseconds: now.nanoseconds(since: time))
}
