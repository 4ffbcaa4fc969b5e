import Glibc
import OCISpec
import SystemPackage
import Testing

@testable import ContainerImages

@Suite struct UnpackTests {
  let scratch = Scratch()
  var fs: FilePath { scratch.appending("fs") }

  @Test(arguments: [1, 7, 512, 100_000], TestImage.Compression.allCases)
  func contentArrivesHoweverItIsCut(_ piece: Int, _ compression: TestImage.Compression) throws {
    let data = noise(70_000, seed: 1)
    let plain = tar {
      $0.add("bin", .directory, mode: 0o755)
      $0.add("bin/tool", data: data, mode: 0o755)
    }
    let stream = compression == .none ? plain : compression == .gzip ? gzip(plain) : zstd(plain)
    let facts = try unpack(
      stream, into: scratch, plain: plain, blob: Descriptor(mediaType: "", digest: sha256(stream), size: Int64(stream.count)), piece: piece)
    #expect(readFile(fs.appending("bin/tool")) == data)
    #expect(facts == LayerFacts(bytes: 70_000, entries: 2, impliedDirectories: [], isOpaque: false))
  }

  @Test func everyKindOfEntry() throws {
    let layer = tar {
      $0.add("./", .directory, mode: 0o755)
      $0.add("usr/", .directory, mode: 0o2755, uid: 12, gid: 34, mtime: 1_111_111_111)
      $0.add("usr/su", data: [1, 2, 3], mode: 0o4755, uid: 1000, gid: 1001, mtime: 1_222_222_222)
      $0.add("usr/su2", .hardLink, link: "usr/su")
      $0.add("tmp", .directory, mode: 0o1777)
      $0.add("link", .symbolicLink, link: "/usr/su", uid: 5, gid: 6)
      $0.add("pipe", .fifo, mode: 0o622)
      $0.add("null", .character, mode: 0o666, device: (1, 3))
      $0.add("disk", .block, mode: 0o660, gid: 6, device: (8, 1))
      $0.add("big", .file, data: [9], mode: 0o600, uid: 3_000_000_000, gid: 4_000_000_000)
      $0.add(String(repeating: "n", count: 200), data: [7])
    }
    _ = try unpack(layer, into: scratch)
    let su = fileStat(fs.appending("usr/su"))!
    #expect(su.st_mode == 0o104755 && su.st_uid == 1000 && su.st_gid == 1001 && su.st_nlink == 2 && su.st_mtim.tv_sec == 1_222_222_222)
    #expect(fileStat(fs.appending("usr/su2"))!.st_ino == su.st_ino)
    let usr = fileStat(fs.appending("usr"))!
    #expect(usr.st_mode == 0o042755 && usr.st_uid == 12 && usr.st_gid == 34 && usr.st_mtim.tv_sec == 1_111_111_111)
    #expect(fileStat(fs.appending("tmp"))!.st_mode == 0o041777)
    let link = fileStat(fs.appending("link"))!
    #expect(link.st_mode & 0o170000 == 0o120000 && link.st_uid == 5 && link.st_gid == 6)
    #expect(fileStat(fs.appending("pipe"))!.st_mode == 0o010622)
    let null = fileStat(fs.appending("null"))!
    #expect(null.st_mode == 0o020666 && null.st_rdev == 0x103)
    #expect(fileStat(fs.appending("disk"))!.st_rdev == 0x801)
    let big = fileStat(fs.appending("big"))!
    #expect(big.st_uid == 3_000_000_000 && big.st_gid == 4_000_000_000)
    #expect(readFile(fs.appending(String(repeating: "n", count: 200))) == [7])
  }

  @Test func extendedAttributesAreFiltered() throws {
    let capability: [UInt8] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    let layer = tar {
      $0.add(
        "ping", data: [1], mode: 0o755, uid: 7,
        pax: [
          ("SCHILY.xattr.security.capability", capability), ("SCHILY.xattr.user.note", Array("hi".utf8)),
          ("SCHILY.xattr.trusted.overlay.redirect", Array("/etc".utf8)), ("SCHILY.xattr.user.overlay.opaque", Array("y".utf8)),
          ("SCHILY.xattr.trusted.x", [1]),
        ])
      $0.add("dir", .directory, mode: 0o755, pax: [("SCHILY.xattr.trusted.overlay.opaque", Array("y".utf8)), ("SCHILY.xattr.user.d", [2])])
    }
    _ = try unpack(layer, into: scratch)
    #expect(extendedAttribute(fs.appending("ping"), "security.capability") == capability)
    #expect(extendedAttribute(fs.appending("ping"), "user.note") == Array("hi".utf8))
    #expect(extendedAttribute(fs.appending("ping"), "trusted.overlay.redirect") == nil)
    #expect(extendedAttribute(fs.appending("ping"), "user.overlay.opaque") == nil)
    #expect(extendedAttribute(fs.appending("ping"), "trusted.x") == nil)
    #expect(extendedAttribute(fs.appending("dir"), "trusted.overlay.opaque") == nil)
    #expect(extendedAttribute(fs.appending("dir"), "user.d") == [2])
  }

