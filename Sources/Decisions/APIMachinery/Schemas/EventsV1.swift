extension SchemaTexts {
  /// The types and resources of events/v1. SchemaParser.swift tells how to read it.
  static let eventsV1: StaticString = #"""
    package events/v1 group=events.k8s.io openapi=io.k8s.api.events.v1

    resource events Event namespaced verbs=* short=ev hash=r2yiGXH7wu8= served
      selectable reason,regarding.kind,regarding.namespace,regarding.name,regarding.uid,regarding.apiVersion
      selectable regarding.resourceVersion,regarding.fieldPath,reportingController,type

    type Event kind
      typemeta
      1 metadata meta/v1.ObjectMeta always
      2 eventTime MicroTime required always
      3 series ?EventSeries
      4 reportingController string
      5 reportingInstance string
      6 action string
      7 reason string
      8 regarding core/v1.ObjectReference
      9 related ?core/v1.ObjectReference
      10 note string
      11 type string
      12 deprecatedSource core/v1.EventSource
      13 deprecatedFirstTimestamp Time
      14 deprecatedLastTimestamp Time
      15 deprecatedCount int32

    type EventList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Event required always

    type EventSeries
      1 count int32 required always
      2 lastObservedTime MicroTime required always
    """#
}
