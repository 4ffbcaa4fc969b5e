/// A volume that could not be made ready. The text is that of kubelet's FailedMount event.
package struct VolumeError: Error, Sendable, CustomStringConvertible {
  package let volume: String
  package let reason: String

  package init(volume: String, _ reason: String) {
    self.volume = volume
    self.reason = reason
  }

  package var description: String { "MountVolume.SetUp failed for volume \"\(volume)\" : \(reason)" }
}
