extension SchemaTexts {
  /// The types and resources of node/v1. SchemaParser.swift tells how to read it.
  static let nodeV1: StaticString = #"""
    package node/v1 group=node.k8s.io openapi=io.k8s.api.node.v1

    resource runtimeclasses RuntimeClass verbs=* hash=WQTu1GL3T2Q= served

    type Overhead
      1 podFixed map[string]Quantity

    type RuntimeClass kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 handler string required always
      3 overhead ?Overhead
      4 scheduling ?Scheduling

    type RuntimeClassList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []RuntimeClass required always

    type Scheduling
      1 nodeSelector map[string]string atomic
      2 tolerations []core/v1.Toleration
    """#
}
