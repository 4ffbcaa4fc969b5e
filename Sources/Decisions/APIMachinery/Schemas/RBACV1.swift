extension SchemaTexts {
  /// The types and resources of rbac/v1. SchemaParser.swift tells how to read it.
  static let rbacV1: StaticString = #"""
    package rbac/v1 group=rbac.authorization.k8s.io openapi=io.k8s.api.rbac.v1

    resource clusterrolebindings ClusterRoleBinding verbs=* hash=48tpQ8gZHFc= served

    resource clusterroles ClusterRole verbs=* hash=bYE5ZWDrJ44= served

    resource rolebindings RoleBinding namespaced verbs=* hash=eGsCzGH6b1g= served

    resource roles Role namespaced verbs=* hash=7FuwZcIIItM= served

    type AggregationRule
      1 clusterRoleSelectors []meta/v1.LabelSelector

    type ClusterRole kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 rules []PolicyRule always
      3 aggregationRule ?AggregationRule

    type ClusterRoleBinding kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 subjects []Subject
      3 roleRef RoleRef required always

    type ClusterRoleBindingList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ClusterRoleBinding required always

    type ClusterRoleList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []ClusterRole required always

    type PolicyRule
      1 verbs []string required always
      2 apiGroups []string
      3 resources []string
      4 resourceNames []string
      5 nonResourceURLs []string

    type Role kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 rules []PolicyRule always

    type RoleBinding kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 subjects []Subject
      3 roleRef RoleRef required always

    type RoleBindingList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []RoleBinding required always

    type RoleList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []Role required always

    type RoleRef atomic
      1 apiGroup string always fill="rbac.authorization.k8s.io"
      2 kind string required always
      3 name string required always

    type Subject atomic
      1 kind string required always
      2 apiGroup string
      3 name string required always
      4 namespace string
    """#
}
