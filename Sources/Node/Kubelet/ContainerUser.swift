import JSONCodec
import PodLifecycle

/// Who a container's processes are.
package struct ContainerUser: Sendable, Equatable {
  package var uid: UInt32 = 0
  package var gid: UInt32 = 0
  package var supplementalGroups: [UInt32] = []
  /// The user's home directory in the image; "/" where it has none.
  package var home = "/"

  package init() {}

  /// runAsUser and runAsGroup go before the image's `user[:group]`, which may be names of the image's own accounts.
  package init(runAsUser: Int?, runAsGroup: Int?, imageUser: String, accounts: ImageAccounts) throws(ContainerConfigError) {
    let parts = imageUser.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let name = parts.first ?? ""
    let account: ImageAccounts.Account?
    if let runAsUser {
      uid = try Self.id(runAsUser)
      account = accounts.account(uid: uid)
    } else if name.isEmpty {
      account = accounts.account(uid: 0)
    } else if let number = Int(name) {
      uid = try Self.id(number)
      account = accounts.account(uid: uid)
    } else if let found = accounts.account(named: name) {
      account = found
      uid = found.uid
    } else {
      throw ContainerConfigError(
        reason: WaitingReason.createContainerError, "unable to find user \(name): no matching entries in passwd file")
    }
    if let runAsGroup {
      gid = try Self.id(runAsGroup)
    } else if runAsUser == nil, parts.count > 1, !parts[1].isEmpty {
      if let number = Int(parts[1]) {
        gid = try Self.id(number)
      } else if let group = accounts.group(named: parts[1]) {
        gid = group
      } else {
        throw ContainerConfigError(
          reason: WaitingReason.createContainerError, "unable to find group \(parts[1]): no matching entries in group file")
      }
    } else {
      gid = account?.gid ?? 0
    }
    if let account {
      home = account.home.isEmpty ? "/" : account.home
      supplementalGroups = accounts.memberships(of: account.name).filter { $0 != gid }
    }
  }

  private static func id(_ number: Int) throws(ContainerConfigError) -> UInt32 {
    guard let id = UInt32(exactly: number), id <= UInt32(Int32.max) else {
      throw ContainerConfigError(reason: WaitingReason.createContainerError, "user or group id \(number) is not in 0...2147483647")
    }
    return id
  }

  package mutating func add(groups: [Int]) {
    for group in groups {
      guard let id = UInt32(exactly: group), !supplementalGroups.contains(id) else { continue }
      supplementalGroups.append(id)
    }
  }

  /// The process's groups, its own among them: without it, a file that denies its group something could be had by joining another.
  package var groups: [UInt32] { supplementalGroups.contains(gid) ? supplementalGroups : [gid] + supplementalGroups }

  /// `status.containerStatuses[].user`.
  package var status: JSON {
    [
      "linux": [
        "uid": .int(Int64(uid)), "gid": .int(Int64(gid)), "supplementalGroups": .array(groups.map { .int(Int64($0)) }),
      ]
    ]
  }
}

/// The accounts that an image brings. What they say counts inside the container only.
package struct ImageAccounts: Sendable {
  package struct Account: Sendable, Equatable {
    package let name: String
    package let uid: UInt32
    package let gid: UInt32
    package let home: String
  }

  package static let fileBytesMax = 1 << 20

  private var accounts: [Account] = []
  private var groups: [(name: String, gid: UInt32, members: [String])] = []

  /// From the texts of /etc/passwd and /etc/group; lines that are none are skipped.
  package init(passwd: String, group: String) {
    for line in passwd.split(whereSeparator: \.isNewline) {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard fields.count >= 4, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]) else { continue }
      accounts.append(Account(name: fields[0], uid: uid, gid: gid, home: fields.count > 5 ? fields[5] : ""))
    }
    for line in group.split(whereSeparator: \.isNewline) {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard fields.count >= 3, let gid = UInt32(fields[2]) else { continue }
      let members = fields.count > 3 ? fields[3].split(separator: ",").map(String.init) : []
      groups.append((fields[0], gid, members))
    }
  }

  package func account(named name: String) -> Account? { accounts.first { $0.name == name } }
  package func account(uid: UInt32) -> Account? { accounts.first { $0.uid == uid } }
  package func group(named name: String) -> UInt32? { groups.first { $0.name == name }?.gid }
  package func memberships(of user: String) -> [UInt32] { groups.filter { $0.members.contains(user) }.map(\.gid) }
}
