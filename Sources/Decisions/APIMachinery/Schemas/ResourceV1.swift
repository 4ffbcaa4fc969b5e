extension SchemaTexts {
  /// The types and resources of resource/v1. SchemaParser.swift tells how to read it.
  static let resourceV1: StaticString = #"""
    package resource/v1 group=resource.k8s.io openapi=io.k8s.api.resource.v1

    resource deviceclasses DeviceClass verbs=* hash=Yk2PTc1Ybxk= served

    resource resourceclaims ResourceClaim namespaced verbs=* hash=wgAZaHcZxUg= served
      subresource status ResourceClaim get,patch,update

    resource resourceclaimtemplates ResourceClaimTemplate namespaced verbs=* hash=TuzjC49aUfM= served

    resource resourceslices ResourceSlice verbs=* hash=KsC072WgaEY= served
      selectable spec.nodeName,spec.driver

    type AllocatedDeviceStatus
      1 driver string required always
      2 pool string required always
      3 device string required always
      7 shareID ?string
      4 conditions []meta/v1.Condition always list=map(type)
      5 data ?RawExtension
      6 networkData ?NetworkDeviceData

    type AllocationResult
      1 devices DeviceAllocationResult
      3 nodeSelector ?core/v1.NodeSelector
      5 allocationTimestamp ?Time

    type CELDeviceSelector
      1 expression string required always

    type CapacityRequestPolicy
      1 default ?Quantity always
      3 validValues []Quantity
      4 validRange ?CapacityRequestPolicyRange

    type CapacityRequestPolicyRange
      1 min ?Quantity required
      2 max ?Quantity
      3 step ?Quantity

    type CapacityRequirements
      1 requests map[string]Quantity

    type Counter
      1 value Quantity required always

    type CounterSet
      1 name string required always
      2 counters map[string]Counter required

    type Device
      1 name string required always
      2 attributes map[string]DeviceAttribute
      3 capacity map[string]DeviceCapacity
      4 consumesCounters []DeviceCounterConsumption
      5 nodeName ?string
      6 nodeSelector ?core/v1.NodeSelector
      7 allNodes ?bool
      8 taints []DeviceTaint
      9 bindsToNode ?bool
      10 bindingConditions []string
      11 bindingFailureConditions []string
      12 allowMultipleAllocations ?bool
      13 nodeAllocatableResourceMappings map[string]NodeAllocatableResourceMapping

    type DeviceAllocationConfiguration
      1 source string required always enum=FromClaim|FromClass
      2 requests []string
      3 inline DeviceConfiguration

    type DeviceAllocationResult
      1 results []DeviceRequestAllocationResult
      2 config []DeviceAllocationConfiguration

    type DeviceAttribute
      2 int ?int64
      3 bool ?bool
      4 string ?string
      5 version ?string
      6 ints []int64
      7 bools []bool
      8 strings []string
      9 versions []string

    type DeviceCapacity
      1 value Quantity required always
      2 requestPolicy ?CapacityRequestPolicy

    type DeviceClaim
      1 requests []DeviceRequest always
      2 constraints []DeviceConstraint
      3 config []DeviceClaimConfiguration

    type DeviceClaimConfiguration
      1 requests []string
      2 inline DeviceConfiguration

    type DeviceClass kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec DeviceClassSpec required always

    type DeviceClassConfiguration
      1 inline DeviceConfiguration

    type DeviceClassList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []DeviceClass required always

    type DeviceClassSpec
      1 selectors []DeviceSelector
      2 config []DeviceClassConfiguration
      4 extendedResourceName ?string

    type DeviceConfiguration
      1 opaque ?OpaqueDeviceConfiguration

    type DeviceConstraint
      1 requests []string
      2 matchAttribute ?string
      3 distinctAttribute ?string

    type DeviceCounterConsumption
      1 counterSet string required always
      2 counters map[string]Counter required

    type DeviceRequest
      1 name string required always
      2 exactly ?ExactDeviceRequest
      3 firstAvailable []DeviceSubRequest

    type DeviceRequestAllocationResult
      1 request string required always
      2 driver string required always
      3 pool string required always
      4 device string required always
      5 adminAccess ?bool
      6 tolerations []DeviceToleration
      7 bindingConditions []string
      8 bindingFailureConditions []string
      9 shareID ?string
      10 consumedCapacity map[string]Quantity

    type DeviceSelector
      1 cel ?CELDeviceSelector

    type DeviceSubRequest
      1 name string required always
      2 deviceClassName string required always
      3 selectors []DeviceSelector
      4 allocationMode string enum=All|ExactCount
      5 count int64
      6 tolerations []DeviceToleration
      7 capacity ?CapacityRequirements

    type DeviceTaint
      1 key string required always
      2 value string
      3 effect string required always enum=NoExecute|NoSchedule|None
      4 timeAdded ?Time

    type DeviceToleration
      1 key string
      2 operator string default="Equal" fill="Equal" enum=Equal|Exists
      3 value string
      4 effect string enum=NoExecute|NoSchedule|None
      5 tolerationSeconds ?int64

    type ExactDeviceRequest
      1 deviceClassName string required always
      2 selectors []DeviceSelector
      3 allocationMode string enum=All|ExactCount
      4 count int64
      5 adminAccess ?bool
      6 tolerations []DeviceToleration
      7 capacity ?CapacityRequirements

    type NetworkDeviceData
      1 interfaceName string
      2 ips []string
      3 hardwareAddress string

    type NodeAllocatableResourceMapping
      1 capacityKey ?string
      2 allocationMultiplier ?Quantity

    type OpaqueDeviceConfiguration
      1 driver string required always
      2 parameters RawExtension required always

    type ResourceClaim kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ResourceClaimSpec required always
      3 status ResourceClaimStatus

    type ResourceClaimConsumerReference
      1 apiGroup string
      3 resource string required always
      4 name string required always
      5 uid string required always

    type ResourceClaimList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ResourceClaim required always

    type ResourceClaimSpec
      1 devices DeviceClaim always

    type ResourceClaimStatus
      1 allocation ?AllocationResult
      2 reservedFor []ResourceClaimConsumerReference list=map(uid) merge=uid
      4 devices []AllocatedDeviceStatus list=map(driver,device,pool,shareID)

    type ResourceClaimTemplate kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ResourceClaimTemplateSpec required always

    type ResourceClaimTemplateList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ResourceClaimTemplate required always

    type ResourceClaimTemplateSpec
      1 metadata meta/v1.ObjectMeta
      2 spec ResourceClaimSpec required always

    type ResourcePool
      1 name string required always
      2 generation int64 required always
      3 resourceSliceCount int64 required always

    type ResourceSlice kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ResourceSliceSpec required always

    type ResourceSliceList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ResourceSlice required always

    type ResourceSliceSpec
      1 driver string required always
      2 pool ResourcePool required always
      3 nodeName ?string
      4 nodeSelector ?core/v1.NodeSelector
      5 allNodes ?bool
      6 devices []Device
      7 perDeviceNodeSelection ?bool
      8 sharedCounters []CounterSet
    """#
}
