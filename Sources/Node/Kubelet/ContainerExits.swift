import ContainerRuntime
import JSONCodec
import KubernetesAPI
import PodLifecycle

#if canImport(Glibc)
  import Glibc
#endif

/// The last bytes and lines of a log that stand in for a termination message.
private let fallbackBytesMax = 2048
private let fallbackLinesMax = 80

/// What the runtime says of an ended container, with its termination message: the file's content or, by the
/// container's policy, the end of the log of a run that failed without one.
func containerExit(_ state: ContainerState, pod: Pod, services: PodServices) -> ContainerExit {
  let signal = Int(state.signal)
  let code = Int(state.exitCode) != 0 || signal == 0 ? Int(state.exitCode) : 128 + signal
  var message = state.message ?? ""
  let policy = pod.container(named: state.name)?.container.terminationMessagePolicy
  if message.isEmpty, code != 0, policy == "FallbackToLogsOnError" {
    message = logTail(services.logPath(of: pod, container: state.name, attempt: state.attempt))
  }
  return ContainerExit(
    code: code, signal: signal, isOutOfMemory: state.oomKilled,
    finishedAt: Timestamp(nanosecondsSinceEpoch: state.finishedAt),
    message: message.isEmpty ? nil : message.prefix(utf8Bytes: ContainerStatusBuilder.messageBytesMax))
}

/// The end of a CRI log without its time stamps.
func logTail(_ path: String) -> String {
  let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
  guard file >= 0 else { return "" }
  defer { close(file) }
  // Each line carries about 40 bytes of stamp besides its text.
  let span = fallbackBytesMax + fallbackLinesMax * 48
  let end = lseek(file, 0, SEEK_END)
  let start = max(0, end - off_t(span))
  var bytes = [UInt8](repeating: 0, count: Int(end - start))
  let got = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress!, $0.count, start) }
  guard got > 0 else { return "" }
  var lines = bytes[..<got].split(separator: UInt8(ascii: "\n"))
  if start > 0 { lines = Array(lines.dropFirst()) }
  var text: [UInt8] = []
  for line in lines.suffix(fallbackLinesMax) {
    let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 3, omittingEmptySubsequences: false)
    guard fields.count == 4 else { continue }
    text += fields[3]
    if fields[2].elementsEqual("F".utf8) { text.append(UInt8(ascii: "\n")) }
  }
  return String(decoding: text.suffix(fallbackBytesMax), as: UTF8.self)
}
