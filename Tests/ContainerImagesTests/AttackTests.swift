import Glibc
import OCISpec
import SystemPackage
import Testing

@testable import ContainerImages

/// Layers made to leave their place (the image rows of the security regression list). In all of them the layer lies beside a
/// canary, and nothing but `fs` may change.
@Suite struct AttackTests {
  let scratch = Scratch()
  var fs: FilePath { scratch.appending("fs") }

  private func attack(_ layer: [UInt8], limits: UnpackLimits = UnpackLimits()) -> ImageError.Code? {
    if fileStat(scratch.appending("canary")) == nil {
      mkdir(scratch.appending("canary").string, 0o755)
      scratch.write([42], "canary/secret")
    }
    let before = treeListing(scratch.path).filter { !$0.hasPrefix("fs") }
    var code: ImageError.Code?
    do { _ = try unpack(layer, into: scratch, limits: limits) } catch { code = (error as? ImageError)?.code ?? .storage }
    #expect(treeListing(scratch.path).filter { !$0.hasPrefix("fs") } == before)
    #expect(readFile(scratch.appending("canary/secret")) == [42])
    return code
  }

  @Test(arguments: ["../canary/secret", "a/../../canary/secret", "../../x", "a/b/../../../x", "/../x", "./../x", ".."])
  func climbingNamesAreRefused(_ name: String) {
    #expect(attack(tar { $0.add(name, data: [1]) }) == .unsafeEntry)
    #expect(attack(tar { $0.add(name, .directory) }) == .unsafeEntry)
    #expect(attack(tar { $0.add(name, .symbolicLink, link: "x") }) == .unsafeEntry)
  }

  @Test func absoluteNamesStayInside() {
    #expect(attack(tar { $0.add("/etc/swiftlet-test", data: [1]) }) == nil)
    #expect(readFile(fs.appending("etc/swiftlet-test")) == [1])
    #expect(fileStat("/etc/swiftlet-test") == nil)
  }

