import CLinux
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Reads small files out of an image's layers as a container would see them, without mounting anything.
///
/// Every path is resolved below its layer's root (openat2 with RESOLVE_IN_ROOT and without magic links), so a link in
/// an image never leads to a file of the host. A symbolic link that crosses layers is not followed: such an image's
/// accounts are read as empty.
enum LayerFiles {
  /// O_PATH (open(2)), which Swift's view of glibc lacks.
  private static let pathOnly: Int32 = 0o10000000

  /// The text of a file in the topmost layer that has it, or "" where none has; at most `bytesMax` bytes of it.
  static func text(_ path: String, layers: [FilePath], bytesMax: Int) -> String {
    for layer in layers.reversed() {
      let root = Glibc.open(layer.string, Self.pathOnly | O_DIRECTORY | O_CLOEXEC)
      guard root >= 0 else { continue }
      let directory = OwnedDescriptor(owning: root)
      let file = cl_openat2(
        directory.rawValue, path, UInt64(O_RDONLY | O_CLOEXEC | O_NONBLOCK), 0,
        UInt64(CL_RESOLVE_IN_ROOT | CL_RESOLVE_NO_MAGICLINKS))
      if file == -ENOENT || file == -ENOTDIR { continue }
      // Anything else is no file to be read; ENXIO is overlayfs' whiteout (a device 0:0): deleted in this layer.
      guard file >= 0 else { return "" }
      let owned = OwnedDescriptor(owning: file)
      var status = stat()
      guard fstat(owned.rawValue, &status) == 0 else { return "" }
      guard status.st_mode & S_IFMT == S_IFREG else { return "" }
      return contents(owned.rawValue, min(bytesMax, Int(status.st_size)))
    }
    return ""
  }

  private static func contents(_ file: Int32, _ bytesMax: Int) -> String {
    var bytes = [UInt8](repeating: 0, count: bytesMax)
    var count = 0
    while count < bytesMax {
      let got = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress! + count, bytesMax - count) }
      if got <= 0 { break }
      count += got
    }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}
