extension SchemaTexts {
  /// The types and resources of apiextensions/v1. SchemaParser.swift tells how to read it.
  static let apiExtensionsV1: StaticString = #"""
    package apiextensions/v1 group=apiextensions.k8s.io openapi=io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1

    resource customresourcedefinitions CustomResourceDefinition verbs=* short=crd,crds categories=api-extensions hash=jfWCUB31mvA= served
      subresource status CustomResourceDefinition get,patch,update

    type ConversionRequest
      1 uid string required always
      2 desiredAPIVersion string required always
      3 objects []RawExtension required always

    type ConversionResponse
      1 uid string required always
      2 convertedObjects []RawExtension required always
      3 result meta/v1.Status required always

    type ConversionReview
      typemeta
      1 request ?ConversionRequest
      2 response ?ConversionResponse

    type CustomResourceColumnDefinition
      1 name string required always
      2 type string required always
      3 format string
      4 description string
      5 priority int32
      6 jsonPath string required always

    type CustomResourceConversion
      1 strategy string required always
      2 webhook ?WebhookConversion

    type CustomResourceDefinition kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec CustomResourceDefinitionSpec required always
      3 status CustomResourceDefinitionStatus

    type CustomResourceDefinitionCondition
      1 type string required always
      2 status string required always
      3 lastTransitionTime Time
      4 reason string
      5 message string
      6 observedGeneration int64

    type CustomResourceDefinitionList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []CustomResourceDefinition required always

    type CustomResourceDefinitionNames
      1 plural string required always
      2 singular string
      3 shortNames []string
      4 kind string required always
      5 listKind string
      6 categories []string

    type CustomResourceDefinitionSpec
      1 group string required always
      3 names CustomResourceDefinitionNames required always
      4 scope string required always
      7 versions []CustomResourceDefinitionVersion required always
      9 conversion ?CustomResourceConversion
      10 preserveUnknownFields bool

    type CustomResourceDefinitionStatus
      1 conditions []CustomResourceDefinitionCondition always list=map(type)
      2 acceptedNames CustomResourceDefinitionNames always
      3 storedVersions []string always
      4 observedGeneration int64

    type CustomResourceDefinitionVersion
      1 name string required always
      2 served bool required always
      3 storage bool required always
      7 deprecated bool
      8 deprecationWarning ?string
      4 schema ?CustomResourceValidation
      5 subresources ?CustomResourceSubresources
      6 additionalPrinterColumns []CustomResourceColumnDefinition
      9 selectableFields []SelectableField

    type CustomResourceSubresourceScale
      1 specReplicasPath string required always
      2 statusReplicasPath string required always
      3 labelSelectorPath ?string

    type CustomResourceSubresourceStatus

    type CustomResourceSubresources
      1 status ?CustomResourceSubresourceStatus
      2 scale ?CustomResourceSubresourceScale

    type CustomResourceValidation
      1 openAPIV3Schema ?JSONSchemaProps

    type ExternalDocumentation
      1 description string
      2 url string

    type JSONSchemaProps
      1 id string
      2 $schema string
      3 $ref ?string
      4 description string
      5 type string
      6 format string
      7 title string
      8 default ?any
      9 maximum ?double
      10 exclusiveMaximum bool
      11 minimum ?double
      12 exclusiveMinimum bool
      13 maxLength ?int64
      14 minLength ?int64
      15 pattern string
      16 maxItems ?int64
      17 minItems ?int64
      18 uniqueItems bool
      19 multipleOf ?double
      20 enum []any
      21 maxProperties ?int64
      22 minProperties ?int64
      23 required []string
      24 items ?JSONSchemaPropsOrArray
      25 allOf []JSONSchemaProps
      26 oneOf []JSONSchemaProps
      27 anyOf []JSONSchemaProps
      28 not ?JSONSchemaProps
      29 properties map[string]JSONSchemaProps
      30 additionalProperties ?JSONSchemaPropsOrBool
      31 patternProperties map[string]JSONSchemaProps
      32 dependencies map[string]JSONSchemaPropsOrStringArray
      33 additionalItems ?JSONSchemaPropsOrBool
      34 definitions map[string]JSONSchemaProps
      35 externalDocs ?ExternalDocumentation
      36 example ?any
      37 nullable bool
      38 x-kubernetes-preserve-unknown-fields ?bool
      39 x-kubernetes-embedded-resource bool
      40 x-kubernetes-int-or-string bool
      41 x-kubernetes-list-map-keys []string
      42 x-kubernetes-list-type ?string
      43 x-kubernetes-map-type ?string
      44 x-kubernetes-validations []ValidationRule list=map(rule) merge=rule

    type JSONSchemaPropsOrArray alternatives
      1 schema ?JSONSchemaProps
      2 jSONSchemas []JSONSchemaProps

    type JSONSchemaPropsOrBool alternatives
      1 allows bool always
      2 schema ?JSONSchemaProps

    type JSONSchemaPropsOrStringArray alternatives
      1 schema ?JSONSchemaProps
      2 property []string

    type SelectableField
      1 jsonPath string required always

    type ServiceReference
      1 namespace string required always
      2 name string required always
      3 path ?string
      4 port ?int32 fill=443

    type ValidationRule
      1 rule string required always
      2 message string
      3 messageExpression string
      4 reason ?string enum=FieldValueDuplicate|FieldValueForbidden|FieldValueInvalid|FieldValueRequired
      5 fieldPath string
      6 optionalOldSelf ?bool

    type WebhookClientConfig
      3 url ?string
      1 service ?ServiceReference
      2 caBundle bytes

    type WebhookConversion
      2 clientConfig ?WebhookClientConfig
      3 conversionReviewVersions []string required always
    """#
}
