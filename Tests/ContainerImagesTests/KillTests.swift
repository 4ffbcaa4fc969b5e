import Glibc
import OCISpec
import SystemPackage
import Testing

@testable import ContainerImages

/// A child process imports images and is killed with -9 in the middle; what it leaves must always be a whole store.
@Suite(.serialized) struct KillTests {
  /// Where the child works: the parent's process id makes it known to both.
  static func place(of parent: pid_t) -> FilePath { FilePath("/tmp/swiftlet-images-kill-\(parent)") }

  @Test func killedAtAnyMoment() async throws {
    let place = Self.place(of: getpid())
    #expect(system("rm -rf \(place) && mkdir -m 700 \(place)") == 0)
    defer { _ = system("rm -rf \(place)") }
    for i in 0..<4 {
      let layers = [
        baseLayer,
        tar {
          $0.add("n\(i)", data: noise(600_000, seed: UInt64(i))); for j in 0..<200 { $0.add("d/f\(j)", data: [1]) }
        },
      ]
      writeFile(TestImage(layers).dockerArchive(["app:\(i)"]), place.appending("\(i).tar"))
    }
    setenv("SWIFTLET_KILL_PLACE", place.string, 1)
    defer { unsetenv("SWIFTLET_KILL_PLACE") }
    var wasCut = 0
    for round in 0..<12 {
      setenv("SWIFTLET_KILL_MILLISECONDS", "\(round * 9)", 1)
      await #expect(processExitsWith: .signal(SIGKILL)) {
        let place = FilePath(String(cString: getenv("SWIFTLET_KILL_PLACE")))
        let milliseconds = UInt32(String(cString: getenv("SWIFTLET_KILL_MILLISECONDS")))!
        var configuration = testConfiguration()
        configuration.syncsToDisk = true
        let store = try await ImageStore(directory: place.appending("images"), configuration: configuration)
        let started = Task.detached {
          while true {
            for i in 0..<4 {
              let record = try await store.importArchive(place.appending("\(i).tar"))[0]
              try await store.retain(image: record.id, by: "c\(i)")
              await store.release(container: "c\(i)")
              try await store.remove("app:\(i)")
            }
          }
        }
        try await Task.sleep(for: .milliseconds(milliseconds))
        kill(getpid(), SIGKILL)
        try await started.value
      }
      if !children(place.appending("images/tmp")).isEmpty { wasCut += 1 }
      // What is left opens, and every image in it is whole.
      let store = try await ImageStore(directory: place.appending("images"), configuration: testConfiguration())
      #expect(children(place.appending("images/tmp")).isEmpty)
      let images = await store.list()
      for image in images {
        #expect(image.layers.count == 2)
        let number = String(image.names[0].last!)
        #expect(readFile(image.layers[1].appending("n\(number)")) == noise(600_000, seed: UInt64(number)!))
        #expect(children(image.layers[1].appending("d")).count == 200)
      }
      #expect(children(place.appending("images/layers")).count == (images.isEmpty ? 0 : images.count + 1))
      #expect(children(place.appending("images/configs")).count == images.count)
    }
    #expect(wasCut > 2, "the kills came at moments that matter")
  }
}
