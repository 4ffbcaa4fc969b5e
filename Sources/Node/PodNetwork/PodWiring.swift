import LinuxKernel
import NFTables
import Netlink

/// The netlink requests that join a pod to the host, as values.
enum PodWiring {
  /// Stands for the host on every pod's link. No interface has it: each pod holds a permanent neighbour entry for it.
  static let gateway = IPv4Address(0xa9fe_0101)  // 169.254.1.1
  static let podInterface = "eth0"
  /// The same at every host end: a link has only two ends, so nothing can mix them up.
  static let hostHardwareAddress = HardwareAddress([0x02, 0x53, 0x57, 0x4c, 0x00, 0x01])

  /// Locally administered, and as unique as the pod's address.
  static func podHardwareAddress(_ address: IPv4Address) -> HardwareAddress { HardwareAddress([0x02, 0x53] + address.bytes) }

  static func makeLink(_ lease: Lease, plan: NetworkPlan, namespace: Int32, mtu: UInt32) -> NetlinkRequest {
    .newVeth(
      host: VethEnd(name: lease.interface, hardwareAddress: hostHardwareAddress, group: plan.group),
      peer: VethEnd(name: podInterface, hardwareAddress: podHardwareAddress(lease.address)),
      namespace: namespace, mtu: mtu)
  }

  /// In the pod; each may be repeated.
  static func podSide(_ address: IPv4Address, link: Int32) -> [NetlinkRequest] {
    [
      .setUp(index: link),
      .putAddress(IPv4Prefix(address, length: 32), full: address, link: link),
      .putPermanentNeighbour(gateway, at: hostHardwareAddress, link: link),
      .putRoute(Route(IPv4Prefix(IPv4Address(0), length: 0), gateway: gateway, link: link, isGatewayOnLink: true)),
    ]
  }

  /// On the host; each may be repeated.
  static func hostSide(_ address: IPv4Address, link: Int32) -> [NetlinkRequest] {
    [
      .putRoute(podRoute(address, link: link)),
      .putPermanentNeighbour(address, at: podHardwareAddress(address), link: link),
    ]
  }

  static func podRoute(_ address: IPv4Address, link: Int32?) -> Route {
    Route(IPv4Prefix(address, length: 32), scope: .link, link: link)
  }

  /// Answers at once for addresses of the node's range that no pod has; without it they would leave by the default route.
  static func emptyRange(_ range: IPv4Prefix) -> Route { Route(range, kind: .unreachable) }
}

/// What an attach finds, and what it then does.
enum AttachDecision: Equatable {
  case create
  /// Both ends belong together: put again what may be missing.
  case repair(hostLink: Int32, podLink: Int32)
  /// The lease's link is not in this namespace: the sandbox was made anew.
  case replace

  static func decide(hasLease: Bool, hostLink: Link?, podLink: Link?) -> AttachDecision {
    if !hasLease { return .create }
    switch (hostLink, podLink) {
    case (nil, nil): return .create  // the process ended between writing the lease and making the link
    case (let host?, let pod?) where pod.peerIndex == host.index && host.peerIndex == pod.index:
      return .repair(hostLink: host.index, podLink: pod.index)
    default: return .replace
    }
  }
}
