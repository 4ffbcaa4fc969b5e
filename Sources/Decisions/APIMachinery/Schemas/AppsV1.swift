extension SchemaTexts {
  /// The types and resources of apps/v1. SchemaParser.swift tells how to read it.
  static let appsV1: StaticString = #"""
    package apps/v1 group=apps openapi=io.k8s.api.apps.v1

    resource controllerrevisions ControllerRevision namespaced verbs=* hash=85nkx63pcBU= served

    resource daemonsets DaemonSet namespaced verbs=* short=ds categories=all hash=dd7pWHUlMKQ= served
      subresource status DaemonSet get,patch,update

    resource deployments Deployment namespaced verbs=* short=deploy categories=all hash=8aSe+NMegvE= served
      subresource scale autoscaling/v1.Scale get,patch,update
      subresource status Deployment get,patch,update

    resource replicasets ReplicaSet namespaced verbs=* short=rs categories=all hash=P1RzHs8/mWQ= served
      subresource scale autoscaling/v1.Scale get,patch,update
      subresource status ReplicaSet get,patch,update

    resource statefulsets StatefulSet namespaced verbs=* short=sts categories=all hash=H+vl74LkKdo= served
      subresource scale autoscaling/v1.Scale get,patch,update
      subresource status StatefulSet get,patch,update

    type ControllerRevision kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 data RawExtension
      3 revision int64 required always

    type ControllerRevisionList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ControllerRevision required always

    type DaemonSet kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec DaemonSetSpec
      3 status DaemonSetStatus

    type DaemonSetCondition
      1 type string required always
      2 status string required always
      3 lastTransitionTime Time
      4 reason string
      5 message string

    type DaemonSetList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []DaemonSet required always

    type DaemonSetSpec
      1 selector ?meta/v1.LabelSelector required always
      2 template core/v1.PodTemplateSpec required always
      3 updateStrategy DaemonSetUpdateStrategy
      4 minReadySeconds int32
      6 revisionHistoryLimit ?int32 fill=10

    type DaemonSetStatus
      1 currentNumberScheduled int32 required always
      2 numberMisscheduled int32 required always
      3 desiredNumberScheduled int32 required always
      4 numberReady int32 required always
      5 observedGeneration int64
      6 updatedNumberScheduled int32
      7 numberAvailable int32
      8 numberUnavailable int32
      9 collisionCount ?int32
      10 conditions []DaemonSetCondition list=map(type) merge=type

    type DaemonSetUpdateStrategy
      1 type string fill="RollingUpdate" enum=OnDelete|RollingUpdate
      2 rollingUpdate ?RollingUpdateDaemonSet

    type Deployment kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec DeploymentSpec
      3 status DeploymentStatus

    type DeploymentCondition
      1 type string required always
      2 status string required always
      6 lastUpdateTime Time
      7 lastTransitionTime Time
      4 reason string
      5 message string

    type DeploymentList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Deployment required always

    type DeploymentSpec
      1 replicas ?int32 fill=1
      2 selector ?meta/v1.LabelSelector required always
      3 template core/v1.PodTemplateSpec required always
      4 strategy DeploymentStrategy retainKeys
      5 minReadySeconds int32
      6 revisionHistoryLimit ?int32 fill=10
      7 paused bool
      9 progressDeadlineSeconds ?int32 fill=600

    type DeploymentStatus
      1 observedGeneration int64
      2 replicas int32
      3 updatedReplicas int32
      7 readyReplicas int32
      4 availableReplicas int32
      5 unavailableReplicas int32
      9 terminatingReplicas ?int32
      6 conditions []DeploymentCondition list=map(type) merge=type
      8 collisionCount ?int32

    type DeploymentStrategy
      1 type string fill="RollingUpdate" enum=Recreate|RollingUpdate
      2 rollingUpdate ?RollingUpdateDeployment

    type ReplicaSet kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ReplicaSetSpec
      3 status ReplicaSetStatus

    type ReplicaSetCondition
      1 type string required always
      2 status string required always
      3 lastTransitionTime Time
      4 reason string
      5 message string

    type ReplicaSetList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ReplicaSet required always

    type ReplicaSetSpec
      1 replicas ?int32 fill=1
      4 minReadySeconds int32
      2 selector ?meta/v1.LabelSelector required always
      3 template core/v1.PodTemplateSpec

    type ReplicaSetStatus
      1 replicas int32 required always
      2 fullyLabeledReplicas int32
      4 readyReplicas int32
      5 availableReplicas int32
      7 terminatingReplicas ?int32
      3 observedGeneration int64
      6 conditions []ReplicaSetCondition list=map(type) merge=type

    type RollingUpdateDaemonSet
      1 maxUnavailable ?IntOrString fill=1
      2 maxSurge ?IntOrString fill=0

    type RollingUpdateDeployment
      1 maxUnavailable ?IntOrString fill="25%"
      2 maxSurge ?IntOrString fill="25%"

    type RollingUpdateStatefulSetStrategy
      1 partition ?int32 fill=0
      2 maxUnavailable ?IntOrString

    type StatefulSet kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec StatefulSetSpec
      3 status StatefulSetStatus

    type StatefulSetCondition
      1 type string required always
      2 status string required always
      3 lastTransitionTime Time
      4 reason string
      5 message string

    type StatefulSetList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []StatefulSet required always

    type StatefulSetOrdinals
      1 start int32 always

    type StatefulSetPersistentVolumeClaimRetentionPolicy
      1 whenDeleted string fill="Retain"
      2 whenScaled string fill="Retain"

    type StatefulSetSpec
      1 replicas ?int32 fill=1
      2 selector ?meta/v1.LabelSelector required always
      3 template core/v1.PodTemplateSpec required always
      4 volumeClaimTemplates []core/v1.PersistentVolumeClaim
      5 serviceName string always
      6 podManagementPolicy string fill="OrderedReady" enum=OrderedReady|Parallel
      7 updateStrategy StatefulSetUpdateStrategy
      8 revisionHistoryLimit ?int32 fill=10
      9 minReadySeconds int32
      10 persistentVolumeClaimRetentionPolicy ?StatefulSetPersistentVolumeClaimRetentionPolicy fill={}
      11 ordinals ?StatefulSetOrdinals

    type StatefulSetStatus
      1 observedGeneration int64
      2 replicas int32 required always
      3 readyReplicas int32
      4 currentReplicas int32
      5 updatedReplicas int32
      6 currentRevision string
      7 updateRevision string
      9 collisionCount ?int32
      10 conditions []StatefulSetCondition list=map(type) merge=type
      11 availableReplicas int32 always

    type StatefulSetUpdateStrategy
      1 type string fill="RollingUpdate" enum=OnDelete|RollingUpdate
      2 rollingUpdate ?RollingUpdateStatefulSetStrategy
    """#
}
