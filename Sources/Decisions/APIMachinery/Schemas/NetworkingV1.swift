extension SchemaTexts {
  /// The types and resources of networking/v1. SchemaParser.swift tells how to read it.
  static let networkingV1: StaticString = #"""
    package networking/v1 group=networking.k8s.io openapi=io.k8s.api.networking.v1

    resource ingressclasses IngressClass verbs=* hash=l/iqIbDgFyQ= served

    resource ingresses Ingress namespaced verbs=* short=ing hash=39NQlfNR+bo= served
      subresource status Ingress get,patch,update

    resource ipaddresses IPAddress verbs=* short=ip hash=3f/plJFChNE= served

    resource networkpolicies NetworkPolicy namespaced verbs=* short=netpol hash=YpfwF18m1G8= served

    resource servicecidrs ServiceCIDR verbs=* hash=gNLvruQhW2g= served
      subresource status ServiceCIDR get,patch,update

    type HTTPIngressPath
      1 path string
      3 pathType ?string required always enum=Exact|ImplementationSpecific|Prefix
      2 backend IngressBackend required always

    type HTTPIngressRuleValue
      1 paths []HTTPIngressPath required always

    type IPAddress kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec IPAddressSpec required

    type IPAddressList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []IPAddress required always

    type IPAddressSpec
      1 parentRef ?ParentReference required

    type IPBlock
      1 cidr string required always
      2 except []string

    type Ingress kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec IngressSpec
      3 status IngressStatus

    type IngressBackend
      4 service ?IngressServiceBackend
      3 resource ?core/v1.TypedLocalObjectReference

    type IngressClass kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec IngressClassSpec

    type IngressClassList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []IngressClass required always

    type IngressClassParametersReference
      1 apiGroup ?string
      2 kind string required always
      3 name string required always
      4 scope ?string always fill="Cluster"
      5 namespace ?string

    type IngressClassSpec
      1 controller string
      2 parameters ?IngressClassParametersReference

    type IngressList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Ingress required always

    type IngressLoadBalancerIngress
      1 ip string
      2 hostname string
      4 ports []IngressPortStatus

    type IngressLoadBalancerStatus
      1 ingress []IngressLoadBalancerIngress

    type IngressPortStatus
      1 port int32 required always
      2 protocol string required always enum=SCTP|TCP|UDP
      3 error ?string

    type IngressRule
      1 host string
      2 inline IngressRuleValue

    type IngressRuleValue
      1 http ?HTTPIngressRuleValue

    type IngressServiceBackend
      1 name string required always
      2 port ServiceBackendPort

    type IngressSpec
      4 ingressClassName ?string
      1 defaultBackend ?IngressBackend
      2 tls []IngressTLS
      3 rules []IngressRule

    type IngressStatus
      1 loadBalancer IngressLoadBalancerStatus

    type IngressTLS
      1 hosts []string
      2 secretName string

    type NetworkPolicy kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec NetworkPolicySpec

    type NetworkPolicyEgressRule
      1 ports []NetworkPolicyPort
      2 to []NetworkPolicyPeer

    type NetworkPolicyIngressRule
      1 ports []NetworkPolicyPort
      2 from []NetworkPolicyPeer

    type NetworkPolicyList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []NetworkPolicy required always

    type NetworkPolicyPeer
      1 podSelector ?meta/v1.LabelSelector
      2 namespaceSelector ?meta/v1.LabelSelector
      3 ipBlock ?IPBlock

    type NetworkPolicyPort
      1 protocol ?string fill="TCP" enum=SCTP|TCP|UDP
      2 port ?IntOrString
      3 endPort ?int32

    type NetworkPolicySpec
      1 podSelector meta/v1.LabelSelector always
      2 ingress []NetworkPolicyIngressRule
      3 egress []NetworkPolicyEgressRule
      4 policyTypes []string enum=Egress|Ingress

    type ParentReference
      1 group string
      2 resource string required
      3 namespace string
      4 name string required

    type ServiceBackendPort atomic
      1 name string
      2 number int32

    type ServiceCIDR kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec ServiceCIDRSpec
      3 status ServiceCIDRStatus

    type ServiceCIDRList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ServiceCIDR required always

    type ServiceCIDRSpec
      1 cidrs []string

    type ServiceCIDRStatus
      1 conditions []meta/v1.Condition list=map(type) merge=type
    """#
}
