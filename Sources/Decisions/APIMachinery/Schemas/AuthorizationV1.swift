extension SchemaTexts {
  /// The types and resources of authorization/v1. SchemaParser.swift tells how to read it.
  static let authorizationV1: StaticString = #"""
    package authorization/v1 group=authorization.k8s.io openapi=io.k8s.api.authorization.v1

    resource localsubjectaccessreviews LocalSubjectAccessReview namespaced verbs=create served

    resource selfsubjectaccessreviews SelfSubjectAccessReview verbs=create served

    resource selfsubjectrulesreviews SelfSubjectRulesReview verbs=create served

    resource subjectaccessreviews SubjectAccessReview verbs=create served

    type FieldSelectorAttributes
      1 rawSelector string
      2 requirements []meta/v1.FieldSelectorRequirement

    type LabelSelectorAttributes
      1 rawSelector string
      2 requirements []meta/v1.LabelSelectorRequirement

    type LocalSubjectAccessReview kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec SubjectAccessReviewSpec required always
      3 status SubjectAccessReviewStatus

    type NonResourceAttributes
      1 path string
      2 verb string

    type NonResourceRule
      1 verbs []string required always
      2 nonResourceURLs []string

    type ResourceAttributes
      1 namespace string
      2 verb string
      3 group string
      4 version string
      5 resource string
      6 subresource string
      7 name string
      8 fieldSelector ?FieldSelectorAttributes
      9 labelSelector ?LabelSelectorAttributes

    type ResourceRule
      1 verbs []string required always
      2 apiGroups []string
      3 resources []string
      4 resourceNames []string

    type SelfSubjectAccessReview kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec SelfSubjectAccessReviewSpec required always
      3 status SubjectAccessReviewStatus

    type SelfSubjectAccessReviewSpec
      1 resourceAttributes ?ResourceAttributes
      2 nonResourceAttributes ?NonResourceAttributes

    type SelfSubjectRulesReview kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec SelfSubjectRulesReviewSpec required always
      3 status SubjectRulesReviewStatus

    type SelfSubjectRulesReviewSpec
      1 namespace string

    type SubjectAccessReview kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec SubjectAccessReviewSpec required always
      3 status SubjectAccessReviewStatus

    type SubjectAccessReviewSpec
      1 resourceAttributes ?ResourceAttributes
      2 nonResourceAttributes ?NonResourceAttributes
      3 user string
      4 groups []string
      5 extra map[string][]string
      6 uid string

    type SubjectAccessReviewStatus
      1 allowed bool required always
      4 denied bool
      2 reason string
      3 evaluationError string

    type SubjectRulesReviewStatus
      1 resourceRules []ResourceRule required always
      2 nonResourceRules []NonResourceRule required always
      3 incomplete bool required always
      4 evaluationError string
    """#
}
