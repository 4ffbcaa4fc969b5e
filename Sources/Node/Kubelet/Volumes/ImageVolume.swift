import CLinux
import LinuxKernel
import OverlayMounts
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The files of an image as a read-only volume. Mounted on the node while the pod lives, so that containers that are started
/// later, and subpaths, find it.
enum ImageVolume {
  /// Mounts unless something is mounted there. `layers`: lowest first.
  static func mount(_ layers: [FilePath], at path: String) throws {
    if MemoryVolume.isMounted(path) || layers.isEmpty { return }
    let mount = try Overlay.readOnly(layers: layers, empty: FilePath(path))
    let moveFromDescriptor: UInt32 = 4  // MOVE_MOUNT_F_EMPTY_PATH
    try KernelError.check("move_mount", path, cl_move_mount(mount.rawValue, "", AT_FDCWD, path, moveFromDescriptor))
  }
}
