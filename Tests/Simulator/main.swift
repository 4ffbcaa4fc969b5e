import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Writes a line at once: what a process that crashed was doing must not be lost in a buffer.
func say(_ line: String, to descriptor: FileDescriptor = .standardOutput) { _ = try? descriptor.writeAll((line + "\n").utf8) }

do {
  let options = try SimulatorOptions(Array(CommandLine.arguments.dropFirst()))
  exit(options.isWorker ? try Runner.work(options) : try Runner.spread(options))
} catch {
  say("\(error)", to: .standardError)
  exit(2)
}
