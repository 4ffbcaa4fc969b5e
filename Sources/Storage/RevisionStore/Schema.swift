import GRDB

/// The tables of a store's database.
///
/// `revision` is the history, one row for each mutation, its id the revision. `previous` is the id of the key's row before
/// (0: none), deleted or not, so the unique index makes the rows of a key one chain: the database itself refuses two
/// successors of one state. Small columns come before `value`, so that scans need not follow a large value's overflow pages.
///
/// `live` says which row is each existing key's state. It repeats what `revision` implies and changes in the same
/// transactions; it makes lists of the current state, and exact counts, independent of how much history is kept.
enum Schema {
  static let version: Int64 = 1
  /// "swls" in the database header: the file is ours.
  static let applicationID: Int64 = 0x7377_6C73

  enum RowKind: Int64 {
    case created = 0
    case changed = 1
    case deleted = 2
  }

  static func create(_ database: Database) throws {
    try database.execute(
      sql: """
        CREATE TABLE revision (
          id INTEGER PRIMARY KEY,
          kind INTEGER NOT NULL,
          previous INTEGER NOT NULL,
          key TEXT NOT NULL,
          value BLOB NOT NULL);
        CREATE UNIQUE INDEX revision_by_key ON revision (key, previous);
        CREATE TABLE live (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE mark (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO mark VALUES ('compacted', 0), ('swept', 0);
        PRAGMA application_id = \(applicationID);
        PRAGMA user_version = \(version);
        """)
  }

  // The newest row of a key. Along a key's chain `previous` grows with the id.
  static let latest = """
    SELECT id, kind, value FROM revision INDEXED BY revision_by_key WHERE key = ?1 ORDER BY previous DESC LIMIT 1
    """
  static let latestAt = """
    SELECT id, kind, value FROM revision INDEXED BY revision_by_key WHERE key = ?1 AND id <= ?2 ORDER BY previous DESC LIMIT 1
    """
  static let append = "INSERT INTO revision (id, kind, previous, key, value) VALUES (?1, ?2, ?3, ?4, ?5)"
  static let setLive = """
    INSERT INTO live (key, revision) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision
    """
  static let dropLive = "DELETE FROM live WHERE key = ?1"

  static let newest = "SELECT max(id) FROM revision"
  static let compacted = "SELECT revision FROM mark WHERE name = 'compacted'"
  static let swept = "SELECT revision FROM mark WHERE name = 'swept'"
  static let setCompacted = "UPDATE mark SET revision = ?1 WHERE name = 'compacted'"
  static let setSwept = "UPDATE mark SET revision = ?1 WHERE name = 'swept'"

  static let liveItems = """
    SELECT l.key, l.revision, r.value FROM live l CROSS JOIN revision r ON r.id = l.revision
    WHERE l.key >= ?1 AND l.key < ?2 ORDER BY l.key
    """
  static let liveCount = "SELECT count(*) FROM live WHERE key >= ?1 AND key < ?2"
  static let value = "SELECT value FROM revision WHERE id = ?1"
  // NOT INDEXED: by id, from where the history is asked for, not by key.
  static let keysChangedAfter = """
    SELECT kind, previous, key FROM revision NOT INDEXED WHERE id > ?1 AND key >= ?2 AND key < ?3 ORDER BY id
    """
  static let changes = """
    SELECT r.id, r.kind, r.key, r.value, p.id, p.value
    FROM revision r NOT INDEXED LEFT JOIN revision p ON r.kind <> 0 AND p.id = r.previous
    WHERE r.id > ?1 AND r.id <= ?2 AND r.key >= ?3 AND r.key < ?4 ORDER BY r.id
    """

  static let sweepSuperseded = """
    DELETE FROM revision WHERE id IN
      (SELECT previous FROM revision NOT INDEXED WHERE id > ?1 AND id <= ?2 AND previous <> 0)
    """
  static let sweepDeleted = "DELETE FROM revision NOT INDEXED WHERE id > ?1 AND id <= ?2 AND kind = 2"
}
