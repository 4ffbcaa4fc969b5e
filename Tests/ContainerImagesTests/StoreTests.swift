import Glibc
import JSONCodec
import OCISpec
import SystemPackage
import Testing

@testable import ContainerImages

func testConfiguration() -> RegistryConfiguration {
  var configuration = RegistryConfiguration()
  configuration.retryMilliseconds = 20
  configuration.tries = 3
  configuration.syncsToDisk = false
  return configuration
}

let baseLayer = tar {
  $0.add("bin", .directory, mode: 0o755)
  $0.add("bin/sh", data: noise(20_000, seed: 1), mode: 0o755)
  $0.add("tmp", .directory, mode: 0o1777)
}
func smallLayer(_ text: String) -> [UInt8] { tar { $0.add("etc/name", data: Array(text.utf8)) } }

@Suite struct StoreTests {
  let scratch = Scratch()
  var directory: FilePath { scratch.appending("images") }
  func open() async throws -> ImageStore { try await ImageStore(directory: directory, configuration: testConfiguration()) }

  /// Whether nothing is left but what an empty store has.
  func isBare() -> Bool { ["layers", "tmp", "configs", "repairs"].allSatisfy { children(directory.appending($0)).isEmpty } }

  @Test func importsEveryForm() async throws {
    let store = try await open()
    let image = TestImage([baseLayer, smallLayer("one")], .none)
    scratch.write(image.dockerArchive(["app:one", "other/app:x"]), "docker.tar")
    scratch.write(gzip(TestImage([baseLayer, smallLayer("two")], .none).dockerArchive(["app:two"])), "docker.tar.gz")
    scratch.write(TestImage([baseLayer, smallLayer("three")], .zstd).ociArchive("app:three"), "oci.tar")
    mkdir(scratch.appending("layout").string, 0o755)
    mkdir(scratch.appending("layout/blobs").string, 0o755)
    mkdir(scratch.appending("layout/blobs/sha256").string, 0o755)
    for (file, bytes) in TestImage([baseLayer, smallLayer("four")], .gzip).layout("quay.io/app:four") {
      scratch.write(bytes, "layout/\(file)")
    }

    let one = try #require(try await store.importArchive(scratch.appending("docker.tar")).first)
    #expect(one.id == image.configDigest.description)
    #expect(one.names == ["docker.io/library/app:one", "docker.io/other/app:x"])
    #expect(one.config.command == ["sh"] && one.config.user == "1000:1000")
    #expect(one.layers.count == 2)
    #expect(readFile(one.layers[1].appending("etc/name")) == Array("one".utf8))
    _ = try await store.importArchive(scratch.appending("docker.tar.gz"))
    let three = try await store.importArchive(scratch.appending("oci.tar"))
    #expect(three.first?.repoDigests.first?.hasPrefix("docker.io/library/app@sha256:") == true)
    let four = try await store.importArchive(scratch.appending("layout"))
    #expect(four.first?.names == ["quay.io/app:four"])
    // The base layer is there once.
    #expect(children(directory.appending("layers")).count == 5)
    #expect(await store.list().count == 4)
    #expect(await store.image(named: "other/app:x")?.id == one.id)
    #expect(await store.image(named: three[0].repoDigests[0])?.id == three[0].id)
    #expect(await store.image(id: one.id)?.id == one.id)
    #expect(await store.image(named: "nosuch") == nil)
    #expect(await store.image(named: "???") == nil)
    #expect(store.diskBytes < one.size * 4)
    let inspected = try await store.inspect(String(one.id.dropFirst(7).prefix(12)))
    #expect(inspected["config"]["config"]["Cmd"] == ["sh"] && inspected["layers"].array?.count == 2)
    #expect(children(directory.appending("tmp")).isEmpty)
  }

  @Test func theScriptMakesGoodImages() async throws {
    let script = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent().appending(
      "scripts/make-test-image")
    let store = try await open()
    for (i, options) in ["", "--format oci", "--format oci --gzip"].enumerated() {
      let file = scratch.appending("busybox\(i).tar")
      #expect(system("\(script) \(options) --env A=B busybox:v\(i) \(file)") == 0)
      let record = try #require(try await store.importArchive(file).first)
      #expect(record.names.contains("docker.io/library/busybox:v\(i)"))
      #expect(record.config.environment.contains("A=B"))
      #expect(fileStat(record.layers[0].appending("bin/busybox"))!.st_mode == 0o100755)
      #expect(fileStat(record.layers[0].appending("tmp"))!.st_mode == 0o041777)
    }
    #expect(await store.list().count == 1, "the three have the same config")
  }

