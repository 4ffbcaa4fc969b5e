extension SchemaTexts {
  /// The types and resources of scheduling/v1. SchemaParser.swift tells how to read it.
  static let schedulingV1: StaticString = #"""
    package scheduling/v1 group=scheduling.k8s.io openapi=io.k8s.api.scheduling.v1

    resource priorityclasses PriorityClass verbs=* short=pc hash=1QwjyaZjj3Y= served

    type PriorityClass kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 value int32 always
      3 globalDefault bool
      4 description string
      5 preemptionPolicy ?string fill="PreemptLowerPriority" enum=Never|PreemptLowerPriority

    type PriorityClassList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []PriorityClass required always
    """#
}
