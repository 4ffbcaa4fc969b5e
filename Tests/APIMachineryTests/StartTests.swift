import JSONCodec
import Testing

@testable import APIMachinery

@Suite struct StartTests {
  /// Only names are noted at start; a thousandth of a second in release, so a wide margin for debug builds on a busy machine.
  @Test func theIndexIsQuick() {
    let clock = ContinuousClock()
    let best = (0..<5).map { _ in clock.measure { _ = SchemaRegistry(texts: SchemaTexts.all) } }.min()!
    #expect(best < .milliseconds(100))
  }
}
