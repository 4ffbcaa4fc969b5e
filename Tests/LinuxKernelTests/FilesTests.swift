import SystemPackage
import Testing

@testable import LinuxKernel

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct FilesTests {
  /// Runs a test in a directory that goes away with it.
  private func inDirectory(_ body: (FilePath) throws -> Void) throws {
    var template = Array("/tmp/swiftlet-files-XXXXXX".utf8CString)
    let path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    defer { try? Files.removeTree(path, in: AT_FDCWD) }
    try body(FilePath(path))
  }

  private func errno(_ body: () throws -> Void) -> Errno? {
    do {
      try body()
      return nil
    } catch { return (error as? KernelError)?.errno }
  }

  @Test func aFileIsReplacedInOneStep() throws {
    try inDirectory { root in
      let directory = SharedDescriptor(try Files.openDirectory(root))
      try Files.replace("f", in: directory.rawValue, with: Array("one".utf8), mode: 0o640)
      let before = try Files.open(root.appending("f").string, flags: O_RDONLY)
      try Files.replace("f", in: directory.rawValue, with: [])
      #expect(try Files.text("f", in: directory.rawValue) == "")
      #expect(try Files.names(in: root) == ["f"], "no temporary file is left")
      var kept = [UInt8](repeating: 0, count: 8)
      #expect(Glibc.read(before.rawValue, &kept, 8) == 3, "who reads the old file reads it to its end")
    }
  }

  @Test func readingIsBounded() throws {
    try inDirectory { root in
      let directory = SharedDescriptor(try Files.openDirectory(root))
      try Files.replace("f", in: directory.rawValue, with: [UInt8](repeating: 7, count: 100_000))
      #expect(try Files.read("f", in: directory.rawValue, limit: 70_000).count == 70_000)
      #expect(errno { _ = try Files.read("none", in: directory.rawValue) } == .noSuchFileOrDirectory)
      symlink("f", root.appending("link").string)
      #expect(errno { _ = try Files.read("link", in: directory.rawValue) } == .tooManySymbolicLinkLevels, "links are not followed")
    }
  }

  @Test func nobodyLeavesADirectory() throws {
    try inDirectory { root in
      try Files.makeDirectories(root.appending("a/b/c"))
      symlink("/etc", root.appending("a/out").string)
      let directory = SharedDescriptor(try Files.openDirectory(root.appending("a")))
      func open(_ name: String) -> Errno? {
        errno {
          let parent = OwnedDescriptor(owning: dup(directory.rawValue))
          _ = try Files.openDirectory(name, in: parent)
        }
      }
      #expect(open("b/c") == nil)
      #expect(open("out") == .tooManySymbolicLinkLevels)
      #expect(open("..") == .improperLink && open("b/../../..") == .improperLink)
    }
  }

  @Test func aTreeIsRemovedWithoutFollowingLinks() throws {
    try inDirectory { root in
      try Files.makeDirectories(root.appending("keep"))
      try Files.makeDirectories(root.appending("go/deep/er"))
      symlink(root.appending("keep").string, root.appending("go/link").string)
      let directory = SharedDescriptor(try Files.openDirectory(root))
      let keep = SharedDescriptor(try Files.openDirectory(root.appending("keep")))
      try Files.replace("inside", in: keep.rawValue, with: [1])
      try Files.removeTree("go", in: directory.rawValue)
      try Files.removeTree("never there", in: directory.rawValue)
      #expect(try Files.names(in: root) == ["keep"])
      #expect(try Files.names(in: root.appending("keep")) == ["inside"])
    }
  }

  @Test func descriptorsCloseWithTheirOwner() throws {
    var number: Int32 = -1
    do {
      let (read, write) = try Files.pipe()
      let reader = OwnedDescriptor(owning: read)
      let writer = OwnedDescriptor(owning: write)
      number = writer.rawValue
      let copy = try writer.duplicate()
      #expect(fcntl(copy.rawValue, F_GETFD) == FD_CLOEXEC && copy.rawValue != number && reader.rawValue != number)
    }
    #expect(fcntl(number, F_GETFD) == -1)
  }

  @Test func memoryIsSealed() throws {
    let memory = try Files.memory("test", [1, 2, 3])
    #expect(write(memory.rawValue, [9], 1) == -1)
    var bytes = [UInt8](repeating: 0, count: 4)
    #expect(pread(memory.rawValue, &bytes, 4, 0) == 3 && bytes == [1, 2, 3, 0])
  }

  @Test func errorsSayWhatAndWhere() throws {
    #expect(throws: KernelError("mount", "/x", errno: .permissionDenied)) { try KernelError.check("mount", "/x", Int32(-13)) }
    #expect(KernelError("mount", "/x", errno: .permissionDenied).description == "mount /x: Permission denied (errno 13)")
    #expect(try KernelError.check("open", "", Int32(5)) == 5)
  }

  @Test func capabilities() {
    let set = CapabilitySet(names: ["cap_net_admin", "KILL", "NONSENSE"])
    #expect(set.contains("NET_ADMIN") && set.contains("CAP_KILL") && !set.contains("CHOWN") && set.bits.nonzeroBitCount == 2)
    #expect(CapabilitySet.bit(of: "CHECKPOINT_RESTORE") == 40 && CapabilitySet(names: ["all"]) == .all)
    #expect(!CapabilitySet.containerDefault.contains("SYS_ADMIN") && !CapabilitySet.containerDefault.contains("NET_RAW"))
  }
}
