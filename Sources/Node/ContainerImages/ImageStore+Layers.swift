import Glibc
import LinuxKernel
import OCISpec
import SystemPackage

extension ImageStore {
  /// Everything one image consists of, verified, before its layers are there.
  struct IncomingImage: Sendable {
    var config: [UInt8]
    var configDigest: Digest
    var parsed: OCIImageConfig
    var names: [String]
    var repoDigests: [String]
  }

  /// Fetches the layers the store lacks, then files the image. `fetch` brings one layer (its index in the image) to `unpack`.
  func assemble(
    _ image: IncomingImage, parallel: Int,
    fetch: @escaping @Sendable (_ index: Int, _ unpack: @escaping Unpack) async throws -> Void
  ) async throws -> ImageRecord {
    let diffIDs = image.parsed.diffIDs
    guard Set(diffIDs).count <= ImageManifest.layersMax else {
      throw ImageError(.tooLarge, "the image has more than \(ImageManifest.layersMax) layers")
    }
    catalog.note { $0.pin(diffIDs) }
    do {
      let record = try await fetchAll(image, parallel: parallel, fetch: fetch)
      catalog.note { $0.unpin(diffIDs) }
      return record
    } catch {
      catalog.note { $0.unpin(diffIDs) }
      // What came before the failure is of no use to anybody, unless another image has it.
      try? await changing { try $0.collectLayers() }
      throw error
    }
  }

  /// Takes a stream to the end and makes the layer part of the store.
  typealias Unpack = @Sendable (_ source: sending any ByteSource, _ blob: Descriptor?) throws -> Void

  private func fetchAll(
    _ image: IncomingImage, parallel: Int, fetch: @escaping @Sendable (Int, @escaping Unpack) async throws -> Void
  ) async throws -> ImageRecord {
    var seen: Set<Digest> = []
    let wanted = image.parsed.diffIDs.enumerated().filter { seen.insert($0.element).inserted }
    try await withThrowingTaskGroup(of: Void.self) { group in
      var running = 0
      for (index, diffID) in wanted {
        if running == parallel {
          try await group.next()
          running -= 1
        }
        group.addTask { try await self.ensureLayer(diffID) { unpack in try await fetch(index, unpack) } }
        running += 1
      }
      try await group.waitForAll()
    }
    let stored = StoredImage(
      id: image.configDigest, names: [], repoDigests: [], layers: image.parsed.diffIDs, createdAt: Int64(time(nil)))
    return try await changing { catalog in
      let repair = try makeRepair(for: stored, catalog)
      var stored = stored
      stored.repair = repair != nil
      try catalog.add(stored, config: image.config, names: image.names, repoDigests: image.repoDigests, repair: repair)
      let state = catalog.state
      guard let kept = state.images[stored.id] else { throw ImageError(.notFound, "the image was removed while it came") }
      return try self.record(kept, in: state)
    }
  }

  /// Makes sure that the store has a layer. Several who want it share one fetch; if that fails for the one who fetches (a login
  /// that may not, a server that is gone), those who waited try for themselves.
  private func ensureLayer(_ diffID: Digest, _ fetch: @escaping @Sendable (@escaping Unpack) async throws -> Void) async throws {
    var failure: any Error = ImageError(.storage, "the layer \(diffID) could not be fetched")
    for _ in 0..<Self.sharedTriesMax {
      if catalog.state.layers[diffID] != nil { return }
      let outcome = try await layerFlights.run(diffID) {
        if self.catalog.state.layers[diffID] != nil { return }
        await self.unpackSlots.enter()
        do {
          try Task.checkCancellation()
          try await fetch { source, blob in try self.unpack(source, diffID, blob) }
          await self.unpackSlots.leave()
        } catch {
          await self.unpackSlots.leave()
          throw error
        }
      }
      if case .failure(let error) = outcome.result {
        guard outcome.joined else { throw error }
        failure = error
      }
    }
    if catalog.state.layers[diffID] == nil { throw failure }
  }

  /// How often a pull waits for another one's fetch of a layer before it gives up.
  static let sharedTriesMax = 4

  /// Blocks until the stream is unpacked and verified.
  private func unpack(_ source: any ByteSource, _ diffID: Digest, _ blob: Descriptor?) throws {
    let (name, fs) = try catalog.directory.makeTemporaryTree()
    do {
      let facts = try unpackLayer(
        source, into: fs, expecting: LayerExpectation(diffID: diffID, blob: blob), limits: configuration.limits)
      try catalog.publishLayer(name, diffID, facts)
    } catch {
      try? catalog.directory.removeTree(name)
      throw ImageError.wrap(error)
    }
  }
}
