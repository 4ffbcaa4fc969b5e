extension SchemaTexts {
  /// The types and resources of admissionregistration/v1. SchemaParser.swift tells how to read it.
  static let admissionRegistrationV1: StaticString = #"""
    package admissionregistration/v1 group=admissionregistration.k8s.io openapi=io.k8s.api.admissionregistration.v1

    resource mutatingadmissionpolicies MutatingAdmissionPolicy verbs=* categories=api-extensions hash=LYmCf+UMVdg= served

    resource mutatingadmissionpolicybindings MutatingAdmissionPolicyBinding verbs=* categories=api-extensions hash=90V5FRZZ3Zg= served

    resource mutatingwebhookconfigurations MutatingWebhookConfiguration verbs=* categories=api-extensions hash=Sqi0GUgDaX0= served

    resource validatingadmissionpolicies ValidatingAdmissionPolicy verbs=* categories=api-extensions hash=6OxvlMmQ6is= served
      subresource status ValidatingAdmissionPolicy get,patch,update

    resource validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding verbs=* categories=api-extensions hash=v9715VZqakg= served

    resource validatingwebhookconfigurations ValidatingWebhookConfiguration verbs=* categories=api-extensions hash=B0wHjQmsGNk= served

    type ApplyConfiguration
      1 expression string

    type AuditAnnotation
      1 key string required always
      2 valueExpression string required always

    type ExpressionWarning
      2 fieldRef string required always
      3 warning string required always

    type JSONPatch
      1 expression string

    type MatchCondition
      1 name string required always
      2 expression string required always

    type MatchResources atomic
      1 namespaceSelector ?meta/v1.LabelSelector fill={}
      2 objectSelector ?meta/v1.LabelSelector fill={}
      3 resourceRules []NamedRuleWithOperations
      4 excludeResourceRules []NamedRuleWithOperations
      7 matchPolicy ?string fill="Equivalent" enum=Equivalent|Exact

    type MutatingAdmissionPolicy kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec MutatingAdmissionPolicySpec

    type MutatingAdmissionPolicyBinding kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec MutatingAdmissionPolicyBindingSpec

    type MutatingAdmissionPolicyBindingList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []MutatingAdmissionPolicyBinding required always

    type MutatingAdmissionPolicyBindingSpec
      1 policyName string
      2 paramRef ?ParamRef
      3 matchResources ?MatchResources

    type MutatingAdmissionPolicyList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []MutatingAdmissionPolicy required always

    type MutatingAdmissionPolicySpec
      1 paramKind ?ParamKind
      2 matchConstraints ?MatchResources
      3 variables []Variable
      4 mutations []Mutation
      5 failurePolicy ?string fill="Fail" enum=Fail|Ignore
      6 matchConditions []MatchCondition list=map(name) merge=name
      7 reinvocationPolicy string enum=IfNeeded|Never

    type MutatingWebhook
      1 name string required always
      2 clientConfig WebhookClientConfig required always
      3 rules []RuleWithOperations
      4 failurePolicy ?string fill="Fail" enum=Fail|Ignore
      9 matchPolicy ?string fill="Equivalent" enum=Equivalent|Exact
      5 namespaceSelector ?meta/v1.LabelSelector fill={}
      11 objectSelector ?meta/v1.LabelSelector fill={}
      6 sideEffects ?string required always enum=None|NoneOnDryRun|Some|Unknown
      7 timeoutSeconds ?int32 fill=10
      8 admissionReviewVersions []string required always
      10 reinvocationPolicy ?string fill="Never" enum=IfNeeded|Never
      12 matchConditions []MatchCondition list=map(name) merge=name

    type MutatingWebhookConfiguration kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 webhooks []MutatingWebhook list=map(name) merge=name

    type MutatingWebhookConfigurationList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []MutatingWebhookConfiguration required always

    type Mutation
      2 patchType string required always enum=ApplyConfiguration|JSONPatch
      3 applyConfiguration ?ApplyConfiguration
      4 jsonPatch ?JSONPatch

    type NamedRuleWithOperations atomic
      1 resourceNames []string
      2 inline RuleWithOperations

    type ParamKind atomic
      1 apiVersion string
      2 kind string

    type ParamRef atomic
      1 name string
      2 namespace string
      3 selector ?meta/v1.LabelSelector
      4 parameterNotFoundAction ?string

    type Rule
      1 apiGroups []string
      2 apiVersions []string
      3 resources []string
      4 scope ?string fill="*" enum=*|Cluster|Namespaced

    type RuleWithOperations
      1 operations []string enum=*|CONNECT|CREATE|DELETE|UPDATE
      2 inline Rule

    type ServiceReference
      1 namespace string required always
      2 name string required always
      3 path ?string
      4 port ?int32 fill=443

    type TypeChecking
      1 expressionWarnings []ExpressionWarning

    type ValidatingAdmissionPolicy kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ValidatingAdmissionPolicySpec
      3 status ValidatingAdmissionPolicyStatus

    type ValidatingAdmissionPolicyBinding kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ValidatingAdmissionPolicyBindingSpec required

    type ValidatingAdmissionPolicyBindingList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ValidatingAdmissionPolicyBinding required always

    type ValidatingAdmissionPolicyBindingSpec
      1 policyName string required
      2 paramRef ?ParamRef
      3 matchResources ?MatchResources
      4 validationActions []string required list=set enum=Audit|Deny|Warn

    type ValidatingAdmissionPolicyList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ValidatingAdmissionPolicy required always

    type ValidatingAdmissionPolicySpec
      1 paramKind ?ParamKind
      2 matchConstraints ?MatchResources
      3 validations []Validation
      4 failurePolicy ?string fill="Fail" enum=Fail|Ignore
      5 auditAnnotations []AuditAnnotation
      6 matchConditions []MatchCondition list=map(name) merge=name
      7 variables []Variable list=map(name) merge=name

    type ValidatingAdmissionPolicyStatus
      1 observedGeneration int64
      2 typeChecking ?TypeChecking
      3 conditions []meta/v1.Condition list=map(type)

    type ValidatingWebhook
      1 name string required always
      2 clientConfig WebhookClientConfig required always
      3 rules []RuleWithOperations
      4 failurePolicy ?string fill="Fail" enum=Fail|Ignore
      9 matchPolicy ?string fill="Equivalent" enum=Equivalent|Exact
      5 namespaceSelector ?meta/v1.LabelSelector fill={}
      10 objectSelector ?meta/v1.LabelSelector fill={}
      6 sideEffects ?string required always enum=None|NoneOnDryRun|Some|Unknown
      7 timeoutSeconds ?int32 fill=10
      8 admissionReviewVersions []string required always
      11 matchConditions []MatchCondition list=map(name) merge=name

    type ValidatingWebhookConfiguration kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 webhooks []ValidatingWebhook list=map(name) merge=name

    type ValidatingWebhookConfigurationList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ValidatingWebhookConfiguration required always

    type Validation
      1 expression string required always
      2 message string
      3 reason ?string
      4 messageExpression string

    type Variable atomic
      1 name string required always
      2 expression string required always

    type WebhookClientConfig
      3 url ?string
      1 service ?ServiceReference
      2 caBundle bytes
    """#
}
