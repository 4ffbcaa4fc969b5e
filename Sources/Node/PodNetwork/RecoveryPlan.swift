import NFTables
import Netlink

/// What a start after a stop or a `kill -9` has to put right, decided from what is there.
struct RecoveryPlan: Equatable {
  /// Leases of living sandboxes whose host end is there: bring up, route again.
  var repair: [Lease] = []
  /// Strays that turned out to belong to a living sandbox.
  var adopt: [Lease] = []
  /// Host ends without a living sandbox, by index.
  var deleteLinks: [Int32] = []
  /// Addresses of leases without a living sandbox; free once `deleteLinks` is done.
  var free: [IPv4Address] = []

  /// - Parameters:
  ///   - inherited: leases from before this process; others are not looked at
  ///   - links: this instance's host ends by name
  static func decide(
    inherited: [Lease], links: [String: Link], live: Set<String>, plan: NetworkPlan
  ) -> RecoveryPlan {
    var result = RecoveryPlan()
    let leased = Set(inherited.filter { $0.phase == .active }.map(\.sandbox))
    for lease in inherited.sorted(by: { $0.address < $1.address }) {
      switch lease.phase {
      case .active where live.contains(lease.sandbox):
        if links[lease.interface] != nil { result.repair.append(lease) }
      case .stray:
        let owner = live.first {
          !leased.contains($0) && plan.interfaceName(sandbox: $0, address: lease.address) == lease.interface
        }
        guard let owner else { fallthrough }
        var adopted = lease
        adopted.sandbox = owner
        adopted.phase = .active
        result.adopt.append(adopted)
      case .active, .draining:
        if let link = links[lease.interface] { result.deleteLinks.append(link.index) }
        result.free.append(lease.address)
      }
    }
    return result
  }
}
