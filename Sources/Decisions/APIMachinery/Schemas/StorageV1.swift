extension SchemaTexts {
  /// The types and resources of storage/v1. SchemaParser.swift tells how to read it.
  static let storageV1: StaticString = #"""
    package storage/v1 group=storage.k8s.io openapi=io.k8s.api.storage.v1

    resource csidrivers CSIDriver verbs=* hash=hL6j/rwBV5w= served

    resource csinodes CSINode verbs=* hash=Pe62DkZtjuo= served

    resource csistoragecapacities CSIStorageCapacity namespaced verbs=* hash=xeVl+2Ly1kE= served

    resource storageclasses StorageClass verbs=* short=sc hash=K+m6uJwbjGY= served

    resource volumeattachments VolumeAttachment verbs=* hash=tJx/ezt6UDU= served
      subresource status VolumeAttachment get,patch,update

    resource volumeattributesclasses VolumeAttributesClass verbs=* short=vac hash=tIjydgKBC5w= served

    type CSIDriver kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec CSIDriverSpec required always

    type CSIDriverList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []CSIDriver required always

    type CSIDriverSpec
      1 attachRequired ?bool fill=true
      2 podInfoOnMount ?bool fill=false
      3 volumeLifecycleModes []string fill=["Persistent"] list=set
      4 storageCapacity ?bool fill=false
      5 fsGroupPolicy ?string fill="ReadWriteOnceWithFSType"
      6 tokenRequests []TokenRequest
      7 requiresRepublish ?bool fill=false
      8 seLinuxMount ?bool fill=false
      9 nodeAllocatableUpdatePeriodSeconds ?int64
      10 serviceAccountTokenInSecrets ?bool
      11 preventPodSchedulingIfMissing ?bool fill=false

    type CSINode kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec CSINodeSpec required always

    type CSINodeDriver
      1 name string required always
      2 nodeID string required always
      3 topologyKeys []string always
      4 allocatable ?VolumeNodeResources

    type CSINodeList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []CSINode required always

    type CSINodeSpec
      1 drivers []CSINodeDriver required always list=map(name) merge=name

    type CSIStorageCapacity kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 nodeTopology ?meta/v1.LabelSelector
      3 storageClassName string required always
      4 capacity ?Quantity
      5 maximumVolumeSize ?Quantity

    type CSIStorageCapacityList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []CSIStorageCapacity required always

    type StorageClass kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 provisioner string required always
      3 parameters map[string]string
      4 reclaimPolicy ?string fill="Delete" enum=Delete|Recycle|Retain
      5 mountOptions []string
      6 allowVolumeExpansion ?bool
      7 volumeBindingMode ?string fill="Immediate" enum=Immediate|WaitForFirstConsumer
      8 allowedTopologies []core/v1.TopologySelectorTerm

    type StorageClassList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []StorageClass required always

    type TokenRequest
      1 audience string required always
      2 expirationSeconds ?int64

    type VolumeAttachment kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec VolumeAttachmentSpec required always
      3 status VolumeAttachmentStatus

    type VolumeAttachmentList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []VolumeAttachment required always

    type VolumeAttachmentSource
      1 persistentVolumeName ?string
      2 inlineVolumeSpec ?core/v1.PersistentVolumeSpec

    type VolumeAttachmentSpec
      1 attacher string required always
      2 source VolumeAttachmentSource required always
      3 nodeName string required always

    type VolumeAttachmentStatus
      1 attached bool required always
      2 attachmentMetadata map[string]string
      3 attachError ?VolumeError
      4 detachError ?VolumeError

    type VolumeAttributesClass kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 driverName string required always
      3 parameters map[string]string

    type VolumeAttributesClassList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []VolumeAttributesClass required always

    type VolumeError
      1 time Time
      2 message string
      3 errorCode ?int32

    type VolumeNodeResources
      1 count ?int32
    """#
}
