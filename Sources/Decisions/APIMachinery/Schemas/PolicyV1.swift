extension SchemaTexts {
  /// The types and resources of policy/v1. SchemaParser.swift tells how to read it.
  static let policyV1: StaticString = #"""
    package policy/v1 group=policy openapi=io.k8s.api.policy.v1

    resource poddisruptionbudgets PodDisruptionBudget namespaced verbs=* short=pdb hash=EVWiDmWqyJw= served
      subresource status PodDisruptionBudget get,patch,update

    type Eviction kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 deleteOptions ?meta/v1.DeleteOptions

    type PodDisruptionBudget kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec PodDisruptionBudgetSpec
      3 status PodDisruptionBudgetStatus

    type PodDisruptionBudgetList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []PodDisruptionBudget required always

    type PodDisruptionBudgetSpec
      1 minAvailable ?IntOrString
      2 selector ?meta/v1.LabelSelector replace
      3 maxUnavailable ?IntOrString
      4 unhealthyPodEvictionPolicy ?string enum=AlwaysAllow|IfHealthyBudget

    type PodDisruptionBudgetStatus
      1 observedGeneration int64
      2 disruptedPods map[string]Time
      3 disruptionsAllowed int32 always
      4 currentHealthy int32 always
      5 desiredHealthy int32 always
      6 expectedPods int32 always
      7 conditions []meta/v1.Condition list=map(type) merge=type
    """#
}
