import CLinux
import LinuxKernel
import Synchronization
import SystemPackage

/// Root file systems from image layers.
package enum Overlay {
  /// What fsconfig takes as a value.
  private static let valueBytesMax = 255

  /// nil: not known yet whether the kernel has `lowerdir+` (6.5).
  private static let hasLowerdirPlus = Mutex<Bool?>(nil)

  /// A detached overlay.
  /// - Parameter layers: lowest first.
  /// - Parameter asBefore65: as on a kernel without `lowerdir+` (for tests).
  package static func mount(
    layers: [FilePath], upper: FilePath?, work: FilePath?, attributes: UInt32 = UInt32(CL_MOUNT_ATTR_NODEV), asBefore65: Bool = false
  ) throws(KernelError) -> OwnedDescriptor {
    let isKnown = asBefore65 ? false : hasLowerdirPlus.withLock { $0 }
    if isKnown == false { return try mountByNumbers(layers, upper, work, attributes) }
    do throws(KernelError) {
      let mount = try mountByName(layers, upper, work, attributes)
      hasLowerdirPlus.withLock { $0 = true }
      return mount
    } catch {
      // Before 6.5 overlayfs takes options as they come and refuses only the mount.
      guard isKnown == nil, error.errno == .invalidArgument else { throw error }
    }
    let mount = try mountByNumbers(layers, upper, work, attributes)
    hasLowerdirPlus.withLock { $0 = false }
    return mount
  }

  /// The files of layers (lowest first, at least one) for reading only; nothing in it can be executed or is a device.
  /// - Parameter empty: an empty directory: an overlay without a writable layer has at least two others.
  package static func readOnly(layers: [FilePath], empty: FilePath) throws(KernelError) -> OwnedDescriptor {
    let attributes = UInt32(CL_MOUNT_ATTR_RDONLY | CL_MOUNT_ATTR_NOSUID | CL_MOUNT_ATTR_NODEV | CL_MOUNT_ATTR_NOEXEC)
    return try mount(layers: layers.count == 1 ? [empty] + layers : layers, upper: nil, work: nil, attributes: attributes)
  }

  private static func open() throws(KernelError) -> OwnedDescriptor {
    let context = OwnedDescriptor(owning: try KernelError.check("fsopen", "overlay", cl_fsopen("overlay", UInt32(CL_FSOPEN_CLOEXEC))))
    try DetachedMount.set(context, "overlay", "source", "swiftlet")
    return context
  }

  private static func mountByName(
    _ layers: [FilePath], _ upper: FilePath?, _ work: FilePath?, _ attributes: UInt32
  ) throws(KernelError) -> OwnedDescriptor {
    let context = try open()
    for layer in layers.reversed() { try DetachedMount.set(context, "overlay", "lowerdir+", layer.string) }
    try setWritable(context, upper, work)
    return try DetachedMount.finish(context, "overlay", attributes)
  }

  private static func setWritable(_ context: borrowing OwnedDescriptor, _ upper: FilePath?, _ work: FilePath?) throws(KernelError) {
    guard let upper, let work else { return }
    try DetachedMount.set(context, "overlay", "upperdir", upper.string)
    try DetachedMount.set(context, "overlay", "workdir", work.string)
    // Nobody mounts an upper directory twice and none outlives a power cut, so unmounting it need not sync the whole disk, which a
    // dying container would wait for. Linux 5.10; older kernels do without.
    try? DetachedMount.set(context, "overlay", "volatile", nil)
  }

  /// The layers as numbers of descriptors: some sixty fit into the one value.
  private static func mountByNumbers(
    _ layers: [FilePath], _ upper: FilePath?, _ work: FilePath?, _ attributes: UInt32
  ) throws(KernelError) -> OwnedDescriptor {
    var lowers: [SharedDescriptor] = []
    for layer in layers { lowers.append(SharedDescriptor(try Files.open(layer.string, flags: Int32(CL_O_PATH)))) }
    let lowerdir = lowers.reversed().map { "\($0.rawValue)" }.joined(separator: ":")
    guard lowerdir.utf8.count <= valueBytesMax else {
      throw KernelError("mount overlay", "\(layers.count) layers are more than Linux takes before 6.5", errno: .argListTooLong)
    }
    let context = try open()
    try setWritable(context, upper, work)
    let created = cl_overlay_create(context.rawValue, lowerdir)
    withExtendedLifetime(lowers) {}
    if created < 0 { throw KernelError("mount overlay", "\(layers.count) layers", errno: Errno(rawValue: -created)) }
    return OwnedDescriptor(
      owning: try KernelError.check("fsmount", "overlay", cl_fsmount(context.rawValue, UInt32(CL_FSMOUNT_CLOEXEC), attributes)))
  }
}
