import CArchive
import Glibc
import JSONCodec
import LinuxKernel
import OCISpec
import SystemPackage

@testable import ContainerImages

/// A directory that is gone with the test.
final class Scratch: Sendable {
  let path: FilePath

  init() {
    path = FilePath("/tmp/swiftlet-images-\(getpid())-\(UInt64.random(in: .min ... .max))")
    precondition(mkdir(path.string, 0o700) == 0)
  }

  deinit { _ = ca_remove_tree(AT_FDCWD, path.string) }

  func appending(_ name: String) -> FilePath { path.appending(name) }

  func write(_ bytes: [UInt8], _ name: String) { writeFile(bytes, path.appending(name)) }
}

func writeFile(_ bytes: [UInt8], _ path: FilePath) {
  let fd = open(path.string, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  precondition(fd >= 0, "open \(path): \(errno)")
  var done = 0
  while done < bytes.count {
    let count = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress! + done, bytes.count - done) }
    precondition(count > 0)
    done += count
  }
  close(fd)
}

func readFile(_ path: FilePath) -> [UInt8]? {
  let fd = open(path.string, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
  guard fd >= 0 else { return nil }
  defer { close(fd) }
  return try? readAll(fd, bytesMax: 1 << 30, name: path.string)
}

func fileStat(_ path: FilePath) -> stat? {
  var info = stat()
  return lstat(path.string, &info) == 0 ? info : nil
}

func children(_ path: FilePath) -> [String] {
  guard let dir = opendir(path.string) else { return [] }
  defer { closedir(dir) }
  var names: [String] = []
  while let entry = readdir(dir) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names.sorted()
}

/// Every path below, relative, with its type, mode and size: to compare what a test must not change.
func treeListing(_ path: FilePath, _ prefix: String = "") -> [String] {
  children(path).flatMap { name -> [String] in
    let child = path.appending(name)
    let info = fileStat(child)!
    let line = "\(prefix)\(name) \(String(info.st_mode, radix: 8)) \(info.st_uid):\(info.st_gid)"
    return [line] + (FileType(info) == .directory ? treeListing(child, "\(prefix)\(name)/") : [])
  }
}

func extendedAttribute(_ path: FilePath, _ name: String) -> [UInt8]? {
  let fd = open(path.string, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
  guard fd >= 0 else { return nil }
  defer { close(fd) }
  var value = [UInt8](repeating: 0, count: 256)
  let count = ca_fgetxattr(fd, name, &value, value.count)
  return count >= 0 ? Array(value.prefix(count)) : nil
}

/// Bytes in pieces of any size.
final class BytesSource: ByteSource {
  private let buffer: UnsafeMutableRawBufferPointer
  private var at = 0
  private let piece: Int

  init(_ bytes: [UInt8], piece: Int = 10_000) {
    buffer = .allocate(byteCount: max(bytes.count, 1), alignment: 1)
    buffer.copyBytes(from: bytes)
    end = bytes.count
    self.piece = piece
  }

  private let end: Int
  deinit { buffer.deallocate() }

  func next() -> UnsafeRawBufferPointer? {
    guard at < end else { return nil }
    let count = min(piece, end - at)
    defer { at += count }
    return UnsafeRawBufferPointer(rebasing: buffer[at..<at + count])
  }
}

/// Unpacks one layer into `<scratch>/fs`, beside `<scratch>/canary`.
@discardableResult
func unpack(
  _ stream: [UInt8], into scratch: Scratch, plain: [UInt8]? = nil, blob: Descriptor? = nil, limits: UnpackLimits = UnpackLimits(),
  piece: Int = 10_000
) throws -> LayerFacts {
  let fs = scratch.appending("fs")
  if mkdir(fs.string, 0o755) != 0 { precondition(errno == EEXIST) }
  let fd = open(fs.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  return try unpackLayer(
    BytesSource(stream, piece: piece), into: SharedDescriptor(OwnedDescriptor(owning: fd)),
    expecting: LayerExpectation(diffID: sha256(plain ?? stream), blob: blob), limits: limits)
}

/// An image built in memory.
struct TestImage {
  var layers: [(stream: [UInt8], plain: [UInt8], type: String)]
  var config: [UInt8]
  var manifest: [UInt8]

  var configDigest: Digest { sha256(config) }
  var manifestDigest: Digest { sha256(manifest) }

  enum Compression: CaseIterable { case none, gzip, zstd }

  init(
    _ tars: [[UInt8]], _ compression: Compression = .gzip, architecture: String = Platform.host.architecture, docker: Bool = false,
    tweak: String = ""
  ) {
    layers = tars.map { tar in
      switch compression {
      case .none: (tar, tar, MediaType.ociLayer)
      case .gzip: (ContainerImagesTests.gzip(tar), tar, docker ? MediaType.dockerLayerGzip : MediaType.ociLayerGzip)
      case .zstd: (ContainerImagesTests.zstd(tar), tar, MediaType.ociLayerZstd)
      }
    }
    let document: JSON = [
      "architecture": JSON(architecture), "os": "linux", "author": JSON(tweak),
      "config": ["Cmd": ["sh"], "Env": ["PATH=/bin"], "User": "1000:1000"],
      "rootfs": ["type": "layers", "diff_ids": JSON(layers.map { sha256($0.plain).description })],
    ]
    config = document.serialized()
    manifest = Self.manifest(config, layers.map { ($0.type, sha256($0.stream), $0.stream.count) }, docker: docker).serialized()
  }

  static func manifest(_ config: [UInt8], _ layers: [(String, Digest, Int)], docker: Bool = false) -> JSON {
    [
      "schemaVersion": 2, "mediaType": JSON(docker ? MediaType.dockerManifest : MediaType.ociManifest),
      "config": [
        "mediaType": JSON(docker ? MediaType.dockerConfig : MediaType.ociConfig), "digest": JSON(sha256(config).description),
        "size": JSON(config.count),
      ],
      "layers": .array(layers.map { ["mediaType": JSON($0.0), "digest": JSON($0.1.description), "size": JSON($0.2)] }),
    ]
  }

  /// docker-archive.
  func dockerArchive(_ names: [String]) -> [UInt8] {
    var tar = TarBuilder()
    var files: [String] = []
    for (i, layer) in layers.enumerated() {
      files.append("l\(i)/layer.tar")
      tar.add("l\(i)", .directory, mode: 0o755)
      tar.add("l\(i)/layer.tar", data: layer.plain)
    }
    tar.add("config.json", data: config)
    let manifest: JSON = [["Config": "config.json", "RepoTags": JSON(names), "Layers": JSON(files)]]
    tar.add("manifest.json", data: manifest.serialized())
    return tar.finished
  }

  /// The files of an OCI layout.
  func layout(_ name: String) -> [(String, [UInt8])] {
    let index: JSON = [
      "schemaVersion": 2,
      "manifests": [
        [
          "mediaType": JSON(MediaType.ociManifest), "digest": JSON(manifestDigest.description), "size": JSON(manifest.count),
          "annotations": ["org.opencontainers.image.ref.name": JSON(name)],
        ]
      ],
    ]
    return [("oci-layout", Array("{\"imageLayoutVersion\":\"1.0.0\"}".utf8)), ("index.json", index.serialized())]
      + [("blobs/sha256/\(configDigest.hex)", config), ("blobs/sha256/\(manifestDigest.hex)", manifest)]
      + layers.map { ("blobs/sha256/\(sha256($0.stream).hex)", $0.stream) }
  }

  func ociArchive(_ name: String) -> [UInt8] {
    var tar = TarBuilder()
    for (file, bytes) in layout(name) { tar.add(file, data: bytes) }
    return tar.finished
  }
}

func tar(_ build: (inout TarBuilder) -> Void) -> [UInt8] {
  var builder = TarBuilder()
  build(&builder)
  return builder.finished
}

/// Bytes that do not compress.
func noise(_ count: Int, seed: UInt64) -> [UInt8] {
  var state = seed &* 2_862_933_555_777_941_757 &+ 3_037_000_493
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt8(truncatingIfNeeded: state >> 40)
  }
}
