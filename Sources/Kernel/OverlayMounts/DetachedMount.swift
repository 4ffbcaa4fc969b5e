import CLinux
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

package enum MountPropagation: String, Sendable { case `private`, hostToContainer, bidirectional }

/// Mounts that belong to no mount table: whoever gets the descriptor moves it where it belongs, and with its last
/// descriptor it is gone.
package enum DetachedMount {
  /// fsopen ... fsmount. Options are strings, or flags where the value is nil.
  package static func make(_ type: String, _ options: [(String, String?)], attributes: UInt32) throws(KernelError) -> OwnedDescriptor {
    let context = OwnedDescriptor(owning: try KernelError.check("fsopen", type, cl_fsopen(type, UInt32(CL_FSOPEN_CLOEXEC))))
    for (key, value) in options { try set(context, type, key, value) }
    return try finish(context, type, attributes)
  }

  static func set(_ context: borrowing OwnedDescriptor, _ type: String, _ key: String, _ value: String?) throws(KernelError) {
    let result =
      if let value {
        value.withCString { cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_SET_STRING), key, $0, 0) }
      } else {
        cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_SET_FLAG), key, nil, 0)
      }
    if result < 0 { throw KernelError("fsconfig", "\(type) \(key)=\(value ?? "")", errno: Errno(rawValue: -result)) }
  }

  static func finish(_ context: consuming OwnedDescriptor, _ type: String, _ attributes: UInt32) throws(KernelError) -> OwnedDescriptor {
    let created = cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_CMD_CREATE), nil, nil, 0)
    if created < 0 {
      throw KernelError("mount \(type)", message(context), errno: Errno(rawValue: -created))
    }
    return OwnedDescriptor(
      owning: try KernelError.check("fsmount", type, cl_fsmount(context.rawValue, UInt32(CL_FSMOUNT_CLOEXEC), attributes)))
  }

  /// What the file system itself says went wrong, when it says something.
  private static func message(_ context: borrowing OwnedDescriptor) -> String {
    var bytes = [UInt8](repeating: 0, count: 256)
    let got = read(context.rawValue, &bytes, bytes.count)
    return got > 0 ? String(decoding: bytes[..<got].filter { $0 != 10 }, as: UTF8.self) : ""
  }

  /// - Parameter size: bytes; nil leaves the kernel's default, half of the memory.
  package static func tmpfs(size: Int64?, mode: String = "1777") throws(KernelError) -> OwnedDescriptor {
    var options: [(String, String?)] = [("mode", mode)]
    if let size { options.append(("size", "\(size)")) }
    return try make("tmpfs", options, attributes: UInt32(CL_MOUNT_ATTR_NOSUID | CL_MOUNT_ATTR_NODEV))
  }

  /// A clone of the tree that lies at an open path.
  /// - Parameter readOnly: the whole tree, or without `readOnlyBelow` its topmost mount only.
  package static func bind(
    _ source: borrowing OwnedDescriptor, readOnly: Bool, propagation: MountPropagation = .private, recursive: Bool = true,
    readOnlyBelow: Bool = true
  ) throws(KernelError) -> OwnedDescriptor {
    let recurse = recursive ? UInt32(CL_AT_RECURSIVE) : 0
    let flags = UInt32(CL_OPEN_TREE_CLONE) | UInt32(CL_OPEN_TREE_CLOEXEC) | UInt32(CL_AT_EMPTY_PATH) | recurse
    let mount = OwnedDescriptor(owning: try KernelError.check("open_tree", "", cl_open_tree(source.rawValue, "", flags)))
    let type =
      switch propagation {
      case .private: UInt64(1) << 18
      case .hostToContainer: UInt64(1) << 19
      case .bidirectional: UInt64(1) << 20
      }
    let attributes = readOnly && readOnlyBelow ? UInt64(CL_MOUNT_ATTR_RDONLY) : 0
    try KernelError.check(
      "mount_setattr", "\(propagation)",
      cl_mount_setattr(mount.rawValue, "", UInt32(CL_AT_EMPTY_PATH) | recurse, attributes, 0, type))
    if readOnly, !readOnlyBelow {
      try KernelError.check(
        "mount_setattr", "read-only",
        cl_mount_setattr(mount.rawValue, "", UInt32(CL_AT_EMPTY_PATH), UInt64(CL_MOUNT_ATTR_RDONLY), 0, 0))
    }
    return mount
  }

  /// The same by a path on the host, links followed.
  package static func bind(path: FilePath, readOnly: Bool, propagation: MountPropagation = .private, readOnlyBelow: Bool = true)
    throws(KernelError) -> OwnedDescriptor
  {
    let source = try Files.open(path.string, flags: Int32(CL_O_PATH))
    return try bind(source, readOnly: readOnly, propagation: propagation, readOnlyBelow: readOnlyBelow)
  }
}