  @Test func removalAndReferences() async throws {
    let store = try await open()
    scratch.write(TestImage([baseLayer, smallLayer("a")]).dockerArchive(["app:a", "app:alias"]), "a.tar")
    scratch.write(TestImage([baseLayer, smallLayer("b")]).dockerArchive(["app:b"]), "b.tar")
    let a = try await store.importArchive(scratch.appending("a.tar"))[0]
    let b = try await store.importArchive(scratch.appending("b.tar"))[0]
    try await store.retain(image: a.id, by: "container-1")
    try await store.remove("app:a")
    #expect(await store.image(named: "app:a") == nil)
    #expect(await store.image(named: "app:alias")?.id == a.id)
    let inUse = await #expect(throws: ImageError.self) { try await store.remove("app:alias") }
    #expect(inUse?.code == .inUse && inUse?.message.contains("container-1") == true)
    try await store.remove("app:b")
    #expect(children(directory.appending("layers")).count == 2)
    #expect(await store.image(id: b.id) == nil)
    let missing = await #expect(throws: ImageError.self) { try await store.retain(image: b.id, by: "container-2") }
    #expect(missing?.code == .notFound)
    await store.release(container: "container-1")
    await store.release(container: "never-was")
    try await store.remove(a.id)
    #expect(isBare() && children(directory.appending("leases")).isEmpty)
    let gone = await #expect(throws: ImageError.self) { try await store.remove("app:a") }
    #expect(gone?.code == .notFound)
    await #expect(throws: ImageError.self) { try await store.retain(image: a.id, by: "../../x") }
  }

  @Test func aNameBelongsToOneImage() async throws {
    let store = try await open()
    scratch.write(TestImage([baseLayer, smallLayer("a")]).dockerArchive(["app:v"]), "a.tar")
    scratch.write(TestImage([baseLayer, smallLayer("b")]).dockerArchive(["app:v"]), "b.tar")
    let a = try await store.importArchive(scratch.appending("a.tar"))[0]
    try await store.retain(image: a.id, by: "c")
    let b = try await store.importArchive(scratch.appending("b.tar"))[0]
    #expect(await store.image(named: "app:v")?.id == b.id)
    #expect(await store.image(id: a.id)?.names == [])
    #expect(try await store.removeDangling() == [])
    await store.release(container: "c")
    #expect(try await store.removeDangling() == [a.id])
    #expect(children(directory.appending("layers")).count == 2)
  }

  @Test func everythingSurvivesReopening() async throws {
    var id = ""
    do {
      let store = try await open()
      scratch.write(TestImage([baseLayer, smallLayer("a")]).dockerArchive(["app:v"]), "a.tar")
      id = try await store.importArchive(scratch.appending("a.tar"))[0].id
      try await store.retain(image: id, by: "c")
      let locked = await #expect(throws: ImageError.self) { try await open() }
      #expect(locked?.code == .locked)
    }
    // What a kill -9 may leave.
    mkdir(directory.appending("tmp/tree-1").string, 0o700)
    scratch.write([1], "images/tmp/tree-1/x")
    mkdir(directory.appending("layers/\(String(repeating: "a", count: 64))").string, 0o700)
    scratch.write([1], "images/configs/\(String(repeating: "b", count: 64))")
    let store = try await open()
    #expect(await store.image(named: "app:v")?.layers.count == 2)
    #expect(store.leases == ["c": id])
    #expect(children(directory.appending("tmp")).isEmpty)
    #expect(children(directory.appending("layers")).count == 2 && children(directory.appending("configs")).count == 1)
    #expect(fileStat(directory)!.st_mode & 0o777 == 0o700 && fileStat(directory.appending("layers"))!.st_mode & 0o777 == 0o700)
  }

  @Test func badArchivesLeaveNothing() async throws {
    let store = try await open()
    let image = TestImage([baseLayer, smallLayer("a")], .gzip)
    func importing(_ bytes: [UInt8]) async -> ImageError.Code? {
      scratch.write(bytes, "bad.tar")
      do {
        _ = try await store.importArchive(scratch.appending("bad.tar"))
        return nil
      } catch { return (error as? ImageError)?.code }
    }
    let good = image.ociArchive("app")
    #expect(await importing(Array(good.prefix(good.count * 2 / 3))) == .truncated)
    #expect(await importing([]) == .malformed)
    #expect(await importing(noise(5000, seed: 5)) == .malformed)
    #expect(await importing(tar { $0.add("hello", data: [1]) }) == .malformed)
    // One flipped byte in the second layer: the first one came before, and goes again.
    var tampered = image
    tampered.layers[1].stream = gzip(smallLayer("X"))
    var builder = TarBuilder()
    for (file, bytes) in image.layout("app") {
      let isLayer = file.hasSuffix(sha256(image.layers[1].stream).hex)
      var bytes = bytes
      if isLayer { bytes[bytes.count / 2] ^= 1 }
      builder.add(file, data: bytes)
    }
    #expect(await importing(builder.finished) == .digestMismatch)
    let foreign = TestImage([baseLayer], architecture: "s390x")
    #expect(await importing(foreign.ociArchive("app")) == .unsupported)
    // CVE-2023-25153: a huge index.json is not read.
    var huge = TarBuilder()
    huge.add("index.json", data: [UInt8](repeating: 0x20, count: 9 << 20))
    #expect(await importing(huge.finished) == .tooLarge)
    // CVE-2026-53489: links in a layout folder are not followed, in a tar they lead to files of the tar only.
    var linked = TarBuilder()
    linked.add("index.json", .symbolicLink, link: "/etc/passwd")
    #expect(await importing(linked.finished) == .malformed)
    mkdir(scratch.appending("layout").string, 0o755)
    symlink("/etc/passwd", scratch.appending("layout/index.json").string)
    await #expect(throws: ImageError.self) { try await store.importArchive(scratch.appending("layout")) }
    #expect(await importing(tar { $0.add("../../manifest.json", data: [1]) }) == .unsafeEntry)
    #expect(await store.list().isEmpty && isBare())
  }

