import Glibc

/// A file name or path as Linux sees it: bytes, without a NUL; not necessarily UTF-8.
struct EntryName: Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
  let bytes: [UInt8]

  init(bytes: [UInt8]) { self.bytes = bytes }
  init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
  init(_ text: String) { self.bytes = Array(text.utf8) }
  init(stringLiteral text: String) { self.init(text) }
  init(cString: UnsafePointer<CChar>) {
    bytes = Array(UnsafeRawBufferPointer(start: cString, count: strlen(cString)))
  }

  /// For people; bytes that are not UTF-8 show as replacement characters.
  var description: String { String(decoding: bytes, as: UTF8.self) }

  /// The exact text; nil where the bytes are not UTF-8.
  var text: String? { String(validating: bytes, as: UTF8.self) }

  func withCString<T>(_ body: (UnsafePointer<CChar>) throws -> T) rethrows -> T {
    try withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) { buffer in
      for i in bytes.indices { buffer[i] = CChar(bitPattern: bytes[i]) }
      buffer[bytes.count] = 0
      return try body(UnsafePointer(buffer.baseAddress!))
    }
  }

  func hasPrefix(_ prefix: StaticString) -> Bool {
    bytes.starts(with: UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount))
  }
}

extension [EntryName] {
  /// The path of these components.
  var path: EntryName { EntryName(bytes: Array<UInt8>(map(\.bytes).joined(separator: [UInt8(ascii: "/")]))) }
}

/// Where an entry of a layer goes, decided from its name alone.
enum LayerPlace: Equatable {
  /// The layer's own root directory ("./").
  case root
  /// An entry `name` in the directory `parent` (components from the root).
  case entry(parent: [EntryName], name: EntryName)
  /// `.wh.<name>`: what lower layers have under this name is gone.
  case whiteout(parent: [EntryName], name: EntryName)
  /// `.wh..wh..opq`: what lower layers have in this directory is gone.
  case opaque(directory: [EntryName])
  /// `.wh..wh.*`: bookkeeping of an old storage driver, of no meaning.
  case ignored
}

/// Why a name is refused.
struct LayerPathError: Error, Equatable {
  let reason: String
  /// A bound of `UnpackLimits`, rather than an attack.
  var isLimit = false
}

/// The components of a name in a layer: absolute names count from the layer's root, `.` and empty components vanish, `..` takes
/// one back. A name that climbs above the root is refused.
func layerComponents(_ path: EntryName, limits: UnpackLimits) throws(LayerPathError) -> [EntryName] {
  guard path.bytes.count <= limits.pathBytesMax else {
    throw LayerPathError(reason: "the name is longer than \(limits.pathBytesMax) bytes (limit pathBytesMax)", isLimit: true)
  }
  var components: [EntryName] = []
  for part in path.bytes.split(separator: UInt8(ascii: "/")) {
    if part.elementsEqual(".".utf8) { continue }
    if part.elementsEqual("..".utf8) {
      guard !components.isEmpty else { throw LayerPathError(reason: "the name leads out of the layer") }
      components.removeLast()
      continue
    }
    guard part.count <= limits.nameBytesMax else {
      throw LayerPathError(
        reason: "a component of the name is longer than \(limits.nameBytesMax) bytes (limit nameBytesMax)", isLimit: true)
    }
    components.append(EntryName(part))
  }
  guard components.count <= limits.depthMax else {
    throw LayerPathError(reason: "nested deeper than \(limits.depthMax) directories (limit depthMax)", isLimit: true)
  }
  return components
}

/// Sorts an entry's name into what it means. (OCI image specification, layer.md: whiteouts.)
func layerPlace(_ path: EntryName, limits: UnpackLimits) throws(LayerPathError) -> LayerPlace {
  var parent = try layerComponents(path, limits: limits)
  guard let name = parent.popLast() else { return .root }
  if parent.contains(where: { $0.hasPrefix(".wh.") }) { throw LayerPathError(reason: "the entry lies in a whiteout") }
  guard name.hasPrefix(".wh.") else { return .entry(parent: parent, name: name) }
  if name == ".wh..wh..opq" { return .opaque(directory: parent) }
  if name.hasPrefix(".wh..wh.") { return .ignored }
  let hidden = EntryName(name.bytes.dropFirst(4))
  guard !hidden.bytes.isEmpty, hidden != ".", hidden != ".." else { throw LayerPathError(reason: "a whiteout of nothing") }
  return .whiteout(parent: parent, name: hidden)
}

/// Which extended attributes of an entry are kept: a file's capabilities and what users set. Everything else (`trusted.*`, above
/// all overlayfs' own, and labels of the machine that built the image) is left out.
func keepsExtendedAttribute(_ name: String) -> Bool {
  if name == "security.capability" { return true }
  return name.hasPrefix("user.") && name != "user." && !name.hasPrefix("user.overlay.")
}
