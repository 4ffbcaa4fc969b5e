extension SchemaTexts {
  /// The types and resources of apiregistration/v1. SchemaParser.swift tells how to read it.
  static let apiRegistrationV1: StaticString = #"""
    package apiregistration/v1 group=apiregistration.k8s.io openapi=io.k8s.kube-aggregator.pkg.apis.apiregistration.v1

    resource apiservices APIService verbs=* categories=api-extensions hash=InPBPD7+PqM= served
      subresource status APIService get,patch,update

    type APIService kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec APIServiceSpec
      3 status APIServiceStatus

    type APIServiceCondition
      1 type string required always
      2 status string required always
      3 lastTransitionTime Time
      4 reason string
      5 message string

    type APIServiceList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []APIService required always

    type APIServiceSpec
      1 service ?ServiceReference
      2 group string
      3 version string
      4 insecureSkipTLSVerify bool
      5 caBundle bytes
      7 groupPriorityMinimum int32 required always
      8 versionPriority int32 required always

    type APIServiceStatus
      1 conditions []APIServiceCondition list=map(type) merge=type

    type ServiceReference
      1 namespace string
      2 name string
      3 port ?int32 fill=443
    """#
}