  /// A layer that holds tmp/x but says nothing about tmp leaves tmp as the layer below has it.
  @Test func undescribedDirectoriesKeepTheirMode() async throws {
    let store = try await open()
    let careless = tar {
      $0.add("tmp/x", data: [1]); $0.add("bin/y", data: [2]); $0.add("opt/z/w", data: [3])
    }
    scratch.write(TestImage([baseLayer, careless]).dockerArchive(["app"]), "a.tar")
    let record = try await store.importArchive(scratch.appending("a.tar"))[0]
    #expect(record.layers.count == 3)
    #expect(children(record.layers[2]) == ["tmp"])
    #expect(fileStat(record.layers[2].appending("tmp"))!.st_mode == 0o041777)
    try await store.remove("app")
    #expect(isBare())
    scratch.write(TestImage([baseLayer, tar { $0.add("bin/y", data: [2]) }]).dockerArchive(["app"]), "b.tar")
    #expect(try await store.importArchive(scratch.appending("b.tar"))[0].layers.count == 2)
  }

  /// The kernel's own judgement: the layers stacked by overlayfs, in a mount namespace that ends with the test.
  @Test func overlayfsShowsTheImage() async throws {
    let store = try await open()
    let base = tar {
      $0.add("tmp", .directory, mode: 0o1777)
      for name in ["keep", "gone"] { $0.add("dir/\(name)", data: [1]) }
      for name in ["old1", "old2"] { $0.add("hidden/\(name)", data: [1]) }
      $0.add("was-a-directory/x", data: [1])
    }
    let upper = tar {
      $0.add("dir/.wh.gone")
      $0.add("hidden", .directory, mode: 0o755)
      $0.add("hidden/.wh..wh..opq")
      $0.add("hidden/new", data: [2])
      $0.add("was-a-directory", data: [3])
      $0.add("tmp/x", data: [4])
    }
    scratch.write(TestImage([base, upper, base, upper]).dockerArchive(["app"]), "a.tar")
    let record = try await store.importArchive(scratch.appending("a.tar"))[0]
    mkdir(scratch.appending("merged").string, 0o755)
    let lower = record.layers.reversed().map(\.string).joined(separator: ":")
    let merged = scratch.appending("merged")
    let script =
      "mount -t overlay -o ro,nodev,lowerdir=\(lower) none \(merged) && cd \(merged) && find . -mindepth 1 -printf '%p %m %y\\n' | sort"
    #expect(system("unshare --mount sh -c \"\(script)\" > \(scratch.path)/listing") == 0)
    let listing = String(decoding: readFile(scratch.appending("listing"))!, as: UTF8.self).split(separator: "\n").map(String.init)
    #expect(
      listing == [
        "./dir 755 d", "./dir/keep 644 f", "./hidden 755 d", "./hidden/new 644 f", "./tmp 1777 d", "./tmp/x 644 f",
        "./was-a-directory 644 f",
      ])
  }

  @Test func repeatedAndOpaqueLayers() async throws {
    let store = try await open()
    let opaque = tar {
      $0.add(".wh..wh..opq"); $0.add("only", data: [1])
    }
    scratch.write(TestImage([baseLayer, smallLayer("a"), baseLayer]).dockerArchive(["app:twice"]), "a.tar")
    scratch.write(TestImage([baseLayer, opaque, smallLayer("a")]).dockerArchive(["app:opaque"]), "b.tar")
    #expect(
      try await store.importArchive(scratch.appending("a.tar"))[0].layers.map(\.string).map { $0.contains(sha256(baseLayer).hex) } == [
        false, true,
      ])
    #expect(try await store.importArchive(scratch.appending("b.tar"))[0].layers.count == 2)
  }

  @Test func concurrentImportsShareLayers() async throws {
    let store = try await open()
    for i in 0..<8 { scratch.write(TestImage([baseLayer, smallLayer("\(i % 4)")], tweak: "\(i)").dockerArchive(["app:\(i)"]), "\(i).tar") }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for i in 0..<8 { group.addTask { _ = try await store.importArchive(scratch.appending("\(i).tar")) } }
      try await group.waitForAll()
    }
    #expect(await store.list().count == 8)
    #expect(children(directory.appending("layers")).count == 5)
    for i in 0..<8 { try await store.remove("app:\(i)") }
    #expect(isBare())
  }
}
