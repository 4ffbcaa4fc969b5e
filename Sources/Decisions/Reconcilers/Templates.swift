import JSONCodec

/// Makes pods and names from templates.
enum Templates {
  /// A pod of a template that belongs to an owner; the server completes its name.
  static func pod(_ template: JSON, of owner: JSON, _ kind: Kind, name: String? = nil) -> JSON {
    var metadata: JSON = [
      "namespace": owner["metadata"]["namespace"], "labels": template["metadata"]["labels"],
      "annotations": template["metadata"]["annotations"], "finalizers": template["metadata"]["finalizers"],
      "ownerReferences": [controllerReference(owner, kind)],
    ]
    if let name {
      metadata["name"] = .string(name)
    } else {
      metadata["generateName"] = .string("\(owner["metadata"]["name"].string ?? "")-")
    }
    return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]]
  }

  private static let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)

  /// A short text that changes with the document and the count, of letters and digits that form no words.
  /// FNV-1a, 32 bits, over the document with sorted fields.
  static func hash(_ document: JSON, collisions: Int = 0) -> String {
    var hash: UInt32 = 2_166_136_261
    func mix(_ byte: UInt8) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    for byte in document.sorted().serialized() { mix(byte) }
    if collisions > 0 { for byte in String(collisions).utf8 { mix(byte) } }
    return String(decoding: String(hash).utf8.map { alphabet[Int($0) % alphabet.count] }, as: UTF8.self)
  }
}

extension JSON {
  /// The document with the fields of every object in the order of their names.
  func sorted() -> JSON {
    switch self {
    case .array(let items): .array(items.map { $0.sorted() })
    case .object(let object):
      .object(JSONObject(object.map { ($0, $1.sorted()) }.sorted { $0.0 < $1.0 }))
    default: self
    }
  }
}
