import JSONCodec

/// A patch that cannot be read or does not fit the object.
package struct PatchError: Error, Equatable, CustomStringConvertible {
  package enum Kind: Sendable {
    /// The patch itself is wrong: 400 BadRequest.
    case malformed
    /// The patch does not apply to this object: 422 Invalid.
    case notApplicable
    /// More operations than are allowed: 413 RequestEntityTooLarge.
    case tooLarge
  }

  package let kind: Kind
  package let message: String
  package var description: String { message }

  static func malformed(_ message: String) -> PatchError { PatchError(kind: .malformed, message: message) }
  static func notApplicable(_ message: String) -> PatchError { PatchError(kind: .notApplicable, message: message) }
}

/// A JSON merge patch: objects are merged field by field, null removes, everything else replaces.
///
/// Source: RFC 7386, section 2.
package func jsonMergePatch(original: JSON, patch: JSON) -> JSON {
  guard case .object(let changes) = patch else { return patch }
  var result = original.object ?? JSONObject()
  for (key, value) in changes {
    if value.isNull {
      result[key] = Optional<JSON>.none
    } else {
      result[key] = jsonMergePatch(original: result[key] ?? .null, patch: value)
    }
  }
  return .object(result)
}
