import ArgumentParser
import ClusterJoining

/// How `swiftlet agent` becomes a node of a cluster that it has no credential of.
struct JoinOptions: ParsableArguments {
  @Option(help: "The API server of the cluster to join, such as https://10.0.0.1:6443.") var server: String?

  @Option(help: "What `swiftlet token create` printed. Needed once: the node's own certificate is kept and renewed from then on.")
  var token: String?

  @Option(name: .customLong("token-file"), help: "A file with the token, so that no list of processes shows it; it may go after the node joined.")
  var tokenFile: String?

  @Option(
    name: .customLong("ca-cert-hash"),
    help: "sha256:<hex>, the hash of the authority's public key, where the token does not hold it; may be repeated.")
  var hashes: [String] = []

  @Flag(
    name: .customLong("unsafe-skip-ca-verification"),
    help: "Believe whoever knows the token: any other holder of the token could answer in the server's place.")
  var skipsPin = false

  mutating func validate() throws {
    if token != nil, tokenFile != nil { throw ValidationError("--token and --token-file are two words for one thing") }
    tokenFile = tokenFile.map { CurrentDirectory.absolute($0) }
    guard var url = server else { return }
    if !url.contains("://") { url = "https://" + url }
    guard url.hasPrefix("https://"), url.count > "https://".count else {
      throw ValidationError("--server \(url): wants the API server's URL, such as https://10.0.0.1:6443")
    }
    while url.hasSuffix("/") { url.removeLast() }
    server = url
  }

  /// The token with all pins; nil where none was given.
  func joinToken() throws -> JoinToken? {
    let text: String
    if let token {
      text = token
    } else if let tokenFile, access(tokenFile, F_OK) == 0 {
      text = try TextFile.read(tokenFile).split(whereSeparator: \.isWhitespace).first.map { String($0) } ?? ""
    } else {
      return nil
    }
    if text.isEmpty { return nil }
    do {
      var result = try JoinToken(text)
      result.pins += try hashes.map { try AuthorityPin($0) }
      guard !result.pins.isEmpty || skipsPin else {
        throw StartFailure(
          "the token does not say which authority is the cluster's. Give all of what `swiftlet token create` printed, or --ca-cert-hash sha256:<hex>.")
      }
      return result
    } catch let error as JoinToken.Malformed {
      throw StartFailure("\(error)")
    }
  }
}

#if canImport(Glibc)
  import Glibc
#endif
