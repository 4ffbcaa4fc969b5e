extension SchemaTexts {
  /// The types and resources of batch/v1. SchemaParser.swift tells how to read it.
  static let batchV1: StaticString = #"""
    package batch/v1 group=batch openapi=io.k8s.api.batch.v1

    resource cronjobs CronJob namespaced verbs=* short=cj categories=all hash=sd5LIXh4Fjs= served
      subresource status CronJob get,patch,update

    resource jobs Job namespaced verbs=* categories=all hash=mudhfqk/qZY= served
      selectable status.successful
      subresource status Job get,patch,update

    type CronJob kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec CronJobSpec required
      3 status CronJobStatus

    type CronJobList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []CronJob required always

    type CronJobSpec
      1 schedule string required always
      8 timeZone ?string
      2 startingDeadlineSeconds ?int64
      3 concurrencyPolicy string fill="Allow" enum=Allow|Forbid|Replace
      4 suspend ?bool fill=false
      5 jobTemplate JobTemplateSpec required always
      6 successfulJobsHistoryLimit ?int32 fill=3
      7 failedJobsHistoryLimit ?int32 fill=1

    type CronJobStatus
      1 active []core/v1.ObjectReference
      4 lastScheduleTime ?Time
      5 lastSuccessfulTime ?Time

    type Job kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec JobSpec
      3 status JobStatus

    type JobCondition
      1 type string required always
      2 status string required always
      3 lastProbeTime Time
      4 lastTransitionTime Time
      5 reason string
      6 message string

    type JobList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Job required always

    type JobSpec
      1 parallelism ?int32
      2 completions ?int32
      3 activeDeadlineSeconds ?int64
      11 podFailurePolicy ?PodFailurePolicy
      16 successPolicy ?SuccessPolicy
      7 backoffLimit ?int32
      12 backoffLimitPerIndex ?int32
      13 maxFailedIndexes ?int32
      4 selector ?meta/v1.LabelSelector
      5 manualSelector ?bool
      6 template core/v1.PodTemplateSpec required always
      8 ttlSecondsAfterFinished ?int32
      9 completionMode ?string enum=Indexed|NonIndexed
      10 suspend ?bool
      14 podReplacementPolicy ?string enum=Failed|TerminatingOrFailed
      15 managedBy ?string

    type JobStatus
      1 conditions []JobCondition merge=type
      2 startTime ?Time
      3 completionTime ?Time
      4 active int32
      5 succeeded int32
      6 failed int32
      11 terminating ?int32
      7 completedIndexes string
      10 failedIndexes ?string
      8 uncountedTerminatedPods ?UncountedTerminatedPods
      9 ready ?int32

    type JobTemplateSpec
      1 metadata meta/v1.ObjectMeta
      2 spec JobSpec

    type PodFailurePolicy
      1 rules []PodFailurePolicyRule required always

    type PodFailurePolicyOnExitCodesRequirement
      1 containerName ?string
      2 operator string required always enum=In|NotIn
      3 values []int32 required always list=set

    type PodFailurePolicyOnPodConditionsPattern
      1 type string required always
      2 status string always fill="True"

    type PodFailurePolicyRule
      1 action string required always enum=Count|FailIndex|FailJob|Ignore
      2 onExitCodes ?PodFailurePolicyOnExitCodesRequirement
      3 onPodConditions []PodFailurePolicyOnPodConditionsPattern

    type SuccessPolicy
      1 rules []SuccessPolicyRule required always

    type SuccessPolicyRule
      1 succeededIndexes ?string
      2 succeededCount ?int32

    type UncountedTerminatedPods
      1 succeeded []string list=set
      2 failed []string list=set
    """#
}
