// swift-tools-version: 6.2
import PackageDescription

// Layers import downwards only; each target is one room of docs/ARCHITECTURE.md, and the compiler keeps the walls.

let swiftSettings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny")
]

/// A Swift target in its layer's folder.
func room(_ layer: String, _ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(
    name: name, dependencies: dependencies, path: "Sources/\(layer)/\(name)",
    exclude: [], swiftSettings: swiftSettings)
}

/// The tests that sit beside a target.
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, path: "Tests/\(name)", swiftSettings: swiftSettings)
}

let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioFoundationEssentials: Target.Dependency = .product(
  name: "NIOFoundationEssentialsCompat", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let grdbSQLite: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let cSupport: [Target] = [
  .target(name: "CLinux", path: "CSupport/CLinux"),
  .target(name: "CZlib", path: "CSupport/CZlib", linkerSettings: [.linkedLibrary("z")]),
  .target(name: "CArchive", path: "CSupport/CArchive", linkerSettings: [.linkedLibrary("archive")]),
  .target(name: "CSeccomp", path: "CSupport/CSeccomp", linkerSettings: [.linkedLibrary("seccomp")]),
  .target(name: "CSimulation", path: "CSupport/CSimulation"),
]

let model: [Target] = [
  room("Model", "JSONCodec"),
  room("Model", "KubernetesAPI", ["JSONCodec"]),
  room("Model", "OCISpec", ["JSONCodec"]),
  room("Model", "NFTables"),
]

let decisions: [Target] = [
  room("Decisions", "CEL", ["JSONCodec"]),
  room("Decisions", "PodLifecycle", ["KubernetesAPI", "JSONCodec"]),
  room("Decisions", "Scheduling", ["KubernetesAPI", "JSONCodec"]),
  room("Decisions", "Reconcilers", ["KubernetesAPI", "JSONCodec"]),
  room("Decisions", "ServiceRules", ["NFTables", "KubernetesAPI", "JSONCodec"]),
  room("Decisions", "PolicyRules", ["ServiceRules", "NFTables", "KubernetesAPI", "JSONCodec"]),
  room("Decisions", "APIMachinery", ["KubernetesAPI", "JSONCodec"]),
  room("Decisions", "Admission", ["KubernetesAPI", "JSONCodec"]),
  room("Decisions", "Authorization", ["KubernetesAPI", "JSONCodec"]),
  room("Decisions", "FlowControl", ["JSONCodec"]),
  room("Decisions", "AdmissionPolicies", ["CEL", "APIMachinery", "KubernetesAPI", "JSONCodec"]),
]

let kernel: [Target] = [
  room("Kernel", "LinuxKernel", ["CLinux", systemPackage]),
  room("Kernel", "CgroupV2", ["LinuxKernel", "CLinux", systemPackage]),
  room("Kernel", "Netlink", ["LinuxKernel", "CLinux", "NFTables", systemPackage]),
  room("Kernel", "OverlayMounts", ["LinuxKernel", "CLinux", systemPackage]),
]

let storageAndTransport: [Target] = [
  room("Storage", "RevisionStore", [grdb, grdbSQLite, log]),
  room("Transport", "HTTPServing", [nioCore, nioPosix, nioHTTP1, nioHTTP2, nioSSL, log]),
  room("Transport", "RemoteStreams", ["JSONCodec", "CZlib", "HTTPServing", nioCore, nioPosix, nioHTTP1, nioWebSocket, log]),
  room("Client", "KubernetesClient", ["KubernetesAPI", "JSONCodec", httpClient, nioCore, nioSSL, nioFoundationEssentials, yams, log]),
  room("Client", "ClusterJoining", ["KubernetesClient", "JSONCodec", x509, crypto, nioCore, log]),
]

let node: [Target] = [
  room(
    "Node", "ContainerImages",
    [
      "OCISpec", "JSONCodec", "LinuxKernel", "CLinux", "CArchive", systemPackage, httpClient, crypto,
      nioCore, nioPosix, nioHTTP1, nioSSL, log,
    ]),
  room("Node", "ContainerRuntime", ["LinuxKernel", "CgroupV2", "OverlayMounts", "CLinux", "CSeccomp", "JSONCodec", systemPackage, log]),
  room("Node", "PodNetwork", ["LinuxKernel", "Netlink", "NFTables", "KubernetesClient", "JSONCodec", systemPackage, log]),
  room(
    "Node", "NetworkPolicies",
    ["PolicyRules", "ServiceRules", "NFTables", "Netlink", "LinuxKernel", "KubernetesClient", "JSONCodec", systemPackage, log]),
  room(
    "Node", "ServiceProxy",
    [
      "ServiceRules", "NFTables", "Netlink", "LinuxKernel", "KubernetesClient", "KubernetesAPI", "JSONCodec", "HTTPServing", systemPackage,
      nioCore, nioPosix,
      nioHTTP1, log,
    ]),
  room(
    "Node", "ClusterDNS",
    ["NFTables", "Netlink", "LinuxKernel", "KubernetesClient", "KubernetesAPI", "JSONCodec", systemPackage, nioCore, nioPosix, log]),
  room(
    "Node", "Kubelet",
    [
      "KubernetesAPI", "JSONCodec", "PodLifecycle", "KubernetesClient", "ContainerRuntime", "ContainerImages", "PodNetwork",
      "HTTPServing", "RemoteStreams", "LinuxKernel", "CLinux", "CgroupV2", "OverlayMounts", "OCISpec", systemPackage, httpClient,
      nioCore, nioPosix, nioHTTP1, nioHTTP2, nioSSL, yams, log,
    ]),
]

let controlPlane: [Target] = [
  room(
    "ControlPlane", "APIServer",
    [
      "KubernetesAPI", "JSONCodec", "APIMachinery", "Admission", "AdmissionPolicies", "CEL", "Authorization", "FlowControl",
      "RevisionStore", "KubernetesClient", "HTTPServing", "RemoteStreams",
      "CZlib",
      nioCore, nioPosix, nioHTTP1, nioSSL, nioHTTP2, httpClient, x509, crypto, cryptoExtras, yams, log, systemPackage,
    ]),
  room("ControlPlane", "Scheduler", ["KubernetesAPI", "JSONCodec", "Scheduling", "KubernetesClient", log]),
  room("ControlPlane", "ControllerManager", ["KubernetesAPI", "JSONCodec", "APIMachinery", "Reconcilers", "KubernetesClient", log]),
]

let executables: [Target] = [
  .executableTarget(
    name: "swiftlet",
    dependencies: [
      "APIServer", "Scheduler", "Scheduling", "ControllerManager", "ServiceProxy", "NetworkPolicies", "PolicyRules", "ClusterDNS",
      "Kubelet",
      "PodLifecycle",
      "ClusterJoining",
      "ContainerRuntime", "ContainerImages", "PodNetwork", "KubernetesClient",
      "RevisionStore", "LinuxKernel", "CgroupV2", "Netlink", "NFTables", "ServiceRules", "PolicyRules", "HTTPServing", "JSONCodec",
      "KubernetesAPI", "CLinux",
      systemPackage, arguments, log, nioCore, nioPosix, nioHTTP1, httpClient, x509, crypto,
    ],
    path: "Sources/Executables/swiftlet", swiftSettings: swiftSettings)
]

// Tests sit beside what they test: one target for each room.
let roomTests: [Target] = [
  tests("JSONCodecTests", ["JSONCodec"]),
  tests("OCISpecTests", ["OCISpec", "JSONCodec"]),
  tests("KubernetesClientTests", ["KubernetesClient", "KubernetesAPI", "JSONCodec", log]),
  tests("ClusterJoiningTests", ["ClusterJoining", "KubernetesClient", "JSONCodec", x509, crypto, log]),
  tests("KubernetesAPITests", ["KubernetesAPI", "JSONCodec"]),
  tests("CELTests", ["CEL", "JSONCodec"]),
  tests("SchedulingTests", ["Scheduling", "KubernetesAPI", "JSONCodec"]),
  tests(
    "SchedulerTests",
    [
      "Scheduler", "Scheduling", "KubernetesClient", "APIServer", "RevisionStore", "KubernetesAPI", "JSONCodec", systemPackage, nioPosix,
      log,
    ]),
  tests("ReconcilersTests", ["Reconcilers", "KubernetesAPI", "JSONCodec"]),
  tests(
    "ControllerManagerTests",
    [
      "ControllerManager", "Reconcilers", "KubernetesClient", "APIServer", "RevisionStore", "KubernetesAPI", "JSONCodec", systemPackage,
      nioPosix, log,
    ]),
  tests("APIMachineryTests", ["APIMachinery", "KubernetesAPI", "JSONCodec"]),
  tests("AdmissionTests", ["Admission", "KubernetesAPI", "JSONCodec", yams]),
  tests("FlowControlTests", ["FlowControl", "JSONCodec"]),
  tests("AuthorizationTests", ["Authorization", "KubernetesAPI", "JSONCodec"]),
  tests("AdmissionPoliciesTests", ["AdmissionPolicies", "APIMachinery", "CEL", "KubernetesAPI", "JSONCodec"]),
  tests(
    "APIServerTests",
    [
      "APIServer", "APIMachinery", "Authorization", "FlowControl", "HTTPServing", "KubernetesAPI", "KubernetesClient", "JSONCodec",
      "RevisionStore", systemPackage, httpClient,
      nioCore, nioPosix, nioHTTP1, x509, crypto, cryptoExtras, log,
    ]),
  tests("RevisionStoreTests", ["RevisionStore"]),
  tests("NFTablesTests", ["NFTables"]),
  tests("NetlinkTests", ["Netlink", "NFTables", "LinuxKernel", systemPackage]),
  tests("PodNetworkTests", ["PodNetwork", "KubernetesClient", "Netlink", "NFTables", "LinuxKernel", "JSONCodec", systemPackage, log]),
  .target(name: "PacketTracer", dependencies: ["NFTables", "ServiceRules"], path: "Tests/PacketTracer", swiftSettings: swiftSettings),
  tests("ServiceRulesTests", ["ServiceRules", "PacketTracer", "NFTables", "JSONCodec"]),
  tests("PolicyRulesTests", ["PolicyRules", "ServiceRules", "PacketTracer", "NFTables", "KubernetesAPI", "JSONCodec"]),
  .target(
    name: "NetworkLab", dependencies: ["Netlink", "NFTables", "LinuxKernel", "KubernetesClient", "JSONCodec", systemPackage],
    path: "Tests/NetworkLab", swiftSettings: swiftSettings),
  tests(
    "NetworkPoliciesTests",
    ["NetworkPolicies", "PolicyRules", "ServiceRules", "NetworkLab", "NFTables", "Netlink", "KubernetesClient", "JSONCodec", log]),
  tests(
    "ServiceProxyTests",
    [
      "NetworkLab", "ServiceProxy", "ServiceRules", "Netlink", "NFTables", "LinuxKernel", "KubernetesClient", "JSONCodec", systemPackage,
      nioCore,
      nioPosix, nioHTTP1, log,
    ]),
  tests("ClusterDNSTests", ["ClusterDNS", "NFTables", "KubernetesClient", "JSONCodec", nioCore, nioPosix, log]),
  tests("HTTPServingTests", ["HTTPServing", nioCore, nioPosix, nioHTTP1, nioSSL]),
  tests("RemoteStreamsTests", ["RemoteStreams", "HTTPServing", "JSONCodec", "CZlib", nioCore, nioPosix, nioHTTP1, nioWebSocket]),
  tests(
    "ContainerImagesTests",
    [
      "ContainerImages", "OCISpec", "JSONCodec", "LinuxKernel", "CArchive", systemPackage, httpClient, crypto, nioCore, nioPosix, nioHTTP1,
      nioSSL, log,
    ]),
]

let kubeletTests: [Target] = [
  tests(
    "KubeletServerTests",
    [
      "Kubelet", "KubernetesAPI", "JSONCodec", "HTTPServing", "LinuxKernel", systemPackage, nioCore, nioPosix, nioHTTP1, log,
    ]),
  tests("PodLifecycleTests", ["PodLifecycle", "KubernetesAPI", "JSONCodec"]),
  tests(
    "KubeletTests",
    [
      "Kubelet", "PodLifecycle", "KubernetesAPI", "JSONCodec", "KubernetesClient", "ContainerRuntime", "ContainerImages", "PodNetwork",
      "OCISpec", "LinuxKernel", "APIServer", "RevisionStore", systemPackage, nioCore, nioPosix, nioHTTP1, nioHTTP2, yams, log,
    ]),
]

let runtimeTests: [Target] = [
  tests("KubeletVolumesTests", ["Kubelet", "KubernetesAPI", "JSONCodec", "LinuxKernel", "ContainerRuntime", systemPackage, log]),
  tests("LinuxKernelTests", ["LinuxKernel", systemPackage]),
  tests("OverlayMountsTests", ["OverlayMounts", "LinuxKernel", "CLinux", systemPackage]),
  tests("CgroupV2Tests", ["CgroupV2", "LinuxKernel", systemPackage]),
  tests("ContainerRuntimeTests", ["ContainerRuntime", "CgroupV2", "OverlayMounts", "LinuxKernel", "JSONCodec", systemPackage]),
]

// The whole control plane in one process on a virtual clock.
let simulator: [Target] = [
  .executableTarget(
    name: "swiftlet-simulate",
    dependencies: [
      "CSimulation", "APIServer", "Scheduler", "ControllerManager", "Reconcilers", "KubernetesClient", "RevisionStore", "KubernetesAPI",
      "JSONCodec", systemPackage, nioPosix, log,
    ],
    path: "Tests/Simulator", swiftSettings: swiftSettings),
  .testTarget(
    name: "SimulatorTests", dependencies: ["swiftlet-simulate", systemPackage], path: "Tests/SimulatorTests", swiftSettings: swiftSettings),
]

let benchmarks: [Target] = [
  .executableTarget(
    name: "ContainerStart", dependencies: ["ContainerRuntime", "LinuxKernel", "JSONCodec", systemPackage],
    path: "Benchmarks/ContainerStart", swiftSettings: swiftSettings),
  .executableTarget(
    name: "revision-store-bench", dependencies: ["RevisionStore"], path: "Benchmarks/RevisionStore", swiftSettings: swiftSettings),
  .executableTarget(
    name: "scheduling-bench", dependencies: ["Scheduling", "KubernetesAPI", "JSONCodec"], path: "Benchmarks/Scheduling",
    swiftSettings: swiftSettings),
]

let package = Package(
  name: "swiftlet",
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-crypto", "4.0.0"..<"5.0.0"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: cSupport + model + decisions + kernel + storageAndTransport + node + controlPlane + executables + roomTests + kubeletTests
    + runtimeTests + simulator + benchmarks
)
