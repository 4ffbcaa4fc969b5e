import CLinux
import LinuxKernel
import SystemPackage
import Testing

@testable import OverlayMounts

#if canImport(Glibc)
  import Glibc
#endif

/// Detached mounts only: nothing here appears in a mount table.
@Suite(.enabled(if: geteuid() == 0)) struct OverlayTests {
  /// Runs a test with a few layers; each has a file of its own, and `same` says whose it is.
  private func withLayers(_ count: Int, _ body: (FilePath, [FilePath]) throws -> Void) throws {
    var template = Array("/var/tmp/swiftlet-overlay-XXXXXX".utf8CString)
    let path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    defer { try? Files.removeTree(path, in: AT_FDCWD) }
    let root = FilePath(path)
    let layers = (0..<count).map { root.appending("layer \($0):,") }
    for (number, layer) in layers.enumerated() {
      try Files.makeDirectories(layer)
      let directory = SharedDescriptor(try Files.openDirectory(layer))
      try Files.replace("own\(number)", in: directory.rawValue, with: Array("\(number)".utf8))
      try Files.replace("same", in: directory.rawValue, with: Array("of \(number)".utf8))
    }
    for name in ["upper", "work", "empty"] { try Files.makeDirectories(root.appending(name)) }
    try body(root, layers)
  }

  private func mounts() throws -> Int { try Files.text("/proc/self/mountinfo").split(separator: "\n").count }

  @Test(arguments: [false, true]) func theTopmostLayerWins(asBefore65: Bool) throws {
    try withLayers(3) { root, layers in
      let before = try mounts()
      let mount = SharedDescriptor(
        try Overlay.mount(layers: layers, upper: root.appending("upper"), work: root.appending("work"), asBefore65: asBefore65))
      #expect(try Files.text("same", in: mount.rawValue) == "of 2")
      for number in 0..<3 { #expect(try Files.text("own\(number)", in: mount.rawValue) == "\(number)") }
      try Files.replace("same", in: mount.rawValue, with: Array("mine".utf8))
      unlinkat(mount.rawValue, "own0", 0)
      #expect(try Files.text("same", in: mount.rawValue) == "mine" && Files.text("/\(layers[2])/same") == "of 2")
      #expect(try Files.names(in: layers[0]) == ["own0", "same"], "layers stay as they are")
      #expect(try Files.names(in: root.appending("upper")) == ["own0", "same"], "a whiteout and the new file")
      #expect(try mounts() == before)
    }
  }

  @Test func manyLayers() throws {
    try withLayers(120) { root, layers in
      let mount = SharedDescriptor(try Overlay.mount(layers: layers, upper: root.appending("upper"), work: root.appending("work")))
      #expect(try Files.text("own0", in: mount.rawValue) == "0" && Files.text("same", in: mount.rawValue) == "of 119")
      #expect(throws: KernelError.self, "a kernel before 6.5 does not take as many") {
        _ = try Overlay.mount(layers: layers, upper: nil, work: nil, asBefore65: true)
      }
    }
  }

  @Test(arguments: [1, 2]) func readOnly(count: Int) throws {
    try withLayers(count) { root, layers in
      let mount = SharedDescriptor(try Overlay.readOnly(layers: layers, empty: root.appending("empty")))
      #expect(try Files.text("same", in: mount.rawValue) == "of \(count - 1)")
      #expect(throws: KernelError("open", "new.new", errno: .readOnlyFileSystem)) { try Files.replace("new", in: mount.rawValue, with: []) }
    }
  }

  @Test func aLayerThatIsMissingIsNamed() throws {
    try withLayers(1) { root, layers in
      do {
        _ = try Overlay.mount(layers: layers + [root.appending("gone")], upper: root.appending("upper"), work: root.appending("work"))
        Issue.record("it was mounted")
      } catch { #expect("\(error)".contains("gone"), "\(error)") }
    }
  }

  @Test func bindsAndTemporaryFiles() throws {
    try withLayers(1) { _, layers in
      let bound = SharedDescriptor(try DetachedMount.bind(path: layers[0], readOnly: true))
      #expect(try Files.text("same", in: bound.rawValue) == "of 0")
      #expect(throws: KernelError.self) { try Files.replace("new", in: bound.rawValue, with: []) }
      let memory = SharedDescriptor(try DetachedMount.tmpfs(size: 4_096))
      try Files.replace("small", in: memory.rawValue, with: [1])
      #expect(throws: KernelError("write", "large.new", errno: .noSpace)) {
        try Files.replace("large", in: memory.rawValue, with: [UInt8](repeating: 1, count: 10_000))
      }
    }
  }
}
