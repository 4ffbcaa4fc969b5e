import CLinux
import LinuxKernel
import Synchronization
import SystemPackage

/// Root file systems from image layers.
package enum Overlay {
  /// fsconfig takes values of up to 255 bytes; `lowerdir=` with descriptors' paths holds so many layers, and more are
  /// stacked in groups. The kernel stacks two overlays at most.
  static let layersPerGroup = 12

  /// nil: not known yet whether the kernel has `lowerdir+` (6.5).
  private static let hasLowerdirPlus = Mutex<Bool?>(nil)

  /// A detached overlay.
  /// - Parameter layers: lowest first.
  /// - Parameter forceGroups: as on a kernel before 6.5 (for tests).
  package static func mount(
    layers: [FilePath], upper: FilePath, work: FilePath, attributes: UInt32 = UInt32(CL_MOUNT_ATTR_NODEV), forceGroups: Bool = false
  ) throws(KernelError) -> OwnedDescriptor {
    let context = try open()
    try DetachedMount.set(context, "overlay", "source", "swiftlet")
    if forceGroups || hasLowerdirPlus.withLock({ $0 }) == false {
      return try mountInGroups(context, layers, upper, work, attributes)
    }
    for layer in layers.reversed() {
      let result = layer.string.withCString { cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_SET_STRING), "lowerdir+", $0, 0) }
      if result == -EINVAL_, layer == layers.last {
        hasLowerdirPlus.withLock { $0 = false }
        return try mountInGroups(try open(), layers, upper, work, attributes)
      }
      try KernelError.check("fsconfig", "overlay lowerdir+=\(layer)", result)
    }
    let isKnown = hasLowerdirPlus.withLock { $0 == true }
    do throws(KernelError) {
      let mount = try finish(context, upper, work, attributes)
      hasLowerdirPlus.withLock { $0 = true }
      return mount
    } catch {
      guard !isKnown, error.errno == .invalidArgument else { throw error }
    }
    // Before 6.5 overlayfs takes every option as it comes and refuses only the mount.
    let mount = try mountInGroups(try open(), layers, upper, work, attributes)
    hasLowerdirPlus.withLock { $0 = false }
    return mount
  }

  private static var EINVAL_: Int32 { Errno.invalidArgument.rawValue }

  private static func open() throws(KernelError) -> OwnedDescriptor {
    OwnedDescriptor(owning: try KernelError.check("fsopen", "overlay", cl_fsopen("overlay", UInt32(CL_FSOPEN_CLOEXEC))))
  }

  private static func finish(
    _ context: consuming OwnedDescriptor, _ upper: FilePath, _ work: FilePath, _ attributes: UInt32
  ) throws(KernelError) -> OwnedDescriptor {
    try DetachedMount.set(context, "overlay", "upperdir", upper.string)
    try DetachedMount.set(context, "overlay", "workdir", work.string)
    // Nobody mounts an upper directory twice and none outlives a power cut, so unmounting it need not sync the whole disk, which a
    // dying container would wait for. Linux 5.10; older kernels do without.
    try? DetachedMount.set(context, "overlay", "volatile", nil)
    return try DetachedMount.finish(context, "overlay", attributes)
  }

  private static func mountInGroups(
    _ context: consuming OwnedDescriptor, _ layers: [FilePath], _ upper: FilePath, _ work: FilePath, _ attributes: UInt32
  ) throws(KernelError) -> OwnedDescriptor {
    var lowers: [SharedDescriptor] = []
    for layer in layers { lowers.append(SharedDescriptor(try Files.open(layer.string, flags: Int32(CL_O_PATH)))) }
    if lowers.count > layersPerGroup {
      var groups: [SharedDescriptor] = []
      for start in stride(from: 0, to: lowers.count, by: layersPerGroup) {
        let group = Array(lowers[start..<min(start + layersPerGroup, lowers.count)])
        if group.count == 1 { groups.append(group[0]); continue }
        let inner = try open()
        try DetachedMount.set(inner, "overlay", "lowerdir", lowerdir(group))
        groups.append(SharedDescriptor(try DetachedMount.finish(inner, "overlay", UInt32(CL_MOUNT_ATTR_RDONLY))))
      }
      lowers = groups
    }
    try DetachedMount.set(context, "overlay", "lowerdir", lowerdir(lowers))
    let mount = try finish(context, upper, work, attributes)
    withExtendedLifetime(lowers) {}
    return mount
  }

  private static func lowerdir(_ lowers: [SharedDescriptor]) -> String {
    lowers.reversed().map { "/proc/self/fd/\($0.rawValue)" }.joined(separator: ":")
  }
}
