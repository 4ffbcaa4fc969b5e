import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

setvbuf(stdout, nil, _IOLBF, 0)
do {
  let options = try SimulatorOptions(Array(CommandLine.arguments.dropFirst()))
  exit(options.isWorker ? try Runner.work(options) : try Runner.spread(options))
} catch {
  fputs("\(error)\n", stderr)
  exit(2)
}
