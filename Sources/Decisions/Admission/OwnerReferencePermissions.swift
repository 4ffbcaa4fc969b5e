import JSONCodec

/// Who makes an object depend on another can have the garbage collector delete it, and can hold up the owner's deletion.
/// The plug-in OwnerReferencesPermissionEnforcement, off by default upstream, asks whether the user could do that directly.
package enum OwnerReferencePermissions {
  package enum Question: Sendable, Equatable {
    /// May the user delete the object itself?
    case deleteObject
    /// May the user update the `finalizers` of this owner, whose deletion it would block?
    case updateFinalizers(apiVersion: String, kind: String, name: String)
  }

  /// What must be allowed for a write; nothing where owners stay as they are.
  package static func questions(_ object: JSON, _ attributes: AdmissionAttributes) -> [Question] {
    guard attributes.operation == .create || attributes.operation == .update else { return [] }
    // A kubelet's status writes cannot change owners.
    if attributes.resource == "pods", attributes.group.isEmpty, attributes.subresource == "status" { return [] }
    let new = object["metadata"]["ownerReferences"].array ?? []
    let old = attributes.operation == .update ? attributes.old?["metadata"]["ownerReferences"].array ?? [] : []
    guard new != old else { return [] }
    let blocking = new.filter { reference in
      reference["blockOwnerDeletion"] == true
        && !old.contains { $0["uid"] == reference["uid"] && $0["blockOwnerDeletion"] == true }
    }
    return [.deleteObject]
      + blocking.map {
        .updateFinalizers(apiVersion: $0["apiVersion"].string ?? "", kind: $0["kind"].string ?? "", name: $0["name"].string ?? "")
      }
  }

  /// The refusal where the answer to a question is no; `reason` is the authorizer's.
  package static func refusal(
    _ question: Question, object: JSON, attributes: AdmissionAttributes, reason: String
  ) -> AdmissionRefusal {
    let why =
      switch question {
      case .deleteObject: "cannot set an ownerRef on a resource you can't delete: \(reason), <nil>"
      case .updateFinalizers:
        "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: \(reason), <nil>"
      }
    return .forbidden(object, attributes, why)
  }
}
