import Authorization

/// Who makes a request: a value of the room of decisions, used everywhere here.
typealias UserInfo = Authorization.UserInfo

extension Authorization.UserInfo {
  static let authenticated = "system:authenticated"
  static let unauthenticated = "system:unauthenticated"

  static let anonymous = UserInfo(name: "system:anonymous", groups: [unauthenticated])
  /// The control plane's own loops in this process.
  static let controlPlane = UserInfo(name: "system:apiserver", groups: ["system:masters", authenticated])

  var isAnonymous: Bool { self == Self.anonymous }
  var isAdministrator: Bool { groups.contains("system:masters") }
  var isControlPlane: Bool { name == "system:apiserver" && isAdministrator }
}
