import NFTables

#if canImport(Glibc)
  import Glibc
#endif

/// The machine's own resolver configuration, resolv.conf(5).
enum ResolverFile {
  static let path = "/etc/resolv.conf"
  /// systemd-resolved's list of real servers; /etc/resolv.conf then names only its stub.
  static let systemdPath = "/run/systemd/resolve/resolv.conf"
  static let bytesMax = 65_536

  static func servers(except own: String) -> [(host: String, port: Int)] {
    let first = servers(in: text(path) ?? "", except: own)
    let isStub = first.count == 1 && first[0].host == "127.0.0.53"
    let real = isStub ? servers(in: text(systemdPath) ?? "", except: own) : first
    return real.isEmpty ? first : real
  }

  /// As many as name an IP address; names and zones are left out.
  static func servers(in text: String, except own: String) -> [(host: String, port: Int)] {
    text.split(separator: "\n").compactMap { line in
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      guard words.count >= 2, words[0] == "nameserver", let address = IPAddress(words[1]), address.description != own else { return nil }
      return (address.description, 53)
    }
  }

  private static func text(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: bytesMax)
    let count = read(descriptor, &bytes, bytes.count)
    return count >= 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }
}
