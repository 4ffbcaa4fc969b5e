import FoundationEssentials
import JSONCodec
import Testing

@testable import APIMachinery

/// The public RFC 6902 test vectors, where they lie beside the repository.
@Suite struct PatchVectorTests {
  static let folder: URL? = {
    var directory = URL(filePath: #filePath)
    for _ in 0..<4 { directory.deleteLastPathComponent() }
    let folder = directory.appending(path: "shared/vectors/json-patch")
    return FileManager.default.fileExists(atPath: folder.path) ? folder : nil
  }()

  /// The library names a negative index and the root; RFC 6902 is what counts here.
  @Test(.enabled(if: folder != nil), arguments: ["tests.json", "spec_tests.json"])
  func rfc6902(_ file: String) throws {
    let folder = try #require(Self.folder)
    let cases = try JSON.parse(Array(Data(contentsOf: folder.appending(path: file)))).array ?? []
    #expect(cases.count > 15)
    for example in cases where example["disabled"].bool != true && !example["patch"].isNull {
      let name = example["comment"].string ?? example.text()
      let result = Result { try jsonPatch(original: example["doc"], patch: example["patch"]) }
      if !example["error"].isNull {
        #expect(throws: (any Error).self, "\(name)") { try result.get() }
      } else if example.object?.contains("expected") == true {
        #expect((try? result.get()) == example["expected"], "\(name)")
      } else {
        #expect(throws: Never.self, "\(name)") { try result.get() }
      }
    }
  }
}
