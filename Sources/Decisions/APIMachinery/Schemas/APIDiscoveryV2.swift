extension SchemaTexts {
  /// The types and resources of apidiscovery/v2. SchemaParser.swift tells how to read it.
  static let apiDiscoveryV2: StaticString = #"""
    package apidiscovery/v2 group=apidiscovery.k8s.io openapi=io.k8s.api.apidiscovery.v2

    type APIGroupDiscovery
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 versions []APIVersionDiscovery list=map(version)

    type APIGroupDiscoveryList
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []APIGroupDiscovery required always

    type APIResourceDiscovery
      1 resource string required always
      2 responseKind ?meta/v1.GroupVersionKind
      3 scope string required always
      4 singularResource string required always
      5 verbs []string required always list=set
      6 shortNames []string list=set
      7 categories []string list=set
      8 subresources []APISubresourceDiscovery list=map(subresource)

    type APISubresourceDiscovery
      1 subresource string required always
      2 responseKind ?meta/v1.GroupVersionKind
      3 acceptedTypes []meta/v1.GroupVersionKind list=map(group,version,kind)
      4 verbs []string required always list=set

    type APIVersionDiscovery
      1 version string required always
      2 resources []APIResourceDiscovery list=map(resource)
      3 freshness string
    """#
}
