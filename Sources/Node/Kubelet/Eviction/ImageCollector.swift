import KubernetesAPI
import Logging
import PodLifecycle

/// Removes images that no container uses, when the disk fills or a pod would have to go for it.
actor ImageCollector {
  private let images: any PodImages
  private let measures: NodeMeasures
  private let events: EventRecorder
  private let clock: KubeletClock
  private let log: Logger
  /// When each image was last seen in use.
  private var usedAt: [String: Timestamp] = [:]

  init(images: any PodImages, measures: NodeMeasures, events: EventRecorder, clock: KubeletClock, log: Logger) {
    self.images = images
    self.measures = measures
    self.events = events
    self.clock = clock
    self.log = log
  }

  func run() async {
    while !Task.isCancelled {
      guard (try? await clock.sleep(clock.now().advanced(bySeconds: measures.imageSeconds))) != nil else { return }
      await look()
    }
  }

  private func look() async {
    let found = await uses()
    let levels = measures.levels()
    guard let level = levels[.imagefs] ?? levels[.nodefs], let bytes = ImageCollection.excess(level) else { return }
    let freed = await remove(ImageCollection.toRemove(found, freeing: bytes, now: clock.now()))
    if freed < bytes {
      events.recordNode(
        .warning, "FreeDiskSpaceFailed",
        "Failed to garbage collect required amount of images. "
          + "Attempted to free \(bytes) bytes, but only found \(freed) bytes eligible to free.")
    }
  }

  /// All that may go.
  func removeUnused() async {
    _ = await remove(ImageCollection.toRemove(await uses(), freeing: .max, now: clock.now()))
  }

  private func uses() async -> [ImageUse] {
    let now = clock.now()
    var found = await images.uses()
    usedAt = usedAt.filter { known in found.contains { $0.id == known.key } }
    for i in found.indices {
      if found[i].isUsed { usedAt[found[i].id] = now }
      found[i].usedAt = usedAt[found[i].id]
    }
    return found
  }

  /// Bytes of the images that went.
  private func remove(_ chosen: [ImageUse]) async -> Int64 {
    var freed: Int64 = 0
    for image in chosen {
      do {
        try await images.remove(image: image.id)
        freed += image.bytes
        log.info("image \(image.id), which nothing uses, was removed to free \(image.bytes) bytes")
      } catch {
        log.warning("image \(image.id) was not removed: \(error)")
      }
    }
    return freed
  }
}
