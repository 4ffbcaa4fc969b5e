import CArchive
import CLinux
import Glibc
import LinuxKernel
import SystemPackage

/// The directory a layer is unpacked into. Every path is resolved by the kernel below this directory (openat2 with
/// RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS: absolute links and `..` count from here), and every change is made by a single
/// name in an already open parent, never following a link.
final class LayerRoot {
  private let descriptor: SharedDescriptor
  /// Directories made because an entry lay in them, though the layer has no entry for them: their mode and owner are guesses.
  private(set) var implied: Set<EntryName> = []
  /// The parent of the entry before: entries of one directory follow each other.
  private var cachedComponents: [EntryName]?
  private var cached: SharedDescriptor?

  private static let resolve = UInt64(CL_RESOLVE_IN_ROOT | CL_RESOLVE_NO_MAGICLINKS)
  private static let directoryFlags = UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  /// Mode of directories that the layer does not describe.
  private static let impliedMode: mode_t = 0o755

  /// `directory` is open, empty and reachable by root only.
  init(_ directory: SharedDescriptor) { descriptor = directory }

  /// The open directory with these components. Where one is missing: made if `create`, else KernelError.
  func directory(_ components: [EntryName], create: Bool) throws -> SharedDescriptor {
    if let cached, components == cachedComponents { return cached }
    let path = components.path
    let found: SharedDescriptor
    do {
      found = try open(path)
    } catch let error as KernelError where error.errno == .noSuchFileOrDirectory && create {
      found = try make(components)
    }
    cached = found
    cachedComponents = components
    return found
  }

  /// To be called after an entry was replaced: the same path may mean another directory now.
  func forgetCache() {
    cached = nil
    cachedComponents = nil
  }

  func noteExplicit(_ components: [EntryName]) { if !implied.isEmpty { implied.remove(components.path) } }

  private func open(_ path: EntryName) throws -> SharedDescriptor {
    let name: EntryName = path.bytes.isEmpty ? "." : path
    let fd: Int32 = name.withCString { cl_openat2(descriptor.rawValue, $0, Self.directoryFlags, 0, Self.resolve) }
    guard fd < 0 else { return SharedDescriptor(OwnedDescriptor(owning: fd)) }
    switch Errno(rawValue: -fd) {
    case .notDirectory, .tooManySymbolicLinkLevels, .improperLink, .fileNameTooLong:
      throw ImageError(.unsafeEntry, "\(path) is no directory of this layer, but an entry lies in it (\(Errno(rawValue: -fd)))")
    case let errno: throw KernelError("openat2", path.description, errno: errno)
    }
  }

  private func make(_ components: [EntryName]) throws -> SharedDescriptor {
    var parent = try open("")
    for depth in components.indices {
      let path = Array(components[...depth]).path
      do {
        parent = try open(path)
        continue
      } catch let error as KernelError where error.errno == .noSuchFileOrDirectory {}
      let name = components[depth]
      guard name.withCString({ mkdirat(parent.rawValue, $0, Self.impliedMode) }) == 0 else {
        let reason = Errno(rawValue: errno)
        guard reason == .fileExists else { throw KernelError("mkdirat", path.description, errno: reason) }
        throw ImageError(.unsafeEntry, "\(path) is a link to nothing in this layer, but an entry lies in it")
      }
      _ = name.withCString { ca_chmod_nofollow(parent.rawValue, $0, Self.impliedMode) }
      implied.insert(path)
      parent = try open(path)
    }
    return parent
  }
}
