extension SchemaTexts {
  /// The types and resources of discovery/v1. SchemaParser.swift tells how to read it.
  static let discoveryV1: StaticString = #"""
    package discovery/v1 group=discovery.k8s.io openapi=io.k8s.api.discovery.v1

    resource endpointslices EndpointSlice namespaced verbs=* hash=qgS0xkrxYAI= served

    type Endpoint
      1 addresses []string required always list=set
      2 conditions EndpointConditions
      3 hostname ?string
      4 targetRef ?core/v1.ObjectReference
      5 deprecatedTopology map[string]string
      6 nodeName ?string
      7 zone ?string
      8 hints ?EndpointHints

    type EndpointConditions
      1 ready ?bool
      2 serving ?bool
      3 terminating ?bool

    type EndpointHints
      1 forZones []ForZone
      2 forNodes []ForNode

    type EndpointPort atomic
      1 name ?string fill=""
      2 protocol ?string fill="TCP" enum=SCTP|TCP|UDP
      3 port ?int32
      4 appProtocol ?string

    type EndpointSlice kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      4 addressType string required always enum=FQDN|IPv4|IPv6
      2 endpoints []Endpoint always
      3 ports []EndpointPort always

    type EndpointSliceList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []EndpointSlice required always

    type ForNode
      1 name string required always

    type ForZone
      1 name string required always
    """#
}
