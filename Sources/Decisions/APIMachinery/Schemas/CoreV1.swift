extension SchemaTexts {
  /// The types and resources of core/v1. SchemaParser.swift tells how to read it.
  static let coreV1: StaticString = #"""
    package core/v1 group="" openapi=io.k8s.api.core.v1

    resource bindings Binding namespaced verbs=create served

    resource componentstatuses ComponentStatus verbs=get,list short=cs served

    resource configmaps ConfigMap namespaced verbs=* short=cm hash=qFsyl6wFWjQ= served

    resource endpoints Endpoints namespaced verbs=* short=ep hash=fWeeMqaN/OA= served

    resource events Event namespaced verbs=* short=ev hash=r2yiGXH7wu8= served
      selectable involvedObject.kind,involvedObject.namespace,involvedObject.name,involvedObject.uid,involvedObject.apiVersion
      selectable involvedObject.resourceVersion,involvedObject.fieldPath,reason,reportingComponent,source,type

    resource limitranges LimitRange namespaced verbs=* short=limits hash=EBKMFVe6cwo= served

    resource namespaces Namespace verbs=create,delete,get,list,patch,update,watch short=ns hash=Q3oi5N2YM8M= served
      selectable status.phase
      subresource finalize Namespace update
      subresource status Namespace get,patch,update

    resource nodes Node verbs=* short=no hash=XwShjMxG9Fs= served
      selectable spec.unschedulable
      subresource proxy NodeProxyOptions create,delete,get,patch,update
      subresource status Node get,patch,update

    resource persistentvolumeclaims PersistentVolumeClaim namespaced verbs=* short=pvc hash=QWTyNDq0dC4= served
      subresource status PersistentVolumeClaim get,patch,update

    resource persistentvolumes PersistentVolume verbs=* short=pv hash=HN/zwEC+JgM= served
      subresource status PersistentVolume get,patch,update

    resource pods Pod namespaced verbs=* short=po categories=all hash=xPOwRZ+Yhw8= served
      selectable spec.nodeName,spec.restartPolicy,spec.schedulerName,spec.serviceAccountName,spec.hostNetwork,status.phase
      selectable status.podIP,status.podIPs,status.nominatedNodeName
      subresource attach PodAttachOptions create,get
      subresource binding Binding create
      subresource ephemeralcontainers Pod get,patch,update
      subresource eviction policy/v1.Eviction create
      subresource exec PodExecOptions create,get
      subresource log Pod get
      subresource portforward PodPortForwardOptions create,get
      subresource proxy PodProxyOptions create,delete,get,patch,update
      subresource resize Pod get,patch,update
      subresource status Pod get,patch,update

    resource podtemplates PodTemplate namespaced verbs=* hash=LIXB2x4IFpk= served

    resource replicationcontrollers ReplicationController namespaced verbs=* short=rc categories=all hash=Jond2If31h0= served
      selectable status.replicas
      subresource scale autoscaling/v1.Scale get,patch,update
      subresource status ReplicationController get,patch,update

    resource resourcequotas ResourceQuota namespaced verbs=* short=quota hash=8uhSgffRX6w= served
      subresource status ResourceQuota get,patch,update

    resource secrets Secret namespaced verbs=* hash=S6u1pOWzb84= served
      selectable type

    resource serviceaccounts ServiceAccount namespaced verbs=* short=sa hash=pbx9ZvyFpBE= served
      subresource token authentication/v1.TokenRequest create

    resource services Service namespaced verbs=* short=svc categories=all hash=0/CO1lhkEBI= served
      selectable spec.clusterIP,spec.type
      subresource proxy ServiceProxyOptions create,delete,get,patch,update
      subresource status Service get,patch,update

    type AWSElasticBlockStoreVolumeSource
      1 volumeID string required always
      2 fsType string
      3 partition int32
      4 readOnly bool

    type Affinity
      1 nodeAffinity ?NodeAffinity
      2 podAffinity ?PodAffinity
      3 podAntiAffinity ?PodAntiAffinity

    type AppArmorProfile
      1 type string required always enum=Localhost|RuntimeDefault|Unconfined
      2 localhostProfile ?string

    type AttachedVolume
      1 name string required always
      2 devicePath string required always

    type AzureDiskVolumeSource
      1 diskName string required always
      2 diskURI string required always
      3 cachingMode ?string default="ReadWrite" fill="ReadWrite" enum=None|ReadOnly|ReadWrite
      4 fsType ?string default="ext4" fill="ext4"
      5 readOnly ?bool default=false fill=false
      6 kind ?string default="Shared" fill="Shared" enum=Dedicated|Managed|Shared

    type AzureFilePersistentVolumeSource
      1 secretName string required always
      2 shareName string required always
      3 readOnly bool
      4 secretNamespace ?string always

    type AzureFileVolumeSource
      1 secretName string required always
      2 shareName string required always
      3 readOnly bool

    type Binding kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 target ObjectReference required always

    type CSIPersistentVolumeSource
      1 driver string required always
      2 volumeHandle string required always
      3 readOnly bool
      4 fsType string
      5 volumeAttributes map[string]string
      6 controllerPublishSecretRef ?SecretReference
      7 nodeStageSecretRef ?SecretReference
      8 nodePublishSecretRef ?SecretReference
      9 controllerExpandSecretRef ?SecretReference
      10 nodeExpandSecretRef ?SecretReference

    type CSIVolumeSource
      1 driver string required always
      2 readOnly ?bool
      3 fsType ?string
      4 volumeAttributes map[string]string
      5 nodePublishSecretRef ?LocalObjectReference

    type Capabilities
      1 add []string
      2 drop []string

    type CephFSPersistentVolumeSource
      1 monitors []string required always
      2 path string
      3 user string
      4 secretFile string
      5 secretRef ?SecretReference
      6 readOnly bool

    type CephFSVolumeSource
      1 monitors []string required always
      2 path string
      3 user string
      4 secretFile string
      5 secretRef ?LocalObjectReference
      6 readOnly bool

    type CinderPersistentVolumeSource
      1 volumeID string required always
      2 fsType string
      3 readOnly bool
      4 secretRef ?SecretReference

    type CinderVolumeSource
      1 volumeID string required always
      2 fsType string
      3 readOnly bool
      4 secretRef ?LocalObjectReference

    type ClientIPConfig
      1 timeoutSeconds ?int32

    type ClusterTrustBundleProjection
      1 name ?string
      2 signerName ?string
      3 labelSelector ?meta/v1.LabelSelector
      5 optional ?bool
      4 path string required always

    type ComponentCondition
      1 type string required always
      2 status string required always
      3 message string
      4 error string

    type ComponentStatus kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 conditions []ComponentCondition list=map(type) merge=type

    type ComponentStatusList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ComponentStatus required always

    type ConfigMap kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      4 immutable ?bool
      2 data map[string]string
      3 binaryData map[string]bytes

    type ConfigMapEnvSource
      1 inline LocalObjectReference
      2 optional ?bool

    type ConfigMapKeySelector atomic
      1 inline LocalObjectReference
      2 key string required always
      3 optional ?bool

    type ConfigMapList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ConfigMap required always

    type ConfigMapNodeConfigSource
      1 namespace string required always
      2 name string required always
      3 uid string
      4 resourceVersion string
      5 kubeletConfigKey string required always

    type ConfigMapProjection
      1 inline LocalObjectReference
      2 items []KeyToPath
      4 optional ?bool

    type ConfigMapVolumeSource
      1 inline LocalObjectReference
      2 items []KeyToPath
      3 defaultMode ?int32 fill=420
      4 optional ?bool

    type Container
      1 name string required always
      2 image string
      3 command []string
      4 args []string
      5 workingDir string
      6 ports []ContainerPort list=map(containerPort,protocol) merge=containerPort
      19 envFrom []EnvFromSource
      7 env []EnvVar list=map(name) merge=name
      8 resources ResourceRequirements
      23 resizePolicy []ContainerResizePolicy
      24 restartPolicy ?string
      25 restartPolicyRules []ContainerRestartRule
      9 volumeMounts []VolumeMount list=map(mountPath) merge=mountPath
      21 volumeDevices []VolumeDevice list=map(devicePath) merge=devicePath
      10 livenessProbe ?Probe
      11 readinessProbe ?Probe
      22 startupProbe ?Probe
      12 lifecycle ?Lifecycle
      13 terminationMessagePath string fill="/dev/termination-log"
      20 terminationMessagePolicy string fill="File" enum=FallbackToLogsOnError|File
      14 imagePullPolicy string enum=Always|IfNotPresent|Never
      15 securityContext ?SecurityContext
      16 stdin bool
      17 stdinOnce bool
      18 tty bool

    type ContainerExtendedResourceRequest
      1 containerName string required always
      2 resourceName string required always
      3 requestName string required always

    type ContainerImage
      1 names []string always
      2 sizeBytes int64

    type ContainerPort
      1 name string
      2 hostPort int32
      3 containerPort int32 required always
      4 protocol string default="TCP" fill="TCP" enum=SCTP|TCP|UDP
      5 hostIP string

    type ContainerResizePolicy
      1 resourceName string required always
      2 restartPolicy string required always

    type ContainerRestartRule
      1 action string required
      2 exitCodes ?ContainerRestartRuleOnExitCodes

    type ContainerRestartRuleOnExitCodes
      1 operator string required
      2 values []int32 list=set

    type ContainerState
      1 waiting ?ContainerStateWaiting
      2 running ?ContainerStateRunning
      3 terminated ?ContainerStateTerminated

    type ContainerStateRunning
      1 startedAt Time

    type ContainerStateTerminated
      1 exitCode int32 required always
      2 signal int32
      3 reason string
      4 message string
      5 startedAt Time
      6 finishedAt Time
      7 containerID string

    type ContainerStateWaiting
      1 reason string
      2 message string

    type ContainerStatus
      1 name string required always
      2 state ContainerState
      3 lastState ContainerState
      4 ready bool required always
      5 restartCount int32 required always
      6 image string required always
      7 imageID string required always
      8 containerID string
      9 started ?bool
      10 allocatedResources map[string]Quantity
      11 resources ?ResourceRequirements
      12 volumeMounts []VolumeMountStatus list=map(mountPath) merge=mountPath
      13 user ?ContainerUser
      14 allocatedResourcesStatus []ResourceStatus list=map(name) merge=name
      15 stopSignal ?string
        enum SIGABRT|SIGALRM|SIGBUS|SIGCHLD|SIGCLD|SIGCONT|SIGFPE|SIGHUP|SIGILL|SIGINT|SIGIO|SIGIOT|SIGKILL|SIGPIPE|SIGPOLL
        enum SIGPROF|SIGPWR|SIGQUIT|SIGRTMAX|SIGRTMAX-1|SIGRTMAX-10|SIGRTMAX-11|SIGRTMAX-12|SIGRTMAX-13|SIGRTMAX-14
        enum SIGRTMAX-2|SIGRTMAX-3|SIGRTMAX-4|SIGRTMAX-5|SIGRTMAX-6|SIGRTMAX-7|SIGRTMAX-8|SIGRTMAX-9|SIGRTMIN|SIGRTMIN+1
        enum SIGRTMIN+10|SIGRTMIN+11|SIGRTMIN+12|SIGRTMIN+13|SIGRTMIN+14|SIGRTMIN+15|SIGRTMIN+2|SIGRTMIN+3|SIGRTMIN+4
        enum SIGRTMIN+5|SIGRTMIN+6|SIGRTMIN+7|SIGRTMIN+8|SIGRTMIN+9|SIGSEGV|SIGSTKFLT|SIGSTOP|SIGSYS|SIGTERM|SIGTRAP|SIGTSTP
        enum SIGTTIN|SIGTTOU|SIGURG|SIGUSR1|SIGUSR2|SIGVTALRM|SIGWINCH|SIGXCPU|SIGXFSZ

    type ContainerUser
      1 linux ?LinuxContainerUser

    type DaemonEndpoint
      1 Port int32 required always

    type DownwardAPIProjection
      1 items []DownwardAPIVolumeFile

    type DownwardAPIVolumeFile
      1 path string required always
      2 fieldRef ?ObjectFieldSelector
      3 resourceFieldRef ?ResourceFieldSelector
      4 mode ?int32

    type DownwardAPIVolumeSource
      1 items []DownwardAPIVolumeFile
      2 defaultMode ?int32 fill=420

    type EmptyDirVolumeSource
      1 medium string
      2 sizeLimit ?Quantity

    type EndpointAddress atomic
      1 ip string required always
      3 hostname string
      4 nodeName ?string
      2 targetRef ?ObjectReference

    type EndpointPort atomic
      1 name string
      2 port int32 required always
      3 protocol string fill="TCP" enum=SCTP|TCP|UDP
      4 appProtocol ?string

    type EndpointSubset
      1 addresses []EndpointAddress
      2 notReadyAddresses []EndpointAddress
      3 ports []EndpointPort

    type Endpoints kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 subsets []EndpointSubset

    type EndpointsList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Endpoints required always

    type EnvFromSource
      1 prefix string
      2 configMapRef ?ConfigMapEnvSource
      3 secretRef ?SecretEnvSource

    type EnvVar
      1 name string required always
      2 value string
      3 valueFrom ?EnvVarSource

    type EnvVarSource
      1 fieldRef ?ObjectFieldSelector
      2 resourceFieldRef ?ResourceFieldSelector
      3 configMapKeyRef ?ConfigMapKeySelector
      4 secretKeyRef ?SecretKeySelector
      5 fileKeyRef ?FileKeySelector

    type EphemeralContainer
      1 inline EphemeralContainerCommon
      2 targetContainerName string

    type EphemeralContainerCommon
      1 name string required always
      2 image string
      3 command []string
      4 args []string
      5 workingDir string
      6 ports []ContainerPort list=map(containerPort,protocol) merge=containerPort
      19 envFrom []EnvFromSource
      7 env []EnvVar list=map(name) merge=name
      8 resources ResourceRequirements
      23 resizePolicy []ContainerResizePolicy
      24 restartPolicy ?string
      25 restartPolicyRules []ContainerRestartRule
      9 volumeMounts []VolumeMount list=map(mountPath) merge=mountPath
      21 volumeDevices []VolumeDevice list=map(devicePath) merge=devicePath
      10 livenessProbe ?Probe
      11 readinessProbe ?Probe
      22 startupProbe ?Probe
      12 lifecycle ?Lifecycle
      13 terminationMessagePath string fill="/dev/termination-log"
      20 terminationMessagePolicy string fill="File" enum=FallbackToLogsOnError|File
      14 imagePullPolicy string enum=Always|IfNotPresent|Never
      15 securityContext ?SecurityContext
      16 stdin bool
      17 stdinOnce bool
      18 tty bool

    type EphemeralVolumeSource
      1 volumeClaimTemplate ?PersistentVolumeClaimTemplate

    type Event kind
      typemeta
      1 metadata meta/v1.ObjectMeta required always
      2 involvedObject ObjectReference required always
      3 reason string
      4 message string
      5 source EventSource
      6 firstTimestamp Time
      7 lastTimestamp Time
      8 count int32
      9 type string
      10 eventTime MicroTime
      11 series ?EventSeries
      12 action string
      13 related ?ObjectReference
      14 reportingComponent string always
      15 reportingInstance string always

    type EventList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Event required always

    type EventSeries
      1 count int32
      2 lastObservedTime MicroTime

    type EventSource
      1 component string
      2 host string

    type ExecAction
      1 command []string

    type FCVolumeSource
      1 targetWWNs []string
      2 lun ?int32
      3 fsType string
      4 readOnly bool
      5 wwids []string

    type FileKeySelector atomic
      1 volumeName string required always
      2 path string required always
      3 key string required always
      4 optional ?bool default=false fill=false

    type FlexPersistentVolumeSource
      1 driver string required always
      2 fsType string
      3 secretRef ?SecretReference
      4 readOnly bool
      5 options map[string]string

    type FlexVolumeSource
      1 driver string required always
      2 fsType string
      3 secretRef ?LocalObjectReference
      4 readOnly bool
      5 options map[string]string

    type FlockerVolumeSource
      1 datasetName string
      2 datasetUUID string

    type GCEPersistentDiskVolumeSource
      1 pdName string required always
      2 fsType string
      3 partition int32
      4 readOnly bool

    type GRPCAction
      1 port int32 required always
      2 service ?string always default="" fill=""

    type GitRepoVolumeSource
      1 repository string required always
      2 revision string
      3 directory string

    type GlusterfsPersistentVolumeSource
      1 endpoints string required always
      2 path string required always
      3 readOnly bool
      4 endpointsNamespace ?string

    type GlusterfsVolumeSource
      1 endpoints string required always
      2 path string required always
      3 readOnly bool

    type HTTPGetAction
      1 path string fill="/"
      2 port IntOrString required always
      3 host string
      4 scheme string fill="HTTP" enum=HTTP|HTTPS
      5 httpHeaders []HTTPHeader

    type HTTPHeader
      1 name string required always
      2 value string required always

    type HostAlias
      1 ip string required always
      2 hostnames []string

    type HostIP
      1 ip string required always

    type HostPathVolumeSource
      1 path string required always
      2 type ?string fill="" enum=|BlockDevice|CharDevice|Directory|DirectoryOrCreate|File|FileOrCreate|Socket

    type ISCSIPersistentVolumeSource
      1 targetPortal string required always
      2 iqn string required always
      3 lun int32 required always
      4 iscsiInterface string default="default" fill="default"
      5 fsType string
      6 readOnly bool
      7 portals []string
      8 chapAuthDiscovery bool
      11 chapAuthSession bool
      10 secretRef ?SecretReference
      12 initiatorName ?string

    type ISCSIVolumeSource
      1 targetPortal string required always
      2 iqn string required always
      3 lun int32 required always
      4 iscsiInterface string default="default" fill="default"
      5 fsType string
      6 readOnly bool
      7 portals []string
      8 chapAuthDiscovery bool
      11 chapAuthSession bool
      10 secretRef ?LocalObjectReference
      12 initiatorName ?string

    type ImageVolumeSource
      1 reference string
      2 pullPolicy string enum=Always|IfNotPresent|Never

    type ImageVolumeStatus
      1 imageRef string required

    type KeyToPath
      1 key string required always
      2 path string required always
      3 mode ?int32

    type Lifecycle
      1 postStart ?LifecycleHandler
      2 preStop ?LifecycleHandler
      3 stopSignal ?string
        enum SIGABRT|SIGALRM|SIGBUS|SIGCHLD|SIGCLD|SIGCONT|SIGFPE|SIGHUP|SIGILL|SIGINT|SIGIO|SIGIOT|SIGKILL|SIGPIPE|SIGPOLL
        enum SIGPROF|SIGPWR|SIGQUIT|SIGRTMAX|SIGRTMAX-1|SIGRTMAX-10|SIGRTMAX-11|SIGRTMAX-12|SIGRTMAX-13|SIGRTMAX-14
        enum SIGRTMAX-2|SIGRTMAX-3|SIGRTMAX-4|SIGRTMAX-5|SIGRTMAX-6|SIGRTMAX-7|SIGRTMAX-8|SIGRTMAX-9|SIGRTMIN|SIGRTMIN+1
        enum SIGRTMIN+10|SIGRTMIN+11|SIGRTMIN+12|SIGRTMIN+13|SIGRTMIN+14|SIGRTMIN+15|SIGRTMIN+2|SIGRTMIN+3|SIGRTMIN+4
        enum SIGRTMIN+5|SIGRTMIN+6|SIGRTMIN+7|SIGRTMIN+8|SIGRTMIN+9|SIGSEGV|SIGSTKFLT|SIGSTOP|SIGSYS|SIGTERM|SIGTRAP|SIGTSTP
        enum SIGTTIN|SIGTTOU|SIGURG|SIGUSR1|SIGUSR2|SIGVTALRM|SIGWINCH|SIGXCPU|SIGXFSZ

    type LifecycleHandler
      1 exec ?ExecAction
      2 httpGet ?HTTPGetAction
      3 tcpSocket ?TCPSocketAction
      4 sleep ?SleepAction

    type LimitRange kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec LimitRangeSpec

    type LimitRangeItem
      1 type string required always
      2 max map[string]Quantity
      3 min map[string]Quantity
      4 default map[string]Quantity
      5 defaultRequest map[string]Quantity
      6 maxLimitRequestRatio map[string]Quantity

    type LimitRangeList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []LimitRange required always

    type LimitRangeSpec
      1 limits []LimitRangeItem required always

    type LinuxContainerUser
      1 uid int64 required always
      2 gid int64 required always
      3 supplementalGroups []int64

    type List
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []RawExtension required always

    type LoadBalancerIngress
      1 ip string
      2 hostname string
      3 ipMode ?string
      4 ports []PortStatus

    type LoadBalancerStatus
      1 ingress []LoadBalancerIngress

    type LocalObjectReference atomic
      1 name string default=""

    type LocalVolumeSource
      1 path string required always
      2 fsType ?string

    type ModifyVolumeStatus
      1 targetVolumeAttributesClassName string
      2 status string required always enum=InProgress|Infeasible|Pending

    type NFSVolumeSource
      1 server string required always
      2 path string required always
      3 readOnly bool

    type Namespace kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec NamespaceSpec
      3 status NamespaceStatus

    type NamespaceCondition
      1 type string required always
      2 status string required always
      4 lastTransitionTime Time
      5 reason string
      6 message string

    type NamespaceList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Namespace required always

    type NamespaceSpec
      1 finalizers []string

    type NamespaceStatus
      1 phase string fill="Active" enum=Active|Terminating
      2 conditions []NamespaceCondition list=map(type) merge=type

    type Node kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec NodeSpec
      3 status NodeStatus

    type NodeAddress
      1 type string required always
      2 address string required always

    type NodeAffinity
      1 requiredDuringSchedulingIgnoredDuringExecution ?NodeSelector
      2 preferredDuringSchedulingIgnoredDuringExecution []PreferredSchedulingTerm

    type NodeAllocatableResourceClaimStatus
      1 resourceClaimName string required always
      2 containers []string list=set
      3 resources map[string]Quantity required always

    type NodeCondition
      1 type string required always
      2 status string required always
      3 lastHeartbeatTime Time
      4 lastTransitionTime Time
      5 reason string
      6 message string

    type NodeConfigSource
      2 configMap ?ConfigMapNodeConfigSource

    type NodeConfigStatus
      1 assigned ?NodeConfigSource
      2 active ?NodeConfigSource
      3 lastKnownGood ?NodeConfigSource
      4 error string

    type NodeDaemonEndpoints
      1 kubeletEndpoint DaemonEndpoint

    type NodeFeatures
      1 supplementalGroupsPolicy ?bool

    type NodeList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Node required always

    type NodeProxyOptions
      typemeta
      1 path string

    type NodeRuntimeHandler
      1 name string always
      2 features ?NodeRuntimeHandlerFeatures

    type NodeRuntimeHandlerFeatures
      1 recursiveReadOnlyMounts ?bool
      2 userNamespaces ?bool

    type NodeSelector atomic
      1 nodeSelectorTerms []NodeSelectorTerm required always

    type NodeSelectorRequirement
      1 key string required always
      2 operator string required always enum=DoesNotExist|Exists|Gt|In|Lt|NotIn
      3 values []string

    type NodeSelectorTerm atomic
      1 matchExpressions []NodeSelectorRequirement
      2 matchFields []NodeSelectorRequirement

    type NodeSpec
      1 podCIDR string
      7 podCIDRs []string list=set merge
      3 providerID string
      4 unschedulable bool
      5 taints []Taint
      6 configSource ?NodeConfigSource
      2 externalID string

    type NodeStatus
      1 capacity map[string]Quantity
      2 allocatable map[string]Quantity
      3 phase string enum=Pending|Running|Terminated
      4 conditions []NodeCondition list=map(type) merge=type
      5 addresses []NodeAddress list=map(type) merge=type
      6 daemonEndpoints NodeDaemonEndpoints
      7 nodeInfo NodeSystemInfo
      8 images []ContainerImage
      9 volumesInUse []string
      10 volumesAttached []AttachedVolume
      11 config ?NodeConfigStatus
      12 runtimeHandlers []NodeRuntimeHandler
      13 features ?NodeFeatures
      14 declaredFeatures []string

    type NodeSwapStatus
      1 capacity ?int64

    type NodeSystemInfo
      1 machineID string required always
      2 systemUUID string required always
      3 bootID string required always
      4 kernelVersion string required always
      5 osImage string required always
      6 containerRuntimeVersion string required always
      7 kubeletVersion string required always
      8 kubeProxyVersion string required always
      9 operatingSystem string required always
      10 architecture string required always
      11 swap ?NodeSwapStatus

    type ObjectFieldSelector atomic
      1 apiVersion string fill="v1"
      2 fieldPath string required always

    type ObjectReference atomic
      1 kind string
      2 namespace string
      3 name string
      4 uid string
      5 apiVersion string
      6 resourceVersion string
      7 fieldPath string

    type PersistentVolume kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec PersistentVolumeSpec
      3 status PersistentVolumeStatus

    type PersistentVolumeClaim kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec PersistentVolumeClaimSpec
      3 status PersistentVolumeClaimStatus

    type PersistentVolumeClaimCondition
      1 type string required always
      2 status string required always
      3 lastProbeTime Time
      4 lastTransitionTime Time
      5 reason string
      6 message string

    type PersistentVolumeClaimList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []PersistentVolumeClaim required always

    type PersistentVolumeClaimSpec
      1 accessModes []string enum=ReadOnlyMany|ReadWriteMany|ReadWriteOnce|ReadWriteOncePod
      4 selector ?meta/v1.LabelSelector
      2 resources VolumeResourceRequirements
      3 volumeName string
      5 storageClassName ?string
      6 volumeMode ?string fill="Filesystem" enum=Block|Filesystem
      7 dataSource ?TypedLocalObjectReference
      8 dataSourceRef ?TypedObjectReference
      9 volumeAttributesClassName ?string

    type PersistentVolumeClaimStatus
      1 phase string fill="Pending" enum=Bound|Lost|Pending
      2 accessModes []string enum=ReadOnlyMany|ReadWriteMany|ReadWriteOnce|ReadWriteOncePod
      3 capacity map[string]Quantity
      4 conditions []PersistentVolumeClaimCondition list=map(type) merge=type
      5 allocatedResources map[string]Quantity
      7 allocatedResourceStatuses map[string]string granular
        enum ControllerResizeInProgress|ControllerResizeInfeasible|NodeResizeInProgress|NodeResizeInfeasible
        enum NodeResizePending
      8 currentVolumeAttributesClassName ?string
      9 modifyVolumeStatus ?ModifyVolumeStatus

    type PersistentVolumeClaimTemplate
      1 metadata meta/v1.ObjectMeta
      2 spec PersistentVolumeClaimSpec required always

    type PersistentVolumeClaimVolumeSource
      1 claimName string required always
      2 readOnly bool

    type PersistentVolumeList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []PersistentVolume required always

    type PersistentVolumeSource
      1 gcePersistentDisk ?GCEPersistentDiskVolumeSource
      2 awsElasticBlockStore ?AWSElasticBlockStoreVolumeSource
      3 hostPath ?HostPathVolumeSource
      4 glusterfs ?GlusterfsPersistentVolumeSource
      5 nfs ?NFSVolumeSource
      6 rbd ?RBDPersistentVolumeSource
      7 iscsi ?ISCSIPersistentVolumeSource
      8 cinder ?CinderPersistentVolumeSource
      9 cephfs ?CephFSPersistentVolumeSource
      10 fc ?FCVolumeSource
      11 flocker ?FlockerVolumeSource
      12 flexVolume ?FlexPersistentVolumeSource
      13 azureFile ?AzureFilePersistentVolumeSource
      14 vsphereVolume ?VsphereVirtualDiskVolumeSource
      15 quobyte ?QuobyteVolumeSource
      16 azureDisk ?AzureDiskVolumeSource
      17 photonPersistentDisk ?PhotonPersistentDiskVolumeSource
      18 portworxVolume ?PortworxVolumeSource
      19 scaleIO ?ScaleIOPersistentVolumeSource
      20 local ?LocalVolumeSource
      21 storageos ?StorageOSPersistentVolumeSource
      22 csi ?CSIPersistentVolumeSource

    type PersistentVolumeSpec
      1 capacity map[string]Quantity
      2 inline PersistentVolumeSource
      3 accessModes []string enum=ReadOnlyMany|ReadWriteMany|ReadWriteOnce|ReadWriteOncePod
      4 claimRef ?ObjectReference granular
      5 persistentVolumeReclaimPolicy string fill="Retain" enum=Delete|Recycle|Retain
      6 storageClassName string
      7 mountOptions []string
      8 volumeMode ?string fill="Filesystem" enum=Block|Filesystem
      9 nodeAffinity ?VolumeNodeAffinity
      10 volumeAttributesClassName ?string

    type PersistentVolumeStatus
      1 phase string fill="Pending" enum=Available|Bound|Failed|Pending|Released
      2 message string
      3 reason string
      4 lastPhaseTransitionTime ?Time

    type PhotonPersistentDiskVolumeSource
      1 pdID string required always
      2 fsType string

    type Pod kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec PodSpec
      3 status PodStatus

    type PodAffinity
      1 requiredDuringSchedulingIgnoredDuringExecution []PodAffinityTerm
      2 preferredDuringSchedulingIgnoredDuringExecution []WeightedPodAffinityTerm

    type PodAffinityTerm
      1 labelSelector ?meta/v1.LabelSelector
      2 namespaces []string
      3 topologyKey string required always
      4 namespaceSelector ?meta/v1.LabelSelector
      5 matchLabelKeys []string
      6 mismatchLabelKeys []string

    type PodAntiAffinity
      1 requiredDuringSchedulingIgnoredDuringExecution []PodAffinityTerm
      2 preferredDuringSchedulingIgnoredDuringExecution []WeightedPodAffinityTerm

    type PodAttachOptions
      typemeta
      1 stdin bool
      2 stdout bool
      3 stderr bool
      4 tty bool
      5 container string

    type PodCertificateProjection
      1 signerName string required
      2 keyType string required
      3 maxExpirationSeconds ?int32
      4 credentialBundlePath string
      5 keyPath string
      6 certificateChainPath string
      7 userAnnotations map[string]string

    type PodCondition
      1 type string required always
      7 observedGeneration int64
      2 status string required always
      3 lastProbeTime Time
      4 lastTransitionTime Time
      5 reason string
      6 message string

    type PodDNSConfig
      1 nameservers []string
      2 searches []string
      3 options []PodDNSConfigOption

    type PodDNSConfigOption
      1 name string
      2 value ?string

    type PodExecOptions
      typemeta
      1 stdin bool
      2 stdout bool
      3 stderr bool
      4 tty bool
      5 container string
      6 command []string required always

    type PodExtendedResourceClaimStatus
      1 requestMappings []ContainerExtendedResourceRequest required always
      2 resourceClaimName string required always

    type PodIP
      1 ip string required always

    type PodList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Pod required always

    type PodLogOptions
      typemeta
      1 container string
      2 follow bool
      3 previous bool
      4 sinceSeconds ?int64
      5 sinceTime ?Time
      6 timestamps bool
      7 tailLines ?int64
      8 limitBytes ?int64
      9 insecureSkipTLSVerifyBackend bool
      10 stream ?string

    type PodOS
      1 name string required always

    type PodPortForwardOptions
      typemeta
      1 ports []int32

    type PodProxyOptions
      typemeta
      1 path string

    type PodReadinessGate
      1 conditionType string required always

    type PodResourceClaim
      1 name string required always
      3 resourceClaimName ?string
      4 resourceClaimTemplateName ?string

    type PodResourceClaimStatus
      1 name string required always
      2 resourceClaimName ?string

    type PodSchedulingGate
      1 name string required always

    type PodSchedulingGroup
      1 podGroupName ?string

    type PodSecurityContext
      1 seLinuxOptions ?SELinuxOptions
      8 windowsOptions ?WindowsSecurityContextOptions
      2 runAsUser ?int64
      6 runAsGroup ?int64
      3 runAsNonRoot ?bool
      4 supplementalGroups []int64
      12 supplementalGroupsPolicy ?string enum=Merge|Strict
      5 fsGroup ?int64
      7 sysctls []Sysctl
      9 fsGroupChangePolicy ?string enum=Always|OnRootMismatch
      10 seccompProfile ?SeccompProfile
      11 appArmorProfile ?AppArmorProfile
      13 seLinuxChangePolicy ?string

    type PodSpec
      1 volumes []Volume list=map(name) retainKeys merge=name
      20 initContainers []Container list=map(name) merge=name
      2 containers []Container required always list=map(name) merge=name
      34 ephemeralContainers []EphemeralContainer list=map(name) merge=name
      3 restartPolicy string fill="Always" enum=Always|Never|OnFailure
      4 terminationGracePeriodSeconds ?int64 fill=30
      5 activeDeadlineSeconds ?int64
      6 dnsPolicy string fill="ClusterFirst" enum=ClusterFirst|ClusterFirstWithHostNet|Default|None
      7 nodeSelector map[string]string atomic
      8 serviceAccountName string
      9 serviceAccount string
      21 automountServiceAccountToken ?bool
      10 nodeName string
      11 hostNetwork bool
      12 hostPID bool
      13 hostIPC bool
      27 shareProcessNamespace ?bool
      14 securityContext ?PodSecurityContext fill={}
      15 imagePullSecrets []LocalObjectReference list=map(name) merge=name
      16 hostname string
      17 subdomain string
      18 affinity ?Affinity
      19 schedulerName string fill="default-scheduler"
      22 tolerations []Toleration
      23 hostAliases []HostAlias list=map(ip) merge=ip
      24 priorityClassName string
      25 priority ?int32
      26 dnsConfig ?PodDNSConfig
      28 readinessGates []PodReadinessGate
      29 runtimeClassName ?string
      30 enableServiceLinks ?bool
      31 preemptionPolicy ?string enum=Never|PreemptLowerPriority
      32 overhead map[string]Quantity
      33 topologySpreadConstraints []TopologySpreadConstraint list=map(topologyKey,whenUnsatisfiable) merge=topologyKey
      35 setHostnameAsFQDN ?bool
      36 os ?PodOS
      37 hostUsers ?bool
      38 schedulingGates []PodSchedulingGate list=map(name) merge=name
      39 resourceClaims []PodResourceClaim list=map(name) retainKeys merge=name
      40 resources ?ResourceRequirements
      41 hostnameOverride ?string
      43 schedulingGroup ?PodSchedulingGroup

    type PodStatus
      17 observedGeneration int64
      1 phase string enum=Failed|Pending|Running|Succeeded|Unknown
      2 conditions []PodCondition list=map(type) merge=type
      3 message string
      4 reason string
      11 nominatedNodeName string
      5 hostIP string
      16 hostIPs []HostIP merge=ip
      6 podIP string
      12 podIPs []PodIP list=map(ip) merge=ip
      7 startTime ?Time
      10 initContainerStatuses []ContainerStatus
      8 containerStatuses []ContainerStatus
      9 qosClass string enum=BestEffort|Burstable|Guaranteed
      13 ephemeralContainerStatuses []ContainerStatus
      14 resize string
      15 resourceClaimStatuses []PodResourceClaimStatus list=map(name) retainKeys merge=name
      18 extendedResourceClaimStatus ?PodExtendedResourceClaimStatus
      19 allocatedResources map[string]Quantity
      20 resources ?ResourceRequirements
      21 nodeAllocatableResourceClaimStatuses []NodeAllocatableResourceClaimStatus

    type PodStatusResult
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 status PodStatus

    type PodTemplate kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 template PodTemplateSpec

    type PodTemplateList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []PodTemplate required always

    type PodTemplateSpec
      1 metadata meta/v1.ObjectMeta
      2 spec PodSpec

    type PortStatus
      1 port int32 required always
      2 protocol string required always enum=SCTP|TCP|UDP
      3 error ?string

    type PortworxVolumeSource
      1 volumeID string required always
      2 fsType string
      3 readOnly bool

    type PreferredSchedulingTerm
      1 weight int32 required always
      2 preference NodeSelectorTerm required always

    type Probe
      1 inline ProbeHandler
      2 initialDelaySeconds int32
      3 timeoutSeconds int32 fill=1
      4 periodSeconds int32 fill=10
      5 successThreshold int32 fill=1
      6 failureThreshold int32 fill=3
      7 terminationGracePeriodSeconds ?int64

    type ProbeHandler
      1 exec ?ExecAction
      2 httpGet ?HTTPGetAction
      3 tcpSocket ?TCPSocketAction
      4 grpc ?GRPCAction

    type ProjectedVolumeSource
      1 sources []VolumeProjection always
      2 defaultMode ?int32 fill=420

    type QuobyteVolumeSource
      1 registry string required always
      2 volume string required always
      3 readOnly bool
      4 user string
      5 group string
      6 tenant string

    type RBDPersistentVolumeSource
      1 monitors []string required always
      2 image string required always
      3 fsType string
      4 pool string default="rbd" fill="rbd"
      5 user string default="admin" fill="admin"
      6 keyring string default="/etc/ceph/keyring" fill="/etc/ceph/keyring"
      7 secretRef ?SecretReference
      8 readOnly bool

    type RBDVolumeSource
      1 monitors []string required always
      2 image string required always
      3 fsType string
      4 pool string default="rbd" fill="rbd"
      5 user string default="admin" fill="admin"
      6 keyring string default="/etc/ceph/keyring" fill="/etc/ceph/keyring"
      7 secretRef ?LocalObjectReference
      8 readOnly bool

    type RangeAllocation
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 range string required always
      3 data bytes required always

    type ReplicationController kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ReplicationControllerSpec
      3 status ReplicationControllerStatus

    type ReplicationControllerCondition
      1 type string required always
      2 status string required always
      3 lastTransitionTime Time
      4 reason string
      5 message string

    type ReplicationControllerList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ReplicationController required always

    type ReplicationControllerSpec
      1 replicas ?int32 default=1 fill=1
      4 minReadySeconds int32 default=0
      2 selector map[string]string atomic
      3 template ?PodTemplateSpec

    type ReplicationControllerStatus
      1 replicas int32 required always
      2 fullyLabeledReplicas int32
      4 readyReplicas int32
      5 availableReplicas int32
      3 observedGeneration int64
      6 conditions []ReplicationControllerCondition list=map(type) merge=type

    type ResourceClaim
      1 name string required always
      2 request string

    type ResourceFieldSelector atomic
      1 containerName string
      2 resource string required always
      3 divisor Quantity

    type ResourceHealth
      1 resourceID string required always
      2 health string
      6 message ?string

    type ResourceQuota kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ResourceQuotaSpec
      3 status ResourceQuotaStatus

    type ResourceQuotaList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ResourceQuota required always

    type ResourceQuotaSpec
      1 hard map[string]Quantity
      2 scopes []string
        enum BestEffort|CrossNamespacePodAffinity|NotBestEffort|NotTerminating|PriorityClass|Terminating
        enum VolumeAttributesClass
      3 scopeSelector ?ScopeSelector

    type ResourceQuotaStatus
      1 hard map[string]Quantity
      2 used map[string]Quantity

    type ResourceRequirements
      1 limits map[string]Quantity
      2 requests map[string]Quantity
      3 claims []ResourceClaim list=map(name)

    type ResourceStatus
      1 name string required always
      2 resources []ResourceHealth list=map(resourceID)

    type SELinuxOptions
      1 user string
      2 role string
      3 type string
      4 level string

    type ScaleIOPersistentVolumeSource
      1 gateway string required always
      2 system string required always
      3 secretRef ?SecretReference required always
      4 sslEnabled bool
      5 protectionDomain string
      6 storagePool string
      7 storageMode string default="ThinProvisioned" fill="ThinProvisioned"
      8 volumeName string
      9 fsType string default="xfs" fill="xfs"
      10 readOnly bool

    type ScaleIOVolumeSource
      1 gateway string required always
      2 system string required always
      3 secretRef ?LocalObjectReference required always
      4 sslEnabled bool
      5 protectionDomain string
      6 storagePool string
      7 storageMode string default="ThinProvisioned" fill="ThinProvisioned"
      8 volumeName string
      9 fsType string default="xfs" fill="xfs"
      10 readOnly bool

    type ScopeSelector atomic
      1 matchExpressions []ScopedResourceSelectorRequirement

    type ScopedResourceSelectorRequirement
      1 scopeName string required always
        enum BestEffort|CrossNamespacePodAffinity|NotBestEffort|NotTerminating|PriorityClass|Terminating
        enum VolumeAttributesClass
      2 operator string required always enum=DoesNotExist|Exists|In|NotIn
      3 values []string

    type SeccompProfile
      1 type string required always enum=Localhost|RuntimeDefault|Unconfined
      2 localhostProfile ?string

    type Secret kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      5 immutable ?bool
      2 data map[string]bytes
      4 stringData map[string]string
      3 type string fill="Opaque"

    type SecretEnvSource
      1 inline LocalObjectReference
      2 optional ?bool

    type SecretKeySelector atomic
      1 inline LocalObjectReference
      2 key string required always
      3 optional ?bool

    type SecretList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Secret required always

    type SecretProjection
      1 inline LocalObjectReference
      2 items []KeyToPath
      4 optional ?bool

    type SecretReference atomic
      1 name string
      2 namespace string

    type SecretVolumeSource
      1 secretName string
      2 items []KeyToPath
      3 defaultMode ?int32 fill=420
      4 optional ?bool

    type SecurityContext
      1 capabilities ?Capabilities
      2 privileged ?bool
      3 seLinuxOptions ?SELinuxOptions
      10 windowsOptions ?WindowsSecurityContextOptions
      4 runAsUser ?int64
      8 runAsGroup ?int64
      5 runAsNonRoot ?bool
      6 readOnlyRootFilesystem ?bool
      7 allowPrivilegeEscalation ?bool
      9 procMount ?string enum=Default|Unmasked
      11 seccompProfile ?SeccompProfile
      12 appArmorProfile ?AppArmorProfile

    type SerializedReference
      typemeta
      1 reference ObjectReference

    type Service kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ServiceSpec
      3 status ServiceStatus

    type ServiceAccount kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 secrets []ObjectReference list=map(name) merge=name
      3 imagePullSecrets []LocalObjectReference
      4 automountServiceAccountToken ?bool

    type ServiceAccountList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ServiceAccount required always

    type ServiceAccountTokenProjection
      1 audience string
      2 expirationSeconds ?int64 fill=3600
      3 path string required always

    type ServiceList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Service required always

    type ServicePort
      1 name string
      2 protocol string default="TCP" fill="TCP" enum=SCTP|TCP|UDP
      6 appProtocol ?string
      3 port int32 required always
      4 targetPort IntOrString
      5 nodePort int32

    type ServiceProxyOptions
      typemeta
      1 path string

    type ServiceSpec
      1 ports []ServicePort list=map(port,protocol) merge=port
      2 selector map[string]string atomic
      3 clusterIP string
      18 clusterIPs []string
      4 type string fill="ClusterIP" enum=ClusterIP|ExternalName|LoadBalancer|NodePort
      5 externalIPs []string
      7 sessionAffinity string fill="None" enum=ClientIP|None
      8 loadBalancerIP string
      9 loadBalancerSourceRanges []string
      10 externalName string
      11 externalTrafficPolicy string enum=Cluster|Local
      12 healthCheckNodePort int32
      13 publishNotReadyAddresses bool
      14 sessionAffinityConfig ?SessionAffinityConfig
      19 ipFamilies []string enum=|IPv4|IPv6
      17 ipFamilyPolicy ?string enum=PreferDualStack|RequireDualStack|SingleStack
      20 allocateLoadBalancerNodePorts ?bool
      21 loadBalancerClass ?string
      22 internalTrafficPolicy ?string enum=Cluster|Local
      23 trafficDistribution ?string

    type ServiceStatus
      1 loadBalancer LoadBalancerStatus
      2 conditions []meta/v1.Condition list=map(type) merge=type

    type SessionAffinityConfig
      1 clientIP ?ClientIPConfig

    type SleepAction
      1 seconds int64 required always

    type StorageOSPersistentVolumeSource
      1 volumeName string
      2 volumeNamespace string
      3 fsType string
      4 readOnly bool
      5 secretRef ?ObjectReference

    type StorageOSVolumeSource
      1 volumeName string
      2 volumeNamespace string
      3 fsType string
      4 readOnly bool
      5 secretRef ?LocalObjectReference

    type Sysctl
      1 name string required always
      2 value string required always

    type TCPSocketAction
      1 port IntOrString required always
      2 host string

    type Taint
      1 key string required always
      2 value string
      3 effect string required always enum=NoExecute|NoSchedule|PreferNoSchedule
      4 timeAdded ?Time

    type Toleration
      1 key string
      2 operator string enum=Equal|Exists|Gt|Lt
      3 value string
      4 effect string enum=NoExecute|NoSchedule|PreferNoSchedule
      5 tolerationSeconds ?int64

    type TopologySelectorLabelRequirement
      1 key string required always
      2 values []string required always

    type TopologySelectorTerm atomic
      1 matchLabelExpressions []TopologySelectorLabelRequirement

    type TopologySpreadConstraint
      1 maxSkew int32 required always
      2 topologyKey string required always
      3 whenUnsatisfiable string required always enum=DoNotSchedule|ScheduleAnyway
      4 labelSelector ?meta/v1.LabelSelector
      5 minDomains ?int32
      6 nodeAffinityPolicy ?string enum=Honor|Ignore
      7 nodeTaintsPolicy ?string enum=Honor|Ignore
      8 matchLabelKeys []string

    type TypedLocalObjectReference atomic
      1 apiGroup ?string always
      2 kind string required always
      3 name string required always

    type TypedObjectReference
      1 apiGroup ?string always
      2 kind string required always
      3 name string required always
      4 namespace ?string

    type Volume
      1 name string required always
      2 inline VolumeSource

    type VolumeDevice
      1 name string required always
      2 devicePath string required always

    type VolumeMount
      1 name string required always
      2 readOnly bool
      7 recursiveReadOnly ?string
      3 mountPath string required always
      4 subPath string
      5 mountPropagation ?string enum=Bidirectional|HostToContainer|None
      6 subPathExpr string

    type VolumeMountStatus
      1 name string required always
      2 mountPath string required always
      3 readOnly bool
      4 recursiveReadOnly ?string
      5 volumeStatus ?VolumeStatus

    type VolumeNodeAffinity
      1 required ?NodeSelector

    type VolumeProjection
      1 secret ?SecretProjection
      2 downwardAPI ?DownwardAPIProjection
      3 configMap ?ConfigMapProjection
      4 serviceAccountToken ?ServiceAccountTokenProjection
      5 clusterTrustBundle ?ClusterTrustBundleProjection
      6 podCertificate ?PodCertificateProjection

    type VolumeResourceRequirements
      1 limits map[string]Quantity
      2 requests map[string]Quantity

    type VolumeSource
      1 hostPath ?HostPathVolumeSource
      2 emptyDir ?EmptyDirVolumeSource
      3 gcePersistentDisk ?GCEPersistentDiskVolumeSource
      4 awsElasticBlockStore ?AWSElasticBlockStoreVolumeSource
      5 gitRepo ?GitRepoVolumeSource
      6 secret ?SecretVolumeSource
      7 nfs ?NFSVolumeSource
      8 iscsi ?ISCSIVolumeSource
      9 glusterfs ?GlusterfsVolumeSource
      10 persistentVolumeClaim ?PersistentVolumeClaimVolumeSource
      11 rbd ?RBDVolumeSource
      12 flexVolume ?FlexVolumeSource
      13 cinder ?CinderVolumeSource
      14 cephfs ?CephFSVolumeSource
      15 flocker ?FlockerVolumeSource
      16 downwardAPI ?DownwardAPIVolumeSource
      17 fc ?FCVolumeSource
      18 azureFile ?AzureFileVolumeSource
      19 configMap ?ConfigMapVolumeSource
      20 vsphereVolume ?VsphereVirtualDiskVolumeSource
      21 quobyte ?QuobyteVolumeSource
      22 azureDisk ?AzureDiskVolumeSource
      23 photonPersistentDisk ?PhotonPersistentDiskVolumeSource
      26 projected ?ProjectedVolumeSource
      24 portworxVolume ?PortworxVolumeSource
      25 scaleIO ?ScaleIOVolumeSource
      27 storageos ?StorageOSVolumeSource
      28 csi ?CSIVolumeSource
      29 ephemeral ?EphemeralVolumeSource
      30 image ?ImageVolumeSource

    type VolumeStatus
      1 image ?ImageVolumeStatus

    type VsphereVirtualDiskVolumeSource
      1 volumePath string required always
      2 fsType string
      3 storagePolicyName string
      4 storagePolicyID string

    type WeightedPodAffinityTerm
      1 weight int32 required always
      2 podAffinityTerm PodAffinityTerm required always

    type WindowsSecurityContextOptions
      1 gmsaCredentialSpecName ?string
      2 gmsaCredentialSpec ?string
      3 runAsUserName ?string
      4 hostProcess ?bool
    """#
}
