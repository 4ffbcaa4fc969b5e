extension SchemaTexts {
  /// The types and resources of storagemigration/v1beta1. SchemaParser.swift tells how to read it.
  static let storageMigrationV1Beta1: StaticString = #"""
    package storagemigration/v1beta1 group=storagemigration.k8s.io openapi=io.k8s.api.storagemigration.v1beta1

    resource storageversionmigrations StorageVersionMigration verbs=* hash=pCjmmKOkLy4= served
      subresource status StorageVersionMigration get,patch,update

    type StorageVersionMigration kind
      typemeta
      1 metadata meta/v1.ObjectMeta
      2 spec StorageVersionMigrationSpec
      3 status StorageVersionMigrationStatus

    type StorageVersionMigrationList kind
      typemeta
      1 metadata meta/v1.ListMeta
      2 items []StorageVersionMigration required always

    type StorageVersionMigrationSpec
      1 resource meta/v1.GroupResource required always

    type StorageVersionMigrationStatus
      1 conditions []meta/v1.Condition list=map(type) merge=type
      2 resourceVersion string
    """#
}
