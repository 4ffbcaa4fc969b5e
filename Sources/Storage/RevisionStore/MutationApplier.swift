import GRDB

/// One mutation inside the writer's transaction.
enum MutationApplier {
  /// The rule of preconditions: what forbids the mutation, given the key's state, or nil.
  static func refusal(_ mutation: Mutation, current: StoredValue?) -> RevisionStoreError? {
    let key = mutation.key
    switch (mutation, current) {
    case (.put(_, _, .none), _), (.put(_, _, .absent), nil), (.delete(_, _, .none), .some): return nil
    case (.put(_, _, .revision(let wanted)), .some(let current)) where wanted == current.revision: return nil
    case (.delete(_, _, .revision(let wanted)), .some(let current)) where wanted == current.revision: return nil
    case (.put, nil), (.delete, nil): return RevisionStoreError(.notFound, "\(key) does not exist")
    case (.put(_, _, .absent), .some(let current)):
      return RevisionStoreError(.conflict(current: current), "\(key) already exists, at revision \(current.revision)")
    case (_, .some(let current)):
      return RevisionStoreError(.conflict(current: current), "\(key) has changed: it is at revision \(current.revision)")
    }
  }

  /// Appends the mutation as `revision`.
  /// - Returns: the event, or why the mutation is refused.
  /// - Throws: database errors; then the transaction is of no use.
  static func apply(
    _ mutation: Mutation, as revision: Revision, _ database: Database
  ) throws -> Result<ChangeEvent, RevisionStoreError> {
    let key = mutation.key
    let newest = try newest(of: key, database)
    if let refusal = refusal(mutation, current: newest.current) { return .failure(refusal) }
    let kind: Schema.RowKind
    switch mutation {
    case .put: kind = newest.current == nil ? .created : .changed
    case .delete: kind = .deleted
    }
    do {
      try append(revision, kind, previous: newest.id, key, mutation.value, database)
    } catch let error as DatabaseError where error.extendedResultCode == .SQLITE_CONSTRAINT_UNIQUE {
      // The writer looked and was alone, so only a change from outside leads here; the index decides.
      return .failure(RevisionStoreError(.conflict(current: newest.current), "\(key) has changed"))
    }
    return .success(
      ChangeEvent(
        kind: kind == .deleted ? .delete : .put, key: key, revision: revision, value: mutation.value,
        previous: newest.current))
  }

  /// The key's newest row: its id (0: none), and its state unless that is a delete.
  private static func newest(of key: String, _ database: Database) throws -> (id: Revision, current: StoredValue?) {
    try Query.run(database, Schema.latest) { query in
      query.bind(1, key)
      guard try query.step() else { return (0, nil) }
      let id = query.integer(0)
      guard query.integer(1) != Schema.RowKind.deleted.rawValue else { return (id, nil) }
      return (id, StoredValue(key: key, revision: id, value: query.blob(2)))
    }
  }

  private static func append(
    _ revision: Revision, _ kind: Schema.RowKind, previous: Revision, _ key: String, _ value: [UInt8], _ database: Database
  ) throws {
    try Query.run(database, Schema.append) { query in
      query.bind(1, revision)
      query.bind(2, kind.rawValue)
      query.bind(3, previous)
      query.bind(4, key)
      query.bind(5, blob: value)
      _ = try query.step()
    }
    try Query.run(database, kind == .deleted ? Schema.dropLive : Schema.setLive) { query in
      query.bind(1, key)
      if kind != .deleted { query.bind(2, revision) }
      _ = try query.step()
    }
  }
}
