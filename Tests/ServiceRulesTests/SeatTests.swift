import NFTables
import Testing

@testable import ServiceRules

@Suite struct SeatTests {
  private func backends(_ ports: [UInt16]) -> [Backend] { ports.map { Backend(.v4(IPv4Address(1)), $0) } }

  @Test(
    arguments: [
      ([1, 2, 3], [1, 2, 3], [1, 2, 3]),
      ([1, 2, 3], [1, 3], [1, 3]),
      ([1, 2, 3, 4], [2, 3, 4], [4, 2, 3]),
      ([1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4]),
      ([1, 2, 3], [1, 4, 3], [1, 4, 3]),
      ([], [5, 6], [5, 6]),
      ([5, 6], [], []),
      ([1, 2, 3, 4, 5], [5], [5]),
    ] as [([UInt16], [UInt16], [UInt16])])
  func oneChangeMovesAtMostOneOther(before: [UInt16], wanted: [UInt16], after: [UInt16]) {
    #expect(seated(backends(wanted), before: backends(before)) == backends(after))
  }
}
