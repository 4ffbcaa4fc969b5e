import JSONCodec

/// What an image says about how to run it. All of it is input from a stranger: it sets argv, environment, user and working
/// directory inside a container and decides nothing about the host; labels and annotations are therefore not even read.
package struct OCIImageConfig: Sendable, Equatable {
  package var platform: Platform
  /// RFC 3339, as written in the image.
  package var created: String?
  /// `user`, `uid`, `user:group` or `uid:gid`.
  package var user: String
  /// `NAME=value`.
  package var environment: [String]
  package var entrypoint: [String]
  package var command: [String]
  package var workingDirectory: String
  /// Name or number.
  package var stopSignal: String?
  /// Paths the image wants to be volumes.
  package var volumes: [String]
  /// `port/protocol`.
  package var exposedPorts: [String]
  /// Digests of the uncompressed layers, lowest first.
  package var diffIDs: [Digest]

  package static let bytesMax = 8 << 20
  /// One argument, variable or path of the config is at most this long (the kernel's MAX_ARG_STRLEN).
  package static let stringBytesMax = 128 << 10
  package static let environmentMax = 10_000

  package static func parse(_ bytes: [UInt8]) throws(OCIDocumentError) -> OCIImageConfig {
    guard bytes.count <= bytesMax else { throw OCIDocumentError(.tooLarge, "the image config is longer than \(bytesMax) bytes") }
    let json: JSON
    do { json = try JSON.parse(bytes) } catch { throw OCIDocumentError(.malformed, "the image config is not JSON: \(error)") }
    guard json.object != nil else { throw OCIDocumentError(.malformed, "the image config is not an object") }
    let run = json["config"]
    guard run.isNull || run.object != nil else { throw OCIDocumentError(.malformed, "config.config is not an object") }

    let rootfs = json["rootfs"]
    if let type = rootfs["type"].string, type != "layers" {
      throw OCIDocumentError(.unsupported, "config.rootfs.type is \"\(type)\", not \"layers\"")
    }
    var diffIDs: [Digest] = []
    for text in try strings(rootfs["diff_ids"], "config.rootfs.diff_ids") {
      guard let digest = Digest(text) else {
        throw OCIDocumentError(.malformed, "config.rootfs.diff_ids has an entry that is not sha256: and 64 lower-case hex digits")
      }
      diffIDs.append(digest)
    }
    return OCIImageConfig(
      platform: Platform(
        os: try string(json["os"], "config.os"), architecture: try string(json["architecture"], "config.architecture"),
        variant: try string(json["variant"], "config.variant")),
      created: json["created"].string,
      user: try string(run["User"], "config.User"),
      environment: try strings(run["Env"], "config.Env"),
      entrypoint: try strings(run["Entrypoint"], "config.Entrypoint"),
      command: try strings(run["Cmd"], "config.Cmd"),
      workingDirectory: try string(run["WorkingDir"], "config.WorkingDir"),
      stopSignal: run["StopSignal"].string.flatMap { $0.isEmpty ? nil : $0 },
      volumes: (run["Volumes"].object?.keys ?? []).sorted(),
      exposedPorts: (run["ExposedPorts"].object?.keys ?? []).sorted(),
      diffIDs: diffIDs)
  }

  private static func string(_ json: JSON, _ what: String) throws(OCIDocumentError) -> String {
    if json.isNull { return "" }
    guard let text = json.string else { throw OCIDocumentError(.malformed, "\(what) is not a string") }
    guard text.utf8.count <= stringBytesMax, !text.utf8.contains(0) else {
      throw OCIDocumentError(.malformed, "\(what) is longer than \(stringBytesMax) bytes or holds a NUL")
    }
    return text
  }

  private static func strings(_ json: JSON, _ what: String) throws(OCIDocumentError) -> [String] {
    if json.isNull { return [] }
    guard let items = json.array else { throw OCIDocumentError(.malformed, "\(what) is not a list") }
    guard items.count <= environmentMax else { throw OCIDocumentError(.tooLarge, "\(what) has more than \(environmentMax) entries") }
    var result: [String] = []
    for item in items {
      guard item.string != nil else { throw OCIDocumentError(.malformed, "\(what) has an entry that is not a string") }
      result.append(try string(item, what))
    }
    return result
  }
}
