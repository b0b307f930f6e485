//! Responses in a SQLite database.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::entry::Entry;
use super::error::StoreError;
use super::limits::StoreLimits;

/// Says that a database is a store.
const APPLICATION: i32 = 0x6d78_6634;
/// The version of its tables.
const VERSION: i32 = 1;

const TABLES: &str = "
CREATE TABLE responses (
    id TEXT PRIMARY KEY NOT NULL,
    owner TEXT,
    previous TEXT,
    input TEXT NOT NULL,
    output TEXT NOT NULL,
    response TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    used INTEGER NOT NULL,
    turn INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX by_use ON responses (turn, used, bytes);
";

/// Responses in a SQLite database. Each change is a transaction: after a kill it is there, or
/// it is not.
pub(super) struct Database {
    connection: Connection,
    responses: usize,
    bytes: usize,
    /// Counts uses, which tell what was used before what.
    turn: i64,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // What users asked is nobody else's to read.
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path);
        file.map_err(|source| StoreError::Open {
            path: path.to_owned(),
            source,
        })?;
        let mut connection = Connection::open(path)?;
        let foreign = |_| StoreError::Foreign {
            path: path.to_owned(),
        };
        prepare(&mut connection).map_err(foreign)?;
        let marks: (i32, i32) = (
            mark(&connection, "application_id")?,
            mark(&connection, "user_version")?,
        );
        if marks != (APPLICATION, VERSION) {
            return Err(foreign(rusqlite::Error::InvalidQuery));
        }
        let count =
            "SELECT count(*), coalesce(sum(bytes), 0), coalesce(max(turn), 0) FROM responses";
        let (responses, bytes, turn) = connection.query_row(count, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?))
        })?;
        Ok(Self {
            connection,
            responses: usize::try_from(responses).unwrap_or(0),
            bytes: usize::try_from(bytes).unwrap_or(0),
            turn,
        })
    }

    pub(super) fn put(
        &mut self,
        entry: &Entry,
        now: u64,
        limits: &StoreLimits,
    ) -> Result<(), StoreError> {
        self.turn += 1;
        let bytes = entry.bytes();
        let transaction = write(&mut self.connection)?;
        let put = "INSERT INTO responses (id, owner, previous, input, output, response, bytes, used, turn)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        transaction.prepare_cached(put)?.execute(params![
            entry.id,
            entry.owner,
            entry.previous,
            entry.input,
            entry.output,
            entry.response,
            whole(bytes),
            seconds(now),
            self.turn,
        ])?;
        let (responses, bytes) = (self.responses + 1, self.bytes + bytes);
        let left = trim(&transaction, responses, bytes, limits, now)?;
        transaction.commit()?;
        (self.responses, self.bytes) = left;
        Ok(())
    }

    pub(super) fn get(
        &mut self,
        id: &str,
        owner: Option<&str>,
        now: u64,
        limits: &StoreLimits,
    ) -> Result<Option<Entry>, StoreError> {
        self.turn += 1;
        let oldest = seconds(now.saturating_sub(limits.age.as_secs()));
        // One statement is a transaction of its own.
        let get =
            "UPDATE responses SET used = ?3, turn = ?4 WHERE id = ?1 AND owner IS ?2 AND used >= ?5
                   RETURNING id, owner, previous, input, output, response";
        let mut statement = self.connection.prepare_cached(get)?;
        let found =
            statement.query_row(params![id, owner, seconds(now), self.turn, oldest], |row| {
                Ok(Entry {
                    id: row.get(0)?,
                    owner: row.get(1)?,
                    previous: row.get(2)?,
                    input: row.get(3)?,
                    output: row.get(4)?,
                    response: row.get(5)?,
                })
            });
        Ok(found.optional()?)
    }

    pub(super) fn delete(&mut self, id: &str, owner: Option<&str>) -> Result<bool, StoreError> {
        let delete = "DELETE FROM responses WHERE id = ?1 AND owner IS ?2 RETURNING bytes";
        let mut statement = self.connection.prepare_cached(delete)?;
        let gone: Option<i64> = statement
            .query_row(params![id, owner], |row| row.get(0))
            .optional()?;
        if let Some(bytes) = gone {
            self.responses = self.responses.saturating_sub(1);
            self.bytes = self
                .bytes
                .saturating_sub(usize::try_from(bytes).unwrap_or(0));
        }
        Ok(gone.is_some())
    }

    /// Forgets what is more than may be.
    pub(super) fn trim(&mut self, limits: &StoreLimits, now: u64) -> Result<(), StoreError> {
        let transaction = write(&mut self.connection)?;
        let left = trim(&transaction, self.responses, self.bytes, limits, now)?;
        transaction.commit()?;
        (self.responses, self.bytes) = left;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.responses, self.bytes)
    }

    /// What is wrong inside, and how many responses the table has and of how many bytes.
    #[cfg(test)]
    pub(super) fn check(&self) -> (String, usize, usize) {
        let check = self
            .connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0));
        let count = "SELECT count(*), coalesce(sum(bytes), 0) FROM responses";
        let (responses, bytes): (i64, i64) = self
            .connection
            .query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        (check.unwrap(), responses as usize, bytes as usize)
    }
}

/// Sets how the file is written, and makes the tables of a new one.
fn prepare(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(Duration::from_secs(5))?;
    // A kill loses nothing with it; a power failure at most the last responses.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;
         PRAGMA secure_delete = ON;",
    )?;
    let transaction = write(connection)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

fn write(connection: &mut Connection) -> Result<Transaction<'_>, rusqlite::Error> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn mark(connection: &Connection, name: &str) -> Result<i32, rusqlite::Error> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Deletes what was not used for the longest time until the rest is within its limits.
/// Returns how many are left, and their bytes.
fn trim(
    transaction: &Transaction<'_>,
    mut responses: usize,
    mut bytes: usize,
    limits: &StoreLimits,
    now: u64,
) -> Result<(usize, usize), rusqlite::Error> {
    let oldest = seconds(now.saturating_sub(limits.age.as_secs()));
    let mut first = transaction
        .prepare_cached("SELECT turn, used, bytes FROM responses ORDER BY turn LIMIT 1")?;
    let mut delete = transaction.prepare_cached("DELETE FROM responses WHERE turn = ?1")?;
    loop {
        let found: Option<(i64, i64, i64)> = first
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((turn, used, size)) = found else {
            return Ok((0, 0));
        };
        if responses <= limits.responses && bytes <= limits.bytes && used >= oldest {
            return Ok((responses, bytes));
        }
        let gone = delete.execute([turn])?;
        responses = responses.saturating_sub(gone);
        bytes = bytes.saturating_sub(usize::try_from(size).unwrap_or(0));
    }
}

/// SQLite's integers have a sign.
fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn whole(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
