import HTTPServing
import LinuxKernel
import NIOCore
import NIOHTTP1
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The machine's logs, `/logs/`: directories as pages, files as they are. Links are not followed: whoever may write one into a log
/// directory is not to choose what root reads.
struct SystemLogs: Sendable {
  /// Bytes of a file that are read at a time.
  static let pieceBytes = 64 << 10

  var root: FilePath = "/var/log"

  func answer(_ parts: [String], isDirectoryPath: Bool) -> ServedResponse {
    guard !parts.contains("..") else { return .text(.badRequest, "invalid URL path\n") }
    do throws(KernelError) {
      var directory = try Files.openDirectory(root)
      for (index, part) in parts.enumerated() {
        if let next = try? Files.openDirectory(part, in: directory) {
          directory = next
        } else {
          guard index == parts.count - 1 else { return .notFound }
          return try file(part, in: directory)
        }
      }
      guard isDirectoryPath else {
        return ServedResponse(status: .movedPermanently, headers: ["Location": (parts.last ?? "logs") + "/"])
      }
      return try page(directory)
    } catch {
      return error.errno == .noSuchFileOrDirectory ? .notFound : .text(.forbidden, "403 Forbidden\n")
    }
  }

  private func page(_ directory: borrowing OwnedDescriptor) throws(KernelError) -> ServedResponse {
    let names = try Files.names(in: FilePath("/proc/self/fd/\(directory.rawValue)"))
    var lines = ""
    for name in names {
      var status = stat()
      guard fstatat(directory.rawValue, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
      let shown = name + (status.st_mode & S_IFMT == S_IFDIR ? "/" : "")
      lines += "<a href=\"\(Self.encoded(shown))\">\(Self.escaped(shown))</a>\n"
    }
    let text = "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n\(lines)</pre>\n"
    return ServedResponse(headers: ["Content-Type": "text/html; charset=utf-8"], body: .bytes(ByteBuffer(string: text)))
  }

  private func file(_ name: String, in directory: borrowing OwnedDescriptor) throws(KernelError) -> ServedResponse {
    let descriptor = openat(directory.rawValue, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { throw KernelError("open", name, errno: Errno(rawValue: errno)) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      return .text(.forbidden, "403 Forbidden\n")
    }
    let file = SharedFile(descriptor)
    let size = Int(status.st_size)
    return ServedResponse(
      headers: ["Content-Type": "text/plain; charset=utf-8"],
      body: .stream { writer in
        // What is written meanwhile is for the next reader.
        var rest = size
        while rest > 0, let bytes = file.read(min(rest, Self.pieceBytes)), !bytes.isEmpty {
          rest -= bytes.count
          try await writer.write(bytes)
        }
      })
  }

  private static func escaped(_ text: String) -> String {
    text.reduce(into: "") { $0 += ["&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&#34;", "'": "&#39;"][$1] ?? String($1) }
  }

  /// A relative URL: a name with a colon is no scheme.
  private static func encoded(_ name: String) -> String {
    var text = ""
    for byte in name.utf8 {
      let isPlain =
        byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || [0x2D, 0x2E, 0x5F, 0x7E, 0x2F].contains(byte)
      let hex = String(byte, radix: 16, uppercase: true)
      text += isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + hex
    }
    return text
  }
}

/// An open file that is closed with its last user.
private final class SharedFile: Sendable {
  private let descriptor: Int32
  init(_ descriptor: Int32) { self.descriptor = descriptor }
  deinit { close(descriptor) }

  /// The next bytes; nil where they cannot be read.
  func read(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = Glibc.read(descriptor, &bytes, count)
    return got < 0 ? nil : Array(bytes[..<got])
  }
}
