extension SchemaTexts {
  /// The types and resources of admission/v1. SchemaParser.swift tells how to read it.
  static let admissionV1: StaticString = #"""
    package admission/v1 group=admission.k8s.io openapi=io.k8s.api.admission.v1

    type AdmissionRequest
      1 uid string always default=none
      2 kind meta/v1.GroupVersionKind always default=none
      3 resource meta/v1.GroupVersionResource always default=none
      4 subResource string
      13 requestKind ?meta/v1.GroupVersionKind
      14 requestResource ?meta/v1.GroupVersionResource
      15 requestSubResource string
      5 name string
      6 namespace string
      7 operation string always default=none
      8 userInfo authentication/v1.UserInfo always default=none
      9 object RawExtension
      10 oldObject RawExtension
      11 dryRun ?bool
      12 options RawExtension

    type AdmissionResponse
      1 uid string always default=none
      2 allowed bool always default=none
      3 status ?meta/v1.Status
      4 patch bytes
      5 patchType ?string
      6 auditAnnotations map[string]string
      7 warnings []string

    type AdmissionReview
      typemeta
      1 request ?AdmissionRequest
      2 response ?AdmissionResponse
    """#
}
