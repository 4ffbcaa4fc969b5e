extension SchemaTexts {
  /// The types and resources of metrics.k8s.io/v1beta1. SchemaParser.swift tells how to read it. `window` is a duration as text.
  static let metricsV1Beta1: StaticString = #"""
    package metrics/v1beta1 group=metrics.k8s.io openapi=io.k8s.metrics.pkg.apis.metrics.v1beta1

    resource nodes NodeMetrics verbs=get,list served

    resource pods PodMetrics namespaced verbs=get,list served

    type ContainerMetrics
      1 name string required always
      2 usage map[string]Quantity required always

    type NodeMetrics kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 timestamp Time required always
      0 window string required always
      4 usage map[string]Quantity required always

    type NodeMetricsList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []NodeMetrics required always

    type PodMetrics kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 timestamp Time required always
      0 window string required always
      4 containers []ContainerMetrics required always

    type PodMetricsList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []PodMetrics required always
    """#
}
