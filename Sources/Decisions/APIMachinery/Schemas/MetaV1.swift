extension SchemaTexts {
  /// The types of meta/v1. SchemaParser.swift tells how to read it.
  static let metaV1: StaticString = #"""
    package meta/v1 group="" openapi=io.k8s.apimachinery.pkg.apis.meta.v1

    type APIGroup kind
      typemeta
      1 name string required always
      2 versions []GroupVersionForDiscovery required always
      3 preferredVersion GroupVersionForDiscovery
      4 serverAddressByClientCIDRs []ServerAddressByClientCIDR

    type APIGroupList kind
      typemeta
      1 groups []APIGroup required always

    type APIResource
      1 name string required always
      6 singularName string required always
      2 namespaced bool required always
      8 group string
      9 version string
      3 kind string required always
      4 verbs []string required always wrapped
      5 shortNames []string
      7 categories []string
      10 storageVersionHash string

    type APIResourceList kind
      typemeta
      1 groupVersion string required always
      2 resources []APIResource required always

    type APIVersions kind
      typemeta
      1 versions []string required always
      2 serverAddressByClientCIDRs []ServerAddressByClientCIDR required always

    type ApplyOptions
      typemeta
      1 dryRun []string
      2 force bool required always
      3 fieldManager string required always

    type Condition
      1 type string required always
      2 status string required always
      3 observedGeneration int64
      4 lastTransitionTime Time required always
      5 reason string required always
      6 message string required always

    type CreateOptions
      typemeta
      1 dryRun []string
      3 fieldManager string
      4 fieldValidation string

    type DeleteOptions kind
      typemeta
      1 gracePeriodSeconds ?int64
      2 preconditions ?Preconditions
      3 orphanDependents ?bool
      4 propagationPolicy ?string
      5 dryRun []string
      6 ignoreStoreReadErrorWithClusterBreakingPotential ?bool

    type FieldSelectorRequirement
      1 key string required always
      2 operator string required always
      3 values []string

    type GetOptions
      typemeta
      1 resourceVersion string

    type GroupKind
      1 group string required always
      2 kind string required always

    type GroupResource
      1 group string required always
      2 resource string required always

    type GroupVersion
      1 group string required always
      2 version string required always

    type GroupVersionForDiscovery
      1 groupVersion string required always
      2 version string required always

    type GroupVersionKind
      1 group string required always
      2 version string required always
      3 kind string required always

    type GroupVersionResource
      1 group string required always
      2 version string required always
      3 resource string required always

    type LabelSelector atomic
      1 matchLabels map[string]string
      2 matchExpressions []LabelSelectorRequirement

    type LabelSelectorRequirement
      1 key string required always
      2 operator string required always
      3 values []string

    type List
      typemeta
      1 metadata ListMeta
      2 items []RawExtension required always

    type ListMeta
      1 selfLink string
      2 resourceVersion string
      3 continue string
      4 remainingItemCount ?int64
      5 shardInfo ?ShardInfo

    type ListOptions
      typemeta
      1 labelSelector string
      2 fieldSelector string
      3 watch bool
      9 allowWatchBookmarks bool
      4 resourceVersion string
      10 resourceVersionMatch string
      5 timeoutSeconds ?int64
      7 limit int64
      8 continue string
      11 sendInitialEvents ?bool
      15 shardSelector string

    type ManagedFieldsEntry
      1 manager string
      2 operation string
      3 apiVersion string
      4 time ?Time
      6 fieldsType string
      7 fieldsV1 ?FieldsV1
      8 subresource string

    type ObjectMeta
      1 name string
      2 generateName string
      3 namespace string
      4 selfLink string
      5 uid string
      6 resourceVersion string
      7 generation int64
      8 creationTimestamp Time
      9 deletionTimestamp ?Time
      10 deletionGracePeriodSeconds ?int64
      11 labels map[string]string
      12 annotations map[string]string
      13 ownerReferences []OwnerReference list=map(uid) merge=uid
      14 finalizers []string list=set merge
      17 managedFields []ManagedFieldsEntry

    type OwnerReference atomic
      5 apiVersion string required always
      1 kind string required always
      3 name string required always
      4 uid string required always
      6 controller ?bool
      7 blockOwnerDeletion ?bool

    type PartialObjectMetadata
      typemeta
      1 metadata ObjectMeta

    type PartialObjectMetadataList
      typemeta
      1 metadata ListMeta
      2 items []PartialObjectMetadata required always

    type PatchOptions
      typemeta
      1 dryRun []string
      2 force ?bool
      3 fieldManager string
      4 fieldValidation string

    type Preconditions
      1 uid ?string
      2 resourceVersion ?string

    type RootPaths
      1 paths []string required always

    type ServerAddressByClientCIDR
      1 clientCIDR string required always
      2 serverAddress string required always

    type ShardInfo
      1 selector string required always

    type Status kind
      typemeta
      1 metadata ListMeta
      2 status string
      3 message string
      4 reason string
      5 details ?StatusDetails
      6 code int32

    type StatusCause
      1 reason string
      2 message string
      3 field string

    type StatusDetails
      1 name string
      2 group string
      3 kind string
      6 uid string
      4 causes []StatusCause
      5 retryAfterSeconds int32

    type Table
      typemeta
      0 metadata ListMeta
      0 columnDefinitions []TableColumnDefinition required always
      0 rows []TableRow required always

    type TableColumnDefinition
      0 name string required always
      0 type string required always
      0 format string required always
      0 description string required always
      0 priority int32 required always

    type TableOptions
      typemeta
      1 includeObject string

    type TableRow
      0 cells []any required always
      0 conditions []TableRowCondition
      0 object RawExtension

    type TableRowCondition
      0 type string required always
      0 status string required always
      0 reason string
      0 message string

    type UpdateOptions
      typemeta
      1 dryRun []string
      2 fieldManager string
      3 fieldValidation string

    type WatchEvent kind
      1 type string required always
      2 object RawExtension required always
    """#
}
