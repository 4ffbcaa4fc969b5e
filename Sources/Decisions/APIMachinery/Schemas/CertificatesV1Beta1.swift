extension SchemaTexts {
  /// The types and resources of certificates/v1beta1. SchemaParser.swift tells how to read it.
  static let certificatesV1Beta1: StaticString = #"""
    package certificates/v1beta1 group=certificates.k8s.io openapi=io.k8s.api.certificates.v1beta1

    resource podcertificaterequests PodCertificateRequest namespaced verbs=* hash=wYA9yXQH8fg= served
      selectable spec.signerName,spec.podName,spec.nodeName
      subresource status PodCertificateRequest get,patch,update

    type PodCertificateRequest kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec PodCertificateRequestSpec required always
      3 status PodCertificateRequestStatus

    type PodCertificateRequestList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []PodCertificateRequest required always

    type PodCertificateRequestSpec
      1 signerName string required always
      2 podName string required always
      3 podUID string required always
      4 serviceAccountName string required always
      5 serviceAccountUID string required always
      6 nodeName string required always
      7 nodeUID string required always
      8 maxExpirationSeconds ?int32 default=86400 fill=86400
      9 pkixPublicKey bytes
      10 proofOfPossession bytes
      12 stubPKCS10Request bytes
      11 unverifiedUserAnnotations map[string]string

    type PodCertificateRequestStatus
      1 conditions []meta/v1.Condition list=map(type) merge=type
      2 certificateChain string
      4 notBefore ?Time
      5 beginRefreshAt ?Time
      6 notAfter ?Time
    """#
}
