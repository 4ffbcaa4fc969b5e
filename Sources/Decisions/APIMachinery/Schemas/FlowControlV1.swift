extension SchemaTexts {
  /// The types and resources of flowcontrol/v1. SchemaParser.swift tells how to read it.
  static let flowControlV1: StaticString = #"""
    package flowcontrol/v1 group=flowcontrol.apiserver.k8s.io openapi=io.k8s.api.flowcontrol.v1

    resource flowschemas FlowSchema verbs=* hash=GJVAJZSZBIw= served
      subresource status FlowSchema get,patch,update

    resource prioritylevelconfigurations PriorityLevelConfiguration verbs=* hash=Kir5PVfvNeI= served
      subresource status PriorityLevelConfiguration get,patch,update

    type ExemptPriorityLevelConfiguration
      1 nominalConcurrencyShares ?int32 fill=0
      2 lendablePercent ?int32 fill=0

    type FlowDistinguisherMethod
      1 type string required always

    type FlowSchema kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec FlowSchemaSpec
      3 status FlowSchemaStatus

    type FlowSchemaCondition
      1 type string
      2 status string
      3 lastTransitionTime Time
      4 reason string
      5 message string

    type FlowSchemaList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []FlowSchema required always

    type FlowSchemaSpec
      1 priorityLevelConfiguration PriorityLevelConfigurationReference required always
      2 matchingPrecedence int32 always fill=1000
      3 distinguisherMethod ?FlowDistinguisherMethod
      4 rules []PolicyRulesWithSubjects

    type FlowSchemaStatus
      1 conditions []FlowSchemaCondition list=map(type) merge=type

    type GroupSubject
      1 name string required always

    type LimitResponse
      1 type string required always
      2 queuing ?QueuingConfiguration

    type LimitedPriorityLevelConfiguration
      1 nominalConcurrencyShares ?int32 always fill=30
      2 limitResponse LimitResponse
      3 lendablePercent ?int32 fill=0
      4 borrowingLimitPercent ?int32

    type NonResourcePolicyRule
      1 verbs []string required always list=set
      6 nonResourceURLs []string required always list=set

    type PolicyRulesWithSubjects
      1 subjects []Subject required always
      2 resourceRules []ResourcePolicyRule
      3 nonResourceRules []NonResourcePolicyRule

    type PriorityLevelConfiguration kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec PriorityLevelConfigurationSpec
      3 status PriorityLevelConfigurationStatus

    type PriorityLevelConfigurationCondition
      1 type string
      2 status string
      3 lastTransitionTime Time
      4 reason string
      5 message string

    type PriorityLevelConfigurationList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []PriorityLevelConfiguration required always

    type PriorityLevelConfigurationReference
      1 name string required always

    type PriorityLevelConfigurationSpec
      1 type string required always
      2 limited ?LimitedPriorityLevelConfiguration
      3 exempt ?ExemptPriorityLevelConfiguration

    type PriorityLevelConfigurationStatus
      1 conditions []PriorityLevelConfigurationCondition list=map(type) merge=type

    type QueuingConfiguration
      1 queues int32 always fill=64
      2 handSize int32 always fill=8
      3 queueLengthLimit int32 always fill=50

    type ResourcePolicyRule
      1 verbs []string required always list=set
      2 apiGroups []string required always list=set
      3 resources []string required always list=set
      4 clusterScope bool
      5 namespaces []string always list=set

    type ServiceAccountSubject
      1 namespace string required always
      2 name string required always

    type Subject
      1 kind string required always
      2 user ?UserSubject
      3 group ?GroupSubject
      4 serviceAccount ?ServiceAccountSubject

    type UserSubject
      1 name string required always
    """#
}
