import JSONCodec

/// Why a server-side apply was refused.
package enum ApplyError: Error, Equatable {
  /// 409 Conflict: other managers own fields that the configuration would change.
  case conflict(ApplyConflict)
  /// 400 BadRequest.
  case badRequest(String)
  /// 500, as upstream answers it: the configuration does not fit the type.
  case mismatch(String)

  package var message: String {
    switch self {
    case .conflict(let conflict): conflict.message
    case .badRequest(let message), .mismatch(let message): message
    }
  }
}

/// The fields that an apply would take from their managers.
package struct ApplyConflict: Error, Equatable {
  package struct Cause: Equatable, Sendable {
    /// `"kubectl-client-side-apply" using apps/v1`.
    package let manager: String
    /// `.spec.replicas`.
    package let field: String
  }

  /// By manager, then by field.
  package let causes: [Cause]

  package var message: String {
    if causes.count == 1 { return "Apply failed with 1 conflict: conflict with \(causes[0].manager): \(causes[0].field)" }
    var lines: [String] = []
    var last: String?
    for cause in causes {
      if cause.manager != last { lines.append("conflicts with \(cause.manager):") }
      lines.append("- \(cause.field)")
      last = cause.manager
    }
    return "Apply failed with \(causes.count) conflicts: " + lines.joined(separator: "\n")
  }

  /// The causes of the Status document.
  package var details: JSON {
    .array(
      causes.map { ["reason": "FieldManagerConflict", "message": .string("conflict with \($0.manager)"), "field": .string($0.field)] })
  }
}