  @Test func fileThroughALinkStaysInside() {
    let canary = scratch.appending("canary").string
    for target in [canary, "../canary", "/proc/self/cwd", "/proc/1/root", "a/../../canary"] {
      _ = attack(
        tar {
          $0.add("x", .symbolicLink, link: target)
          $0.add("x/secret", data: [66])
          $0.add("x/new", data: [66])
        })
    }
    // An absolute link counts from the layer's root, as it will in the container.
    #expect(
      attack(
        tar {
          $0.add("real", .directory, mode: 0o755)
          $0.add("y", .symbolicLink, link: "/real")
          $0.add("y/f", data: [5])
        }) == nil)
    #expect(readFile(fs.appending("real/f")) == [5])
  }

  /// CVE-2021-32760: a mode set through a link.
  @Test func modesAreNotSetThroughLinks() {
    chmod(scratch.path.string, 0o700)
    let target = scratch.appending("canary").string
    _ = attack(
      tar {
        $0.add("a", .symbolicLink, link: target)
        $0.add("a/.", .directory, mode: 0o7777, uid: 99, gid: 99)
      })
    _ = attack(
      tar {
        $0.add("b", .symbolicLink, link: target + "/secret")
        $0.add("b", .hardLink, link: target + "/secret", mode: 0o7777)
      })
    _ = attack(
      tar {
        $0.add("c", .symbolicLink, link: "../canary/secret", mode: 0o7777, uid: 99)
        $0.add("d", .hardLink, link: "c", mode: 0o7777, uid: 99)
      })
  }

  /// CVE-2021-29136: the root is a directory and nothing else.
  @Test(arguments: [".", "./", "/", "", "./.", "a/.."])
  func theRootIsNotReplaced(_ name: String) {
    for kind in [TarBuilder.Kind.symbolicLink, .file, .hardLink, .fifo, .character]
    where !(kind == .file && (name.hasSuffix("/") || name.isEmpty)) {
      let code = attack(
        tar {
          $0.add("a", .directory, mode: 0o755)
          $0.add(name, kind, link: "../canary")
        })
      #expect(code == .unsafeEntry || code == .malformed, "\(name) \(kind)")
      #expect(FileType(fileStat(fs)!) == .directory)
    }
  }

  @Test(arguments: ["../canary/secret", "/canary/secret", "x/secret", "missing", ".", "dir", ".wh.z", "z"])
  func hardLinksStayInside(_ target: String) {
    let code = attack(
      tar {
        $0.add("dir", .directory, mode: 0o755)
        $0.add("x", .symbolicLink, link: "../canary")
        $0.add(".wh.z")
        $0.add("stolen", .hardLink, link: target)
      })
    #expect(code == .unsafeEntry)
    #expect(fileStat(fs.appending("stolen")) == nil)
  }

  @Test func hardLinkToALinkIsTheLink() {
    #expect(
      attack(
        tar {
          $0.add("l", .symbolicLink, link: "../canary/secret")
          $0.add("h", .hardLink, link: "l")
        }) == nil)
    #expect(FileType(fileStat(fs.appending("h"))!) == .symbolicLink)
  }

  @Test(arguments: [".wh.", ".wh..", ".wh...", "a/.wh.", ".wh.x/y", "a/.wh..wh..opq/b"])
  func hostileWhiteouts(_ name: String) { #expect(attack(tar { $0.add(name) }) == .unsafeEntry) }

  @Test func opaqueMarkerMustBeAFile() {
    #expect(attack(tar { $0.add("a/.wh..wh..opq", .directory) }) == .unsafeEntry)
    #expect(attack(tar { $0.add("a/.wh..wh..opq", .symbolicLink, link: "../canary") }) == .unsafeEntry)
    _ = attack(
      tar {
        $0.add("q", .symbolicLink, link: "../canary")
        $0.add("q/.wh..wh..opq")
        $0.add("q/.wh.secret")
      })
    #expect(extendedAttribute(scratch.appending("canary"), "trusted.overlay.opaque") == nil)
  }

  @Test func parentsThatAreNoDirectories() {
    #expect(
      attack(
        tar {
          $0.add("f"); $0.add("f/g")
        }) == .unsafeEntry)
    #expect(
      attack(
        tar {
          $0.add("l", .symbolicLink, link: "nowhere"); $0.add("l/g")
        }) == .unsafeEntry)
    #expect(
      attack(
        tar {
          $0.add("m", .symbolicLink, link: "m"); $0.add("m/g")
        }) == .unsafeEntry)
    #expect(attack(tar { $0.add("o", uid: 1 << 40) }) == .unsafeEntry)
  }

  /// 300 archives of hostile names in random order: whatever happens, it happens inside.
  @Test func randomArchivesStayInside() {
    var random = SplitMix(state: 7)
    let parts = ["a", "b", "..", ".", "x", "canary", "secret", ".wh.a", ".wh..wh..opq", "", "etc"]
    func name() -> String {
      (0..<Int.random(in: 1...4, using: &random)).map { _ in parts.randomElement(using: &random)! }.joined(separator: "/")
    }
    let kinds: [TarBuilder.Kind] = [.file, .hardLink, .symbolicLink, .directory, .fifo, .symbolicLink, .hardLink]
    var outcomes: [String: Int] = [:]
    for _ in 0..<300 {
      let layer = tar { builder in
        for _ in 0..<Int.random(in: 1...12, using: &random) {
          let link = (Bool.random(using: &random) ? "/" : "") + name()
          builder.add((Bool.random(using: &random) ? "/" : "") + name(), kinds.randomElement(using: &random)!, link: link, mode: 0o7777)
        }
      }
      outcomes[attack(layer)?.rawValue ?? "unpacked", default: 0] += 1
    }
    #expect(outcomes["unsafeEntry", default: 0] > 50 && outcomes["unpacked", default: 0] > 5, "\(outcomes)")
    #expect(outcomes["storage", default: 0] == 0, "\(outcomes)")
  }

  // MARK: Bombs

  @Test func bombsAreDefused() {
    var limits = UnpackLimits()
    limits.ratioFreeBytes = 1 << 20
    let bomb = tar { $0.add("zeros", data: [UInt8](repeating: 0, count: 40 << 20)) }
    for stream in [gzip(bomb), zstd(bomb)] {
      let error = #expect(throws: ImageError.self) { try unpack(stream, into: scratch, plain: bomb, limits: limits) }
      #expect(error?.code == .limitExceeded && error?.message.contains("compressionRatioMax") == true)
    }
    limits = UnpackLimits()
    limits.dataBytesMax = 10 << 20
    #expect(attack(bomb, limits: limits) == .limitExceeded)
    limits = UnpackLimits()
    limits.streamBytesMax = 1 << 20
    #expect(attack(bomb, limits: limits) == .limitExceeded)
  }

  @Test func compressionIsUndoneOnce() {
    let plain = tar { $0.add("a") }
    let error = #expect(throws: ImageError.self) { try unpack(gzip(gzip(plain)), into: scratch, plain: plain) }
    #expect(error?.code == .malformed)
  }

  @Test func countsAndLengthsAreBounded() {
    var limits = UnpackLimits()
    limits.entriesMax = 100
    #expect(attack(tar { for i in 0..<101 { $0.add("f\(i)") } }, limits: limits) == .limitExceeded)
    #expect(attack(tar { $0.add(String(repeating: "d/", count: 300) + "f") }) == .limitExceeded)
    #expect(attack(tar { $0.add(String(repeating: "n", count: 256)) }) == .limitExceeded)
    #expect(attack(tar { $0.add(String(repeating: "a/", count: 2100)) }) == .limitExceeded)
    #expect(attack(tar { $0.add("x", pax: [("SCHILY.xattr.user.x", [UInt8](repeating: 1, count: 70_000))]) }) == .limitExceeded)
    // A file of 8 EiB that is all hole.
    #expect(
      attack(
        tar {
          $0.add(
            "hole",
            pax: [
              ("GNU.sparse.major", Array("1".utf8)), ("GNU.sparse.minor", Array("0".utf8)),
              ("GNU.sparse.realsize", Array("9223372036854775807".utf8)),
            ])
        }) != nil)
    #expect((fileStat(fs.appending("hole"))?.st_blocks ?? 0) < 100)
  }

  /// A header that says it is 1 GiB long is not read into memory.
  @Test func hugePaxHeader() {
    var builder = TarBuilder()
    builder.add("a", .file)
    var bytes = builder.bytes
    bytes[156] = 0x78
    let size = Array("10000000000".utf8)
    for (i, byte) in size.enumerated() { bytes[124 + i] = byte }
    for i in 148..<156 { bytes[i] = 0x20 }
    let sum = String(bytes[0..<512].reduce(0) { $0 + Int($1) }, radix: 8)
    for (i, byte) in (String(repeating: "0", count: 6 - sum.utf8.count) + sum).utf8.enumerated() { bytes[148 + i] = byte }
    bytes[154] = 0
    #expect(attack(bytes + [UInt8](repeating: 0x31, count: 3 << 20)) == .malformed)
  }

  /// CVE-2021-20291: garbage ends with an error, soon.
  @Test func garbageEndsSoon() {
    let plain = tar {
      $0.add("a", data: noise(5000, seed: 3)); $0.add("b", data: noise(5000, seed: 4))
    }
    var random = SplitMix(state: 11)
    for (seed, stream) in [plain, gzip(plain), zstd(plain)].enumerated() {
      for cut in stride(from: 0, to: stream.count, by: 997) {
        _ = try? unpack(Array(stream.prefix(cut)), into: Scratch(), plain: plain)
      }
      for _ in 0..<60 {
        var broken = stream
        for _ in 0..<8 { broken[Int.random(in: 0..<broken.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
        #expect(throws: ImageError.self) { try unpack(broken, into: Scratch(), plain: plain + [UInt8(seed)]) }
      }
      #expect(throws: ImageError.self) { try unpack(Array(stream.prefix(4)) + noise(100_000, seed: 9), into: Scratch(), plain: plain) }
    }
  }
}

/// A small random generator with a seed (Steele, Lea and Flood 2014).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