  @Test func whiteouts() throws {
    let layer = tar {
      $0.add("a/.wh.gone")
      $0.add("b", .directory, mode: 0o700)
      $0.add("b/.wh..wh..opq")
      $0.add("b/new", data: [1])
      $0.add(".wh..wh.plnk", .directory)
      $0.add("c", .directory, mode: 0o755)
      $0.add(".wh.c")
      $0.add(".wh.d")
      $0.add("d", .directory, mode: 0o755)
      $0.add(".wh.e")
      $0.add("e", data: [2])
      $0.add("f", .character, device: (0, 0))
    }
    let facts = try unpack(layer, into: scratch)
    func isWhiteout(_ name: String) -> Bool {
      fileStat(fs.appending(name)).map { FileType($0) == .characterDevice && $0.st_rdev == 0 } ?? false
    }
    func isOpaque(_ name: String) -> Bool { extendedAttribute(fs.appending(name), "trusted.overlay.opaque") == [UInt8(ascii: "y")] }
    #expect(isWhiteout("a/gone") && isWhiteout("f"))
    #expect(isOpaque("b") && readFile(fs.appending("b/new")) == [1])
    #expect(isOpaque("c") && isOpaque("d") && !isOpaque("a"))
    #expect(readFile(fs.appending("e")) == [2])
    #expect(children(fs) == ["a", "b", "c", "d", "e", "f"])
    #expect(facts.impliedDirectories == ["a"] && !facts.isOpaque)
  }

  @Test func namesAreBytes() throws {
    let latin: [UInt8] = [0x6E, 0xE4, 0x62]
    let decomposed = Array("e\u{301}".utf8)
    let layer = tar {
      $0.add("grüße/日本", data: [1])
      $0.add(raw: latin, data: [2])
      $0.add("short", data: [3], pax: [("path", decomposed)])
      $0.add("short2", data: [4], pax: [("path", Array("ünï".utf8))])
    }
    _ = try unpack(layer, into: scratch)
    #expect(readFile(fs.appending("grüße/日本")) == [1])
    func read(_ name: [UInt8]) -> UInt8? {
      let root = open(fs.string, O_RDONLY | O_DIRECTORY)
      defer { close(root) }
      let fd = EntryName(bytes: name).withCString { openat(root, $0, O_RDONLY) }
      defer { close(fd) }
      var byte: UInt8 = 0
      return Glibc.read(fd, &byte, 1) == 1 ? byte : nil
    }
    #expect(read(latin) == 2)
    #expect(read(decomposed) == 3)
    #expect(read(Array("ünï".utf8)) == 4)
  }

  @Test func sparseFilesStaySparse() throws {
    scratch.write([1], "seed")
    let source = scratch.appending("sparse")
    let fd = open(source.string, O_RDWR | O_CREAT, 0o644)
    pwrite(fd, "head", 4, 0)
    pwrite(fd, "tail", 4, 200 << 20)
    ftruncate(fd, 300 << 20)
    close(fd)
    let archive = scratch.appending("sparse.tar")
    #expect(system("tar -C \(scratch.path) --sparse -cf \(archive) sparse") == 0)
    let bytes = readFile(archive)!
    #expect(bytes.count < 1 << 20)
    _ = try unpack(bytes, into: scratch)
    let info = fileStat(fs.appending("sparse"))!
    #expect(info.st_size == 300 << 20 && info.st_blocks < 4096)
    let check = open(fs.appending("sparse").string, O_RDONLY)
    defer { close(check) }
    var tail = [UInt8](repeating: 0, count: 4)
    #expect(pread(check, &tail, 4, 200 << 20) == 4 && tail == Array("tail".utf8))
  }

  @Test func laterEntriesReplaceEarlierOnes() throws {
    let layer = tar {
      $0.add("x", .directory, mode: 0o755)
      $0.add("x/y", data: [1])
      $0.add("x", data: [2])
      $0.add("f", data: [3])
      $0.add("f", .directory, mode: 0o711)
      $0.add("f/g", data: [4])
      $0.add("h", data: [5])
      $0.add("h2", .hardLink, link: "h")
      $0.add("h", data: [6])
      $0.add("d", .directory, mode: 0o755)
      $0.add("d/t", data: [7])
      $0.add("d", .hardLink, link: "d/t")
      $0.add("same", data: [8])
      $0.add("same", .hardLink, link: "./same")
    }
    _ = try unpack(layer, into: scratch)
    #expect(readFile(fs.appending("x")) == [2] && readFile(fs.appending("f/g")) == [4])
    #expect(readFile(fs.appending("h")) == [6] && readFile(fs.appending("h2")) == [5] && readFile(fs.appending("d")) == [7])
    #expect(readFile(fs.appending("same")) == [8])
    #expect(children(fs) == ["d", "f", "h", "h2", "same", "x"])
  }

  @Test func digestsAreChecked() throws {
    let plain = tar { $0.add("a", data: [1]) }
    let stream = gzip(plain)
    func code(_ stream: [UInt8], _ plain: [UInt8], size: Int? = nil, digest: Digest? = nil) -> ImageError.Code? {
      let blob = Descriptor(mediaType: "", digest: digest ?? sha256(stream), size: Int64(size ?? stream.count))
      do {
        _ = try unpack(stream, into: Scratch(), plain: plain, blob: blob)
        return nil
      } catch { return (error as? ImageError)?.code }
    }
    #expect(code(stream, plain) == nil)
    #expect(code(stream, plain + [0]) == .digestMismatch)
    #expect(code(stream, plain, digest: sha256([1])) == .digestMismatch)
    #expect(code(stream, plain, size: stream.count + 1) == .truncated)
    #expect(code(stream, plain, size: stream.count - 1) == .tooLarge)
    var broken = stream
    broken[broken.count / 2] ^= 0x55
    #expect(code(broken, plain, digest: sha256(stream)) == .digestMismatch)
    #expect(code(Array(stream.prefix(stream.count / 2)), plain, size: stream.count, digest: sha256(stream)) == .truncated)
    // Trailing bytes are part of what is verified.
    #expect(code(stream + [0, 0, 0], plain) == nil)
    #expect(code(gzip(plain + [1, 2, 3]), plain) == .digestMismatch)
  }
}
