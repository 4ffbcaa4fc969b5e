extension SchemaTexts {
  /// The types and resources of autoscaling/v2. SchemaParser.swift tells how to read it.
  static let autoscalingV2: StaticString = #"""
    package autoscaling/v2 group=autoscaling openapi=io.k8s.api.autoscaling.v2

    resource horizontalpodautoscalers HorizontalPodAutoscaler namespaced verbs=* short=hpa categories=all hash=qwQve8ut294= served
      subresource status HorizontalPodAutoscaler get,patch,update

    type ContainerResourceMetricSource
      1 name string required always
      2 target MetricTarget required always
      3 container string required always

    type ContainerResourceMetricStatus
      1 name string required always
      2 current MetricValueStatus required always
      3 container string required always

    type CrossVersionObjectReference
      1 kind string required always
      2 name string required always
      3 apiVersion string

    type ExternalMetricSource
      1 metric MetricIdentifier required always
      2 target MetricTarget required always

    type ExternalMetricStatus
      1 metric MetricIdentifier required always
      2 current MetricValueStatus required always

    type HPAScalingPolicy
      1 type string required always
      2 value int32 required always
      3 periodSeconds int32 required always

    type HPAScalingRules
      3 stabilizationWindowSeconds ?int32
      1 selectPolicy ?string
      2 policies []HPAScalingPolicy
      4 tolerance ?Quantity

    type HorizontalPodAutoscaler kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec HorizontalPodAutoscalerSpec required
      3 status HorizontalPodAutoscalerStatus

    type HorizontalPodAutoscalerBehavior
      1 scaleUp ?HPAScalingRules
      2 scaleDown ?HPAScalingRules

    type HorizontalPodAutoscalerCondition
      1 type string required always
      2 status string required always
      3 lastTransitionTime Time
      4 reason string
      5 message string

    type HorizontalPodAutoscalerList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []HorizontalPodAutoscaler required always

    type HorizontalPodAutoscalerSpec
      1 scaleTargetRef CrossVersionObjectReference required always
      2 minReplicas ?int32 fill=1
      3 maxReplicas int32 required always
      4 metrics []MetricSpec fill=[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]
      5 behavior ?HorizontalPodAutoscalerBehavior

    type HorizontalPodAutoscalerStatus
      1 observedGeneration ?int64
      2 lastScaleTime ?Time
      3 currentReplicas int32
      4 desiredReplicas int32 required always
      5 currentMetrics []MetricStatus always
      6 conditions []HorizontalPodAutoscalerCondition list=map(type) merge=type

    type MetricIdentifier
      1 name string required always
      2 selector ?meta/v1.LabelSelector

    type MetricSpec
      1 type string required always
      2 object ?ObjectMetricSource
      3 pods ?PodsMetricSource
      4 resource ?ResourceMetricSource
      7 containerResource ?ContainerResourceMetricSource
      5 external ?ExternalMetricSource

    type MetricStatus
      1 type string required always
      2 object ?ObjectMetricStatus
      3 pods ?PodsMetricStatus
      4 resource ?ResourceMetricStatus
      7 containerResource ?ContainerResourceMetricStatus
      5 external ?ExternalMetricStatus

    type MetricTarget
      1 type string required always
      2 value ?Quantity
      3 averageValue ?Quantity
      4 averageUtilization ?int32

    type MetricValueStatus
      1 value ?Quantity
      2 averageValue ?Quantity
      3 averageUtilization ?int32

    type ObjectMetricSource
      1 describedObject CrossVersionObjectReference required always
      2 target MetricTarget required always
      3 metric MetricIdentifier required always

    type ObjectMetricStatus
      1 metric MetricIdentifier required always
      2 current MetricValueStatus required always
      3 describedObject CrossVersionObjectReference required always

    type PodsMetricSource
      1 metric MetricIdentifier required always
      2 target MetricTarget required always

    type PodsMetricStatus
      1 metric MetricIdentifier required always
      2 current MetricValueStatus required always

    type ResourceMetricSource
      1 name string required always
      2 target MetricTarget required always

    type ResourceMetricStatus
      1 name string required always
      2 current MetricValueStatus required always
    """#
}
