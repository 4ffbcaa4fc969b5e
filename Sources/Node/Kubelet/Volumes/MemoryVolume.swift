#if canImport(Glibc)
  import Glibc
#endif

/// A tmpfs for an emptyDir of medium Memory. It is mounted on the node while the pod lives: all containers of the pod share
/// it, also those that are started after the agent was.
enum MemoryVolume {
  /// Mounts unless something is mounted there.
  static func mount(at path: String, sizeBytes: Int64?) throws(VolumeIOError) {
    if isMounted(path) { return }
    let options = (sizeBytes.map { "size=\($0)," } ?? "") + "mode=0777"
    guard Glibc.mount("tmpfs", path, "tmpfs", UInt(MS_NOSUID | MS_NODEV), options) == 0 else {
      throw VolumeIOError("mount", path, errno)
    }
  }

  static func unmount(_ path: String) throws(VolumeIOError) {
    while isMounted(path) {
      guard umount2(path, Int32(MNT_DETACH) | Int32(UMOUNT_NOFOLLOW)) == 0 else {
        throw VolumeIOError("umount", path, errno)
      }
    }
  }

  /// Something is mounted there: another device than the directory above it.
  static func isMounted(_ path: String) -> Bool {
    var own = stat()
    var above = stat()
    guard lstat(path, &own) == 0, lstat(path + "/..", &above) == 0 else { return false }
    return own.st_dev != above.st_dev
  }
}
