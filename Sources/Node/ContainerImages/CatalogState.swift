import JSONCodec
import OCISpec

/// One image as the store remembers it.
struct StoredImage: Sendable, Equatable {
  /// Digest of the config: the image's id.
  var id: Digest
  /// Full names with tags.
  var names: [String]
  /// `registry/repository@digest`.
  var repoDigests: [String]
  /// Diff ids of the layers, lowest first, as in the config.
  var layers: [Digest]
  /// A small layer of our own above all others that repairs directories the image's layers do not describe; see `Repair`.
  var repair: Bool = false
  /// Seconds since 1970 when the image came here.
  var createdAt: Int64
}

/// What the store holds, as a value: decisions about names, references and garbage without any file.
struct CatalogState: Sendable, Equatable {
  var images: [Digest: StoredImage] = [:]
  var layers: [Digest: LayerFacts] = [:]
  /// Container -> image it was made from.
  var leases: [String: Digest] = [:]
  /// Layers that a pull or an import at work needs.
  var pins: [Digest: Int] = [:]

  /// Files an image under names; a name belongs to one image, so another one loses it.
  mutating func put(_ image: StoredImage, names: [String], repoDigests: [String]) {
    for id in images.keys where id != image.id {
      images[id]!.names.removeAll { names.contains($0) }
      images[id]!.repoDigests.removeAll { repoDigests.contains($0) }
    }
    var stored = images[image.id] ?? image
    stored.repair = image.repair
    for name in names where !stored.names.contains(name) { stored.names.append(name) }
    for name in repoDigests where !stored.repoDigests.contains(name) { stored.repoDigests.append(name) }
    images[image.id] = stored
  }

  /// By name, by `name@digest`, by full id. A tag beside a digest does not matter.
  func find(name text: String) -> StoredImage? {
    if let id = Digest(text) ?? Digest(hex: text) { return images[id] }
    guard let reference = try? ImageReference(parsing: text) else { return nil }
    if let digest = reference.digest {
      let name = reference.withDigest(digest)
      return images.values.first { $0.repoDigests.contains(name) }
    }
    let name = reference.canonical
    return images.values.first { $0.names.contains(name) }
  }

  /// For people: also the beginning of an id, of at least `idPrefixMin` digits.
  static let idPrefixMin = 6

  func find(nameOrPrefix text: String) throws(ImageError) -> StoredImage {
    if let image = find(name: text) { return image }
    let prefix = text.hasPrefix("sha256:") ? String(text.dropFirst(7)) : text
    if prefix.utf8.count >= Self.idPrefixMin {
      let found = images.values.filter { $0.id.hex.hasPrefix(prefix) }
      if found.count == 1 { return found[0] }
      if found.count > 1 { throw ImageError(.notFound, "\(text) is the beginning of \(found.count) image ids; write more of it") }
    }
    throw ImageError(.notFound, "no image \(text) in the store")
  }

  /// Takes one name away, or the whole image if it was named by id or this was its last name.
  mutating func remove(_ text: String) throws(ImageError) {
    let image = try find(nameOrPrefix: text)
    if let reference = try? ImageReference(parsing: text), reference.digest == nil, image.names.contains(reference.canonical),
      image.names.count > 1
    {
      images[image.id]!.names.removeAll { $0 == reference.canonical }
      return
    }
    let users = leases.filter { $0.value == image.id }.keys.sorted()
    guard users.isEmpty else {
      throw ImageError(
        .inUse,
        "image \(text) is used by \(users.count) container(s), such as \(users[0]); remove them first")
    }
    images[image.id] = nil
  }

  /// Layers that no image has and nobody is fetching.
  func unreferencedLayers() -> [Digest] {
    var needed = Set(pins.keys)
    for image in images.values { needed.formUnion(image.layers) }
    return layers.keys.filter { !needed.contains($0) }
  }

  /// Images without a tag that no container uses: what a moved tag leaves behind.
  func danglingImages() -> [Digest] {
    let used = Set(leases.values)
    return images.values.filter { $0.names.isEmpty && !used.contains($0.id) }.map(\.id)
  }

  mutating func pin(_ diffIDs: [Digest]) { for id in diffIDs { pins[id, default: 0] += 1 } }

  mutating func unpin(_ diffIDs: [Digest]) {
    for id in diffIDs { if let count = pins[id] { pins[id] = count > 1 ? count - 1 : nil } }
  }
}

// MARK: As documents

extension StoredImage {
  init?(_ json: JSON) {
    guard let id = json["id"].string.flatMap({ Digest($0) }) else { return nil }
    let texts = json["layers"].array ?? []
    let layers = texts.compactMap { text in text.string.flatMap { Digest($0) } }
    guard layers.count == texts.count else { return nil }
    self.init(
      id: id, names: (json["names"].array ?? []).compactMap(\.string), repoDigests: (json["repoDigests"].array ?? []).compactMap(\.string),
      layers: layers, repair: json["repair"].bool ?? false, createdAt: Int64(json["createdAt"].int ?? 0))
  }

  var json: JSON {
    [
      "id": JSON(id.description), "names": JSON(names), "repoDigests": JSON(repoDigests), "layers": JSON(layers.map(\.description)),
      "repair": JSON(repair), "createdAt": JSON(Int(createdAt)),
    ]
  }
}

extension LayerFacts {
  init(_ json: JSON) {
    self.init(
      bytes: Int64(json["bytes"].int ?? 0), entries: json["entries"].int ?? 0,
      impliedDirectories: (json["impliedDirectories"].array ?? []).compactMap(\.string), isOpaque: json["opaque"].bool ?? false)
  }

  var json: JSON {
    [
      "bytes": JSON(Int(bytes)), "entries": JSON(entries), "impliedDirectories": JSON(impliedDirectories), "opaque": JSON(isOpaque),
    ]
  }
}
