-- Times are nanoseconds since 1970, spans and the starts of buckets seconds.

CREATE TABLE objective (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- Ten seconds each, until they are rolled up. By time first: what is counted at one moment lies on few pages.
CREATE TABLE bucket (
  start INTEGER NOT NULL,
  objective INTEGER NOT NULL,
  good INTEGER NOT NULL,
  bad INTEGER NOT NULL,
  PRIMARY KEY (start, objective)
) STRICT, WITHOUT ROWID;

-- All minutes, or all hours, of one objective.
CREATE TABLE packed (
  objective INTEGER NOT NULL,
  width INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (objective, width)
) STRICT;

CREATE TABLE source (
  name TEXT NOT NULL PRIMARY KEY,
  sequence INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sketch (
  series TEXT NOT NULL,
  start INTEGER NOT NULL,
  width INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (series, start, width)
) STRICT;
CREATE INDEX sketch_start ON sketch (start);

CREATE TABLE state (
  key TEXT NOT NULL PRIMARY KEY,
  data BLOB NOT NULL,
  at INTEGER NOT NULL
) STRICT;

-- What came from outside. `about` is the request that it is about; `settled` is when that was found.
CREATE TABLE item (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  client TEXT NOT NULL,
  id TEXT NOT NULL,
  about TEXT,
  at INTEGER NOT NULL,
  received INTEGER NOT NULL,
  settled INTEGER,
  body TEXT NOT NULL,
  UNIQUE (client, id, kind)
) STRICT;
CREATE INDEX item_about ON item (client, about) WHERE about IS NOT NULL;
CREATE INDEX item_waiting ON item (kind, seq) WHERE about IS NOT NULL AND settled IS NULL;

CREATE TABLE document (
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  at INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT;

CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX event_kind ON event (kind, seq);
CREATE INDEX event_at ON event (at);

CREATE TABLE run (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX run_updated ON run (updated);

CREATE TABLE version (
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  stage TEXT NOT NULL,
  digest TEXT NOT NULL,
  created INTEGER NOT NULL,
  data_max_event_time INTEGER,
  lineage TEXT NOT NULL,
  PRIMARY KEY (model, version)
) STRICT;

-- Where a pointer stands is its last move.
CREATE TABLE move (
  model TEXT NOT NULL,
  pointer TEXT NOT NULL,
  revision INTEGER NOT NULL,
  version TEXT NOT NULL,
  previous TEXT,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (model, pointer, revision)
) STRICT;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  source TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  before TEXT,
  after TEXT,
  reason TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
