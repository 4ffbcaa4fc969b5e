import JSONCodec

/// One thing that a controller wants done. The runner does them in their order and stops at the first that fails; a
/// later write of the same round to the same object counts on the state that the earlier one left.
package enum Write: Sendable, Equatable {
  /// A new object; its namespace stands in its metadata. `generateName` leaves the end of its name to the server.
  case create(Kind, JSON, Announcement? = nil)
  /// The whole object in place of the one with its resourceVersion; `subresource` is "status" or "scale".
  case update(Kind, JSON, subresource: String? = nil)
  /// A JSON merge patch (RFC 7386) of the object with this uid.
  case patch(Kind, ObjectName, uid: String, JSON, subresource: String? = nil)
  case delete(Kind, ObjectName, uid: String, Deletion = Deletion(), Announcement? = nil)
  /// An event about an object, `type` Normal or Warning.
  case event(Kind, JSON, type: String, reason: String, message: String)
  /// Asks again after so many seconds, whatever changes meanwhile.
  case requeue(after: Double)

  package struct Deletion: Sendable, Equatable {
    package var graceSeconds: Int?
    /// Background, Foreground or Orphan; nil: the kind's own.
    package var propagation: String?
    /// Only in exactly this state.
    package var resourceVersion: String?
    package init(graceSeconds: Int? = nil, propagation: String? = nil, resourceVersion: String? = nil) {
      self.graceSeconds = graceSeconds
      self.propagation = propagation
      self.resourceVersion = resourceVersion
    }
  }

  /// What tells the owner's readers how a creation or deletion went: an event with the dependent's name after the text,
  /// or with what went wrong.
  package struct Announcement: Sendable, Equatable {
    let kind: Kind
    let about: JSON
    let success: (reason: String, text: String)
    let failure: (reason: String, text: String)

    package var aboutKind: Kind { kind }
    package var object: JSON { about }
    package var successReason: String { success.reason }
    package var successText: String { success.text }
    package var failureReason: String { failure.reason }
    package var failureText: String { failure.text }

    package static func == (a: Announcement, b: Announcement) -> Bool {
      a.kind == b.kind && a.about == b.about && a.success == b.success && a.failure == b.failure
    }

    static func created(_ what: String, for owner: JSON, _ kind: Kind) -> Announcement {
      Announcement(
        kind: kind, about: owner, success: ("SuccessfulCreate", "Created \(what): "), failure: ("FailedCreate", "Error creating: "))
    }
    static func deleted(_ what: String, for owner: JSON, _ kind: Kind) -> Announcement {
      Announcement(
        kind: kind, about: owner, success: ("SuccessfulDelete", "Deleted \(what): "), failure: ("FailedDelete", "Error deleting: "))
    }
  }

  /// True for what only tells how things stand: it is written even where another write of the same round failed.
  package var isReport: Bool {
    switch self {
    case .update(_, _, let subresource), .patch(_, _, _, _, let subresource): subresource == "status"
    case .requeue: true
    case .event, .create, .delete: false
    }
  }

  static func status(_ kind: Kind, _ object: JSON, _ status: JSON) -> Write {
    var changed = object
    changed["status"] = status
    return .update(kind, changed, subresource: "status")
  }

  static func event(_ kind: Kind, _ object: JSON, _ reason: String, _ message: String) -> Write {
    .event(kind, object, type: "Normal", reason: reason, message: message)
  }

  static func warning(_ kind: Kind, _ object: JSON, _ reason: String, _ message: String) -> Write {
    .event(kind, object, type: "Warning", reason: reason, message: message)
  }
}

/// A write that the server refused, kept for the same key until its writes succeed.
package struct WriteFailure: Sendable, Equatable {
  package enum Operation: Sendable, Equatable { case create, update, delete }
  package let operation: Operation
  package let kind: Kind
  /// The name where the write had one.
  package let name: String
  /// The HTTP status, 0 where there was no answer.
  package let code: Int
  /// The machine-readable reason: AlreadyExists, Forbidden, ...
  package let reason: String
  package let message: String

  package init(operation: Operation, kind: Kind, name: String, code: Int, reason: String, message: String) {
    self.operation = operation
    self.kind = kind
    self.name = name
    self.code = code
    self.reason = reason
    self.message = message
  }
}
