extension SchemaTexts {
  /// The types and resources of authentication/v1. SchemaParser.swift tells how to read it.
  static let authenticationV1: StaticString = #"""
    package authentication/v1 group=authentication.k8s.io openapi=io.k8s.api.authentication.v1

    resource selfsubjectreviews SelfSubjectReview verbs=create served

    resource tokenreviews TokenReview verbs=create served

    type BoundObjectReference
      1 kind string
      2 apiVersion string
      3 name string
      4 uid string

    type SelfSubjectReview kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 status SelfSubjectReviewStatus

    type SelfSubjectReviewStatus
      1 userInfo UserInfo

    type TokenRequest kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec TokenRequestSpec always
      3 status TokenRequestStatus

    type TokenRequestSpec
      1 audiences []string always
      4 expirationSeconds ?int64 always fill=3600
      3 boundObjectRef ?BoundObjectReference always

    type TokenRequestStatus
      1 token string always
      2 expirationTimestamp Time always

    type TokenReview kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec TokenReviewSpec required always
      3 status TokenReviewStatus

    type TokenReviewSpec
      1 token string required
      2 audiences []string

    type TokenReviewStatus
      1 authenticated bool
      2 user UserInfo
      4 audiences []string
      3 error string

    type UserInfo
      1 username string
      2 uid string
      3 groups []string
      4 extra map[string][]string
    """#
}
