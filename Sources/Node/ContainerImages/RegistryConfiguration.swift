import OCISpec
import SystemPackage

/// How registries are reached. Hosts are written as in image names: `host` or `host:port`.
package struct RegistryConfiguration: Sendable {
  /// For a registry, other hosts that are asked first, in this order.
  package var mirrors: [String: [String]] = [:]
  /// Registries spoken to without TLS. Loopback addresses are, unless they have a CA file.
  package var plainHTTPHosts: Set<String> = []
  /// PEM files with the CA of single registries. Others are checked against the system's.
  package var caFiles: [String: FilePath] = [:]
  /// Hosts that may be given a registry's login to make a token, beside the registry itself and hosts of the same domain.
  package var tokenHosts: Set<String> = []
  /// What this node runs.
  package var platform = Platform.host
  package var limits = UnpackLimits()
  /// Layers of one image fetched at the same time.
  package var parallelLayers = 3
  package var connectSeconds = 15
  /// The longest silence of a registry in the middle of an answer.
  package var silenceSeconds = 30
  /// The longest time for one document (manifest, config, token).
  package var documentSeconds = 60
  /// Tries without a single new byte before a download is given up.
  package var tries = 5
  /// Connections one download may use in all.
  package var resumesMax = 100
  /// Wait before the second try; doubled each time, up to `retryMillisecondsMax`.
  package var retryMilliseconds = 250
  package var retryMillisecondsMax = 8_000
  /// Waits for the disk before anything becomes visible.
  package var syncsToDisk = true

  package init() {}
}
