extension SchemaTexts {
  /// The types and resources of certificates/v1. SchemaParser.swift tells how to read it.
  static let certificatesV1: StaticString = #"""
    package certificates/v1 group=certificates.k8s.io openapi=io.k8s.api.certificates.v1

    resource certificatesigningrequests CertificateSigningRequest verbs=* short=csr hash=95fRKMXA+00= served
      selectable spec.signerName
      subresource approval CertificateSigningRequest get,patch,update
      subresource status CertificateSigningRequest get,patch,update

    type CertificateSigningRequest kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec CertificateSigningRequestSpec required always
      3 status CertificateSigningRequestStatus

    type CertificateSigningRequestCondition
      1 type string required always
      6 status string required always
      2 reason string
      3 message string
      4 lastUpdateTime Time
      5 lastTransitionTime Time

    type CertificateSigningRequestList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []CertificateSigningRequest required always

    type CertificateSigningRequestSpec
      1 request bytes required always
      7 signerName string required always
      8 expirationSeconds ?int32
      5 usages []string
        enum any|cert_sign|client_auth|code_signing|content_commitment|crl_sign|data_encipherment|decipher_only
        enum digital_signature|email_protection|encipher_only|ipsec_end_system|ipsec_tunnel|ipsec_user|key_agreement
        enum key_encipherment|microsoft_sgc|netscape_sgc|ocsp_signing|s/mime|server_auth|signing|timestamping
      2 username string
      3 uid string
      4 groups []string
      6 extra map[string][]string

    type CertificateSigningRequestStatus
      1 conditions []CertificateSigningRequestCondition list=map(type)
      2 certificate bytes
    """#
}
