/// What `kubectl explain` tells about fields that every object has.
enum OpenAPIDescriptions {
  static func of(_ type: SchemaType, _ field: SchemaField) -> String? {
    type.name == "meta/v1.ObjectMeta" ? objectMeta[field.name] : nil
  }

  private static let objectMeta: [String: String] = [
    "annotations": "Annotations are texts by key that tools keep with an object. They cannot be selected by.",
    "creationTimestamp":
      "CreationTimestamp is a timestamp of the moment when the server stored this object first, in UTC. Clients cannot set it.",
    "deletionGracePeriodSeconds": "Seconds that this object may still take to end; only set together with deletionTimestamp.",
    "deletionTimestamp":
      "The time at which this object goes, or will go once its finalizers are gone. The server sets it when the object is deleted.",
    "finalizers": "Names of those who have work to do before this object may go. It stays until the list is empty.",
    "generateName": "The beginning of a name that the server completes where no name is given.",
    "generation": "A number that grows with each change of what is wanted of this object.",
    "labels": "Labels are short texts by key, by which objects are grouped and selected.",
    "managedFields": "Who set which field of this object, and when. The server keeps it for server-side apply.",
    "name": "The name of this object, unique among those of its kind in its namespace. It cannot be changed.",
    "namespace": "The namespace that this object is in. It cannot be changed.",
    "ownerReferences": "Objects that this one depends on: when the last of them goes, this one goes too.",
    "resourceVersion": "Names this state of the object. It changes with every write, and writers that name an old one are refused.",
    "uid": "Names this object for all time, unlike objects of the same name before and after it.",
  ]
}
