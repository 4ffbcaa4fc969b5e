import JSONCodec

/// Why a document of an image is refused.
package struct OCIDocumentError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Kind: Sendable { case malformed, unsupported, tooLarge }
  package let kind: Kind
  package let reason: String
  package var description: String { reason }

  package init(_ kind: Kind, _ reason: String) {
    self.kind = kind
    self.reason = reason
  }
}

/// A pointer to content: what it is, how long it is, and its digest.
package struct Descriptor: Hashable, Sendable {
  package var mediaType: String
  package var digest: Digest
  /// Bytes as transferred.
  package var size: Int64
  package var platform: Platform?
  package var annotations: [String: String]

  package init(mediaType: String, digest: Digest, size: Int64, platform: Platform? = nil, annotations: [String: String] = [:]) {
    self.mediaType = mediaType
    self.digest = digest
    self.size = size
    self.platform = platform
    self.annotations = annotations
  }

  /// `what` names the descriptor in errors, such as "layers[2]". A descriptor's `urls` are ignored on purpose: content comes
  /// from the registry that was asked, or not at all.
  package init(_ json: JSON, _ what: String) throws(OCIDocumentError) {
    guard json.object != nil else { throw OCIDocumentError(.malformed, "\(what) is not an object") }
    guard let text = json["digest"].string, let digest = Digest(text) else {
      throw OCIDocumentError(.malformed, "\(what).digest is not sha256: and 64 lower-case hex digits")
    }
    guard let size = json["size"].int, size >= 0 else { throw OCIDocumentError(.malformed, "\(what).size is not a length") }
    var annotations: [String: String] = [:]
    for (key, value) in json["annotations"].object ?? JSONObject() { annotations[key] = value.string }
    self.init(
      mediaType: json["mediaType"].string ?? "", digest: digest, size: Int64(size), platform: Platform(json["platform"]),
      annotations: annotations)
  }
}
