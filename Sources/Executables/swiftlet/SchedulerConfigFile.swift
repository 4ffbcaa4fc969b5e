import APIServer
import Scheduling

extension ServerOptions {
  /// The profiles of `--scheduler-config`, or upstream's default profile.
  func schedulerConfiguration() throws -> SchedulerConfiguration {
    guard let path = schedulerConfig else { return SchedulerConfiguration() }
    let text = try TextFile.read(path)
    do {
      return try SchedulerConfiguration(try YAMLDocument.parse(text))
    } catch let error as SchedulerConfigurationError {
      throw StartFailure("--scheduler-config \(path): \(error)")
    } catch {
      throw StartFailure("--scheduler-config \(path) is not YAML: \(error)")
    }
  }
}
