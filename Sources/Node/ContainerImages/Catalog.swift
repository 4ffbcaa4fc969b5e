import JSONCodec
import LinuxKernel
import OCISpec
import Synchronization
import SystemPackage

/// The store's memory and its files, kept equal. Reading takes a short lock; changing holds `writing` until the disk has it, so
/// changes are made on plain threads only.
final class Catalog: Sendable {
  let directory: StoreDirectory
  private let writing = Mutex<Void>(())
  private let current: Mutex<CatalogState>

  static let indexBytesMax = 256 << 20
  static let layerDocumentBytesMax = 64 << 20

  /// Opens a store: reads what is there and throws away what a crash left unfinished or unreferenced.
  init(_ directory: StoreDirectory) throws {
    self.directory = directory
    current = Mutex(try Self.load(directory))
    try collectLayers()
    try removeStrays()
  }

  var state: CatalogState { current.withLock { $0 } }

  private static func load(_ directory: StoreDirectory) throws -> CatalogState {
    var state = CatalogState()
    for name in try directory.list("layers") {
      guard let diffID = Digest(hex: name),
        let bytes = try directory.read("layers/\(name)/layer.json", bytesMax: layerDocumentBytesMax),
        let json = try? JSON.parse(bytes)
      else {
        try directory.removeTree("layers/\(name)")
        continue
      }
      state.layers[diffID] = LayerFacts(json)
    }
    if let bytes = try directory.read("images.json", bytesMax: indexBytesMax) {
      guard let json = try? JSON.parse(bytes), let items = json["images"].array else {
        throw ImageError(
          .storage, "\(directory.path.appending("images.json")) is damaged; remove it and import or pull the images again")
      }
      // An image whose files somebody removed is no image any more.
      for image in items.compactMap(StoredImage.init) {
        let isWhole =
          image.layers.allSatisfy { state.layers[$0] != nil } && directory.exists("configs/\(image.id.hex)")
          && (!image.repair || directory.exists("repairs/\(image.id.hex)"))
        if isWhole { state.images[image.id] = image }
      }
    }
    for name in try directory.list("leases") {
      guard let bytes = try directory.read("leases/\(name)", bytesMax: 1024), let id = Digest(String(decoding: bytes, as: UTF8.self))
      else { continue }
      state.leases[name] = id
    }
    return state
  }

  /// Configs and repairs without an image.
  private func removeStrays() throws {
    let images = state.images
    for name in try directory.list("configs") where Digest(hex: name).map({ images[$0] == nil }) ?? true {
      try directory.removeFile("configs/\(name)")
    }
    for name in try directory.list("repairs") where Digest(hex: name).map({ images[$0]?.repair != true }) ?? true {
      try directory.removeTree("repairs/\(name)")
    }
  }

  // MARK: Changes

  /// Changes memory only.
  func note(_ change: (inout CatalogState) -> Void) { current.withLock { change(&$0) } }

  /// Changes what images.json holds: the file first, then memory.
  private func change(_ body: (inout CatalogState) throws -> Void) throws {
    var next = state
    let before = next.images
    try body(&next)
    let after = next.images
    guard after != before else { return }
    let items = after.values.sorted { $0.id.hex < $1.id.hex }.map(\.json)
    let document: JSON = ["version": 1, "images": .array(items)]
    try directory.write(document.serialized(), to: "images.json")
    current.withLock { $0.images = after }
  }

  func add(_ image: StoredImage, config: [UInt8], names: [String], repoDigests: [String], repair: String?) throws {
    try writing.withLock { _ in
      try directory.write(config, to: "configs/\(image.id.hex)")
      if let repair {
        if directory.exists("repairs/\(image.id.hex)") {
          try directory.removeTree(repair)
        } else {
          try directory.publishTree(repair, as: "repairs/\(image.id.hex)")
        }
      }
      try change { $0.put(image, names: names, repoDigests: repoDigests) }
    }
  }

  func remove(_ nameOrID: String) throws {
    try writing.withLock { _ in try change { state throws(ImageError) in try state.remove(nameOrID) } }
    try collectLayers()
    try writing.withLock { _ in try removeStrays() }
  }

  func removeDangling() throws -> [Digest] {
    let gone = try writing.withLock { _ in
      var gone: [Digest] = []
      try change { state in
        gone = state.danglingImages()
        for id in gone { state.images[id] = nil }
      }
      return gone
    }
    try collectLayers()
    try writing.withLock { _ in try removeStrays() }
    return gone
  }

  func lease(_ image: Digest, to container: String) throws {
    try writing.withLock { _ in
      guard state.images[image] != nil else { throw ImageError(.notFound, "no image \(image) in the store") }
      try directory.write(Array(image.description.utf8), to: "leases/\(container)")
      note { $0.leases[container] = image }
    }
  }

  func endLease(of container: String) throws {
    try writing.withLock { _ in
      try directory.removeFile("leases/\(container)")
      note { $0.leases[container] = nil }
    }
  }

  /// Makes an unpacked layer part of the store.
  func publishLayer(_ temporary: String, _ diffID: Digest, _ facts: LayerFacts) throws {
    try directory.write(facts.json.serialized(), to: "\(temporary)/layer.json")
    try writing.withLock { _ in
      try directory.publishTree(temporary, as: "layers/\(diffID.hex)")
      note { $0.layers[diffID] = facts }
    }
  }

  /// Removes layers nobody needs: out of memory first, so that nobody counts on them, then out of sight, then off the disk.
  func collectLayers() throws {
    let hidden = try writing.withLock { _ in
      let victims = current.withLock { state in
        let victims = state.unreferencedLayers()
        for id in victims { state.layers[id] = nil }
        return victims
      }
      return try victims.compactMap { try directory.hideTree("layers/\($0.hex)") }
    }
    for name in hidden { try directory.removeTree(name) }
  }
}
