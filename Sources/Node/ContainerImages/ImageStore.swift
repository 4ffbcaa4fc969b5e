import JSONCodec
import LinuxKernel
import Logging
import OCISpec
import SystemPackage

/// Images on this machine: their layers unpacked side by side, ready to be stacked by overlayfs.
///
/// Whatever happens, also `kill -9` and a power cut, an image that `image(named:)` finds is whole.
package final class ImageStore: Sendable {
  let catalog: Catalog
  let configuration: RegistryConfiguration
  let logger: Logger
  /// One unpacking per layer, however many pulls and imports want it.
  let layerFlights = Flights<Digest, Void>()
  /// One pull per image and login.
  let pullFlights = Flights<PullKey, ImageRecord>()
  /// Layers being fetched and unpacked at the same time in the whole store.
  let unpackSlots = AsyncSlots(ImageStore.unpacksMax)

  static let unpacksMax = 6

  /// Opens the store below `directory`, makes it where there is none, and throws away what an interrupted process left there.
  /// Throws ImageError `locked` where another process has it open.
  package init(
    directory: FilePath, configuration: RegistryConfiguration = RegistryConfiguration(),
    logger: Logger = Logger(label: "images")
  ) async throws {
    self.configuration = configuration
    self.logger = logger
    let syncs = configuration.syncsToDisk
    catalog = try await onPlainThread {
      do { return try Catalog(StoreDirectory(path: directory, syncs: syncs)) } catch { throw ImageError.wrap(error) }
    }
  }

  // MARK: Looking

  /// By name (short names are completed), by `name@digest`, or by full id. Nil where there is none, or the name is none.
  package func image(named name: String) async -> ImageRecord? {
    let state = catalog.state
    guard let image = state.find(name: name) else { return nil }
    return try? await onPlainThread { try self.record(image, in: state) }
  }

  /// By full id, with or without `sha256:`.
  package func image(id: String) async -> ImageRecord? {
    guard Digest(id) ?? Digest(hex: id) != nil else { return nil }
    return await image(named: id)
  }

  /// All images, newest first.
  package func list() async -> [ImageRecord] {
    let state = catalog.state
    let images = state.images.values.sorted { ($0.createdAt, $0.id.hex) > ($1.createdAt, $1.id.hex) }
    return (try? await onPlainThread { images.compactMap { try? self.record($0, in: state) } }) ?? []
  }

  /// Everything about an image, for people: names, config as it is, layers with sizes, which containers use it.
  package func inspect(_ nameOrID: String) async throws -> JSON {
    let state = catalog.state
    let image = try state.find(nameOrPrefix: nameOrID)
    let directory = catalog.directory
    let bytes = try await onPlainThread { try directory.read("configs/\(image.id.hex)", bytesMax: OCIImageConfig.bytesMax) ?? [] }
    let layers: [JSON] = image.layers.map { id in
      let facts = state.layers[id] ?? LayerFacts()
      return ["diffID": JSON(id.description), "bytes": JSON(Int(facts.bytes)), "entries": JSON(facts.entries)]
    }
    return [
      "id": JSON(image.id.description), "names": JSON(image.names), "repoDigests": JSON(image.repoDigests),
      "createdAt": JSON(Int(image.createdAt)), "layers": .array(layers),
      "layerPaths": JSON(layerPaths(image, in: state).map(\.string)),
      "usedBy": JSON(state.leases.filter { $0.value == image.id }.keys.sorted()),
      "config": (try? JSON.parse(bytes)) ?? .null,
    ]
  }

  /// Bytes on the disk: each layer once.
  package var diskBytes: Int64 { catalog.state.layers.values.reduce(0) { $0 + $1.bytes } }

  // MARK: Changing

  /// Removes a name; with the last name, or by id, the image, and the layers no other image has. Throws ImageError `notFound`,
  /// or `inUse` while containers hold it.
  package func remove(_ nameOrID: String) async throws {
    try await changing { try $0.remove(nameOrID) }
  }

  /// Removes images that have no name any more and no container. Returns their ids.
  @discardableResult
  package func removeDangling() async throws -> [String] {
    try await changing { try $0.removeDangling().map(\.description) }
  }

  /// Keeps an image as long as a container needs it, over restarts too. `container` is a file name of at most 255 bytes.
  package func retain(image id: String, by container: String) async throws {
    guard let digest = Digest(id) ?? Digest(hex: id) else { throw ImageError(.notFound, "no image \(id) in the store") }
    try Self.checkContainer(container)
    try await changing { try $0.lease(digest, to: container) }
  }

  /// The container is gone. Nothing happens where it held nothing.
  package func release(container: String) async {
    guard (try? Self.checkContainer(container)) != nil, catalog.state.leases[container] != nil else { return }
    do {
      try await changing { try $0.endLease(of: container) }
    } catch {
      logger.error("cannot release the image of container \(container): \(error)")
    }
  }

  /// Containers that hold an image, and its id: to be compared with the containers there are after a restart.
  package var leases: [String: String] { catalog.state.leases.mapValues(\.description) }

  func changing<T: Sendable>(_ body: @escaping @Sendable (Catalog) throws -> T) async throws -> T {
    let catalog = catalog
    return try await onPlainThread {
      do { return try body(catalog) } catch { throw ImageError.wrap(error) }
    }
  }

  private static func checkContainer(_ name: String) throws(ImageError) {
    let isSafe =
      !name.isEmpty && name.utf8.count <= 255 && name != "." && name != ".."
      && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") }
    guard isSafe else { throw ImageError(.storage, "\"\(name)\" cannot be the name of a container") }
  }
}

/// What makes two pulls the same.
struct PullKey: Hashable, Sendable {
  let name: String
  let credentials: [RegistryCredential]
}
