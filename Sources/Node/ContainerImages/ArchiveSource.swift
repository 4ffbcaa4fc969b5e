import CArchive
import CLinux
import Glibc
import LinuxKernel
import OCISpec
import SystemPackage

/// The files of an image archive: a folder, or a tar file read where it lies.
protocol ImageArchive: Sendable {
  /// Nil where there is no such regular file.
  func size(of name: String) throws -> Int64?
  /// A stream of a file's bytes.
  func open(_ name: String) throws -> any ByteSource
}

extension ImageArchive {
  /// A small file whole; nil where there is none.
  func read(_ name: String, bytesMax: Int) throws -> [UInt8]? {
    guard let size = try size(of: name) else { return nil }
    guard size <= bytesMax else { throw ImageError(.tooLarge, "\(name) in the archive is longer than \(bytesMax) bytes") }
    let source = try open(name)
    var bytes: [UInt8] = []
    while let piece = try source.next() { bytes.append(contentsOf: piece) }
    guard bytes.count == Int(size) else {
      throw ImageError(.truncated, "\(name) in the archive ends after \(bytes.count) of \(size) bytes")
    }
    return bytes
  }
}

/// An OCI layout folder. Links in it are not followed.
struct FolderArchive: ImageArchive {
  private let root: SharedDescriptor

  init(_ path: FilePath) throws {
    let fd = Glibc.open(path.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0 else { throw KernelError("open", path.string, errno: Errno(rawValue: errno)) }
    root = SharedDescriptor(OwnedDescriptor(owning: fd))
  }

  private func openFile(_ name: String) throws -> (SharedDescriptor, Int64)? {
    let resolve = UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS | CL_RESOLVE_NO_MAGICLINKS)
    // O_NONBLOCK: a FIFO in the folder must not hold us.
    let fd = cl_openat2(root.rawValue, name, UInt64(O_RDONLY | O_CLOEXEC | O_NONBLOCK), 0, resolve)
    if fd == -ENOENT { return nil }
    try KernelError.check("openat2", name, fd)
    let file = SharedDescriptor(OwnedDescriptor(owning: fd))
    var info = stat()
    guard fstat(fd, &info) == 0, FileType(info) == .regular else {
      throw ImageError(.unsafeEntry, "\(name) in the archive is not a regular file")
    }
    return (file, Int64(info.st_size))
  }

  func size(of name: String) throws -> Int64? { try openFile(name)?.1 }

  func open(_ name: String) throws -> any ByteSource {
    guard let (file, size) = try openFile(name) else { throw ImageError(.malformed, "the archive has no file \(name)") }
    return FileSource(file, offset: 0, length: size)
  }
}

/// A tar file. One pass notes where each file's bytes lie; layers are then read from there, so nothing is unpacked twice.
struct TarArchive: ImageArchive {
  private enum Item { case file(offset: Int64, size: Int64), link(String) }

  private let file: SharedDescriptor
  private let items: [String: Item]

  /// Files an image archive may hold.
  static let filesMax = 100_000
  /// Links from one file to another, as old `docker save` wrote them.
  static let linksMax = 8

  /// `file` is a plain (uncompressed) tar.
  init(_ file: SharedDescriptor) throws {
    self.file = file
    var info = stat()
    guard fstat(file.rawValue, &info) == 0 else { throw KernelError("fstat", errno: Errno(rawValue: errno)) }
    let tar = try TarReader(FileSource(file, offset: 0, length: Int64(info.st_size)), xattrBytesMax: 64 << 10)
    var limits = UnpackLimits()
    limits.depthMax = 16
    var items: [String: Item] = [:]
    while let entry = try tar.next() {
      guard items.count < Self.filesMax else {
        throw ImageError(.limitExceeded, "the archive has more than \(Self.filesMax) files (limit filesMax)")
      }
      let components: [EntryName]
      do throws(LayerPathError) {
        components = try layerComponents(entry.path, limits: limits)
      } catch { throw ImageError(.unsafeEntry, "\(entry.path) in the archive: \(error.reason)") }
      let name = components.path.description
      switch entry.kind {
      case .file:
        let offset = tar.position
        guard offset + entry.size <= Int64(info.st_size) else {
          throw ImageError(.truncated, "the archive ends in the middle of \(name)")
        }
        items[name] = .file(offset: offset, size: entry.size)
      case .symbolicLink:
        let target = EntryName(bytes: Array(components.dropLast()).path.bytes + [UInt8(ascii: "/")] + entry.target.bytes)
        if let path = try? layerComponents(target, limits: limits).path.description { items[name] = .link(path) }
      case .hardLink:
        if let path = try? layerComponents(entry.target, limits: limits).path.description { items[name] = .link(path) }
      default: continue
      }
    }
    self.items = items
  }

  private func find(_ name: String) -> (offset: Int64, size: Int64)? {
    var name = name
    for _ in 0...Self.linksMax {
      switch items[name] {
      case .file(let offset, let size)?: return (offset, size)
      case .link(let target)?: name = target
      case nil: return nil
      }
    }
    return nil
  }

  func size(of name: String) -> Int64? { find(name)?.size }

  func open(_ name: String) throws -> any ByteSource {
    guard let (offset, size) = find(name) else { throw ImageError(.malformed, "the archive has no file \(name)") }
    return FileSource(file, offset: offset, length: size)
  }
}
