extension SchemaTexts {
  /// The types and resources of autoscaling/v1. SchemaParser.swift tells how to read it.
  static let autoscalingV1: StaticString = #"""
    package autoscaling/v1 group=autoscaling openapi=io.k8s.api.autoscaling.v1

    resource horizontalpodautoscalers HorizontalPodAutoscaler namespaced verbs=* short=hpa categories=all hash=qwQve8ut294= served
      subresource status HorizontalPodAutoscaler get,patch,update

    type CrossVersionObjectReference atomic
      1 kind string required always
      2 name string required always
      3 apiVersion string

    type HorizontalPodAutoscaler kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec HorizontalPodAutoscalerSpec required
      3 status HorizontalPodAutoscalerStatus

    type HorizontalPodAutoscalerList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []HorizontalPodAutoscaler required always

    type HorizontalPodAutoscalerSpec
      1 scaleTargetRef CrossVersionObjectReference required always
      2 minReplicas ?int32 fill=1
      3 maxReplicas int32 required always
      4 targetCPUUtilizationPercentage ?int32

    type HorizontalPodAutoscalerStatus
      1 observedGeneration ?int64
      2 lastScaleTime ?Time
      3 currentReplicas int32 required always
      4 desiredReplicas int32 required always
      5 currentCPUUtilizationPercentage ?int32

    type Scale kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ScaleSpec
      3 status ScaleStatus

    type ScaleSpec
      1 replicas int32 default=0

    type ScaleStatus
      1 replicas int32 required always
      2 selector string
    """#
}
