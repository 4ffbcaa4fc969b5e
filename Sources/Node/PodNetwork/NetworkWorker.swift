import LinuxKernel
import NFTables
import Netlink

/// A thread in the host's network namespace with its own sockets there.
struct NetworkWorker: Sendable {
  let thread: NamespaceThread
  let route: NetlinkSocket
  let netfilter: NetlinkSocket

  init(_ home: NamespaceThread.Home) throws {
    let thread = try NamespaceThread(home)
    self.thread = thread
    (route, netfilter) = try thread.performBlocking { (try NetlinkSocket(.route), try NetlinkSocket(.netfilter)) }
  }

  /// Nil: there is no such link.
  func link(_ name: String) throws(NetlinkError) -> Link? { try route.link(name) }

  /// This instance's host ends by name: veths of the plan's group and prefix.
  func ownLinks(_ plan: NetworkPlan) throws(NetlinkError) -> [String: Link] {
    var links: [String: Link] = [:]
    for message in try route.dump(.links) {
      guard let link = Link(message), link.kind == "veth", link.name.hasPrefix(plan.prefix),
        link.group == plan.group || link.group == plan.doomedGroup
      else { continue }
      links[link.name] = link
    }
    return links
  }

  func routes() throws(NetlinkError) -> [Route] { try route.dump(.routes).compactMap { Route($0) } }

  /// Deletes links together, so that the kernel waits once, not once for each. Links that are gone already do not matter.
  func deleteLinks(_ indexes: [Int32], plan: NetworkPlan) throws(NetlinkError) {
    if indexes.isEmpty { return }
    var doom = LinkChange()
    doom.group = plan.doomedGroup
    let moved = try route.exchange(indexes.map { .setLink(index: $0, doom) })
    for case .failure(let error) in moved where !error.isAbsence { throw error }
    do {
      try route.request(.deleteLinks(group: plan.doomedGroup))
    } catch  where error.isAbsence {}  // their namespaces went meanwhile
  }

  /// The MTU of the interface that the best default route uses; 1500 where there is none.
  func defaultMTU() throws(NetlinkError) -> UInt32 {
    let best = try routes().filter { $0.destination.length == 0 && $0.kind == .unicast && $0.link != nil }
      .min { ($0.metric ?? 0) < ($1.metric ?? 0) }
    guard let index = best?.link, let message = try route.request(.getLink(index: index)).first, let link = Link(message)
    else { return 1500 }
    return min(max(link.mtu, 576), 65_535)
  }
}

extension NetlinkSocket {
  /// Nil: there is no such link.
  func link(_ name: String) throws(NetlinkError) -> Link? {
    do {
      return try request(.getLink(name: name)).first.flatMap { Link($0) }
    } catch  where error.isAbsence {
      return nil
    }
  }
}
