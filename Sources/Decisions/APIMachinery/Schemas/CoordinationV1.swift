extension SchemaTexts {
  /// The types and resources of coordination/v1. SchemaParser.swift tells how to read it.
  static let coordinationV1: StaticString = #"""
    package coordination/v1 group=coordination.k8s.io openapi=io.k8s.api.coordination.v1

    resource leases Lease namespaced verbs=* hash=gqkMMb/YqFM= served

    type Lease kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec LeaseSpec

    type LeaseList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Lease required always

    type LeaseSpec
      1 holderIdentity ?string
      2 leaseDurationSeconds ?int32
      3 acquireTime ?MicroTime
      4 renewTime ?MicroTime
      5 leaseTransitions ?int32
      6 strategy ?string
      7 preferredHolder ?string
    """#
}
