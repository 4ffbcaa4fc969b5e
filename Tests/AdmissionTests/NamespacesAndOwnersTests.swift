import JSONCodec
import Testing

@testable import Admission

@Suite struct NamespaceLifecycleTests {
  @Test func nothingIsMadeInANamespaceThatIsMissingOrGoing() {
    func refused(_ cluster: GatheredFacts) -> AdmissionRefusal? {
      #expect(throws: AdmissionRefusal.self) { _ = try mutated(pod(), attributes(), cluster) }
    }
    let missing = refused(GatheredFacts())
    #expect(missing?.code == 404 && missing?.message == "namespaces \"team\" not found")
    var going = namespace()
    going["status"]["phase"] = "Terminating"
    let refusal = refused(facts([.namespace("team"): [going]]))
    #expect(refusal?.code == 403 && refusal?.reason == "Forbidden")
    #expect(
      refusal?.message
        == "pods \"web\" is forbidden: unable to create new content in namespace team because it is being terminated")
    #expect(refusal?.details["causes"][0]["reason"] == "NamespaceTerminating")
    let review = attributes(.create, "localsubjectaccessreviews", group: "authorization.k8s.io", kind: "LocalSubjectAccessReview")
    #expect(throws: Never.self) { _ = try mutated(.null, review, GatheredFacts()) }
  }

  @Test(arguments: [("default", true), ("kube-system", true), ("kube-public", true), ("kube-node-lease", false), ("team", false)])
  func someNamespacesStay(_ name: String, _ stays: Bool) {
    let message = refusal(
      ["metadata": ["name": .string(name)]], attributes(.delete, "namespaces", kind: "Namespace", namespace: nil))
    #expect(message == (stays ? "namespaces \"\(name)\" is forbidden: this namespace may not be deleted" : nil))
  }
}

@Suite struct OwnerReferencePermissionsTests {
  @Test func onlyWhatChangesIsAsked() {
    func owned(_ blocks: Bool) -> JSON {
      var object = pod()
      object["metadata"]["ownerReferences"] = [
        ["apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "1", "blockOwnerDeletion": JSON(blocks)]
      ]
      return object
    }
    let blocking = OwnerReferencePermissions.Question.updateFinalizers(apiVersion: "apps/v1", kind: "ReplicaSet", name: "rs")
    #expect(OwnerReferencePermissions.questions(pod(), attributes()).isEmpty)
    #expect(OwnerReferencePermissions.questions(owned(false), attributes()) == [.deleteObject])
    #expect(OwnerReferencePermissions.questions(owned(true), attributes()) == [.deleteObject, blocking])
    #expect(OwnerReferencePermissions.questions(owned(true), attributes(.update, old: owned(true))).isEmpty)
    #expect(OwnerReferencePermissions.questions(owned(true), attributes(.update, old: owned(false))) == [.deleteObject, blocking])
    #expect(OwnerReferencePermissions.questions(owned(true), attributes(.update, subresource: "status", old: pod())).isEmpty)
    #expect(
      OwnerReferencePermissions.refusal(blocking, object: pod(), attributes: attributes(), reason: "no rule").message
        == "pods \"web\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: no rule, <nil>"
    )
  }
}
