//! A notice on a database that it must not be served: it is still being filled, or goes on elsewhere.
//!
//! A small table of names and texts, there only while there is something to say, and therefore no part of the schema. Whoever
//! fills a database keeps in it how far that has come.

use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::{sql_query, sql_types, table};

use super::connection::Connection;
use super::error::StoreError;
use super::postgres;

pub(super) const TABLE: &str = "countersign_notice";
const REASON: &str = "reason";

table! {
    countersign_notice (item) {
        item -> Text,
        content -> Text,
    }
}

/// Why the database must not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// An installation is being moved into it.
    Filling,
    /// A backup is being restored into it.
    Restoring,
    /// The installation goes on elsewhere.
    Moved,
}

impl Reason {
    const ALL: [(Self, &str); 3] = [(Self::Filling, "filling"), (Self::Restoring, "restoring"), (Self::Moved, "moved")];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(reason, _)| *reason == self).map_or("", |(_, word)| *word)
    }
}

/// Refuses a database that has a notice, in words that say what to do.
pub(super) fn require_none(connection: &mut Connection) -> Result<(), StoreError> {
    let Some(reason) = reason(connection)? else { return Ok(()) };
    Err(StoreError::Migration(match reason {
        Reason::Filling => {
            "an installation is being moved into this database, and that has not finished. Run the same \
                            `countersign migrate --from … --to …` again: it goes on where it stopped."
                .into()
        }
        Reason::Restoring => "a backup is being restored into this database, and that has not finished. Run the same \
                              `countersign restore` again."
            .into(),
        Reason::Moved => format!(
            "this installation was moved to {} and goes on there: two that sign for the same authorities would give the \
             same CRL numbers twice. Name that database with COUNTERSIGN_DATABASE_URL. If it was never served there, this \
             one can go on after `countersign restore --restored-already`.",
            get(connection, "place")?.unwrap_or_else(|| "another database".into())
        ),
    }))
}

/// The same for a connection that a running server makes anew: it may have been cut off when the notice was put up. A file is
/// locked by who serves it.
pub(super) fn admit(connection: &mut Connection) -> Result<(), StoreError> {
    if let Connection::Sqlite(_) = connection {
        return Ok(());
    }
    require_none(connection).map_err(|error| match error {
        StoreError::Migration(why) => StoreError::Unavailable(why),
        other => other,
    })
}

/// For who works on a database because of its notice.
pub(super) fn disregard(_: &mut Connection) -> Result<(), StoreError> {
    Ok(())
}

pub(super) fn reason(connection: &mut Connection) -> Result<Option<Reason>, StoreError> {
    if !has_table(connection, TABLE)? {
        return Ok(None);
    }
    let word = get(connection, REASON)?;
    let known = Reason::ALL.iter().find(|(_, known)| word.as_deref() == Some(*known)).map(|(reason, _)| *reason);
    let unknown = || StoreError::Migration(format!("the table {TABLE} says something that this version does not know"));
    known.map(Some).ok_or_else(unknown)
}

/// Puts a notice up, or changes the one that is there: at once, since one that says nothing is understood by nobody.
pub(super) fn put_up(connection: &mut Connection, reason: Reason) -> Result<(), StoreError> {
    let create = format!("CREATE TABLE IF NOT EXISTS {TABLE} (item TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL)");
    connection.transaction(|connection| {
        connection.batch_execute(&create)?;
        set(connection, REASON, reason.as_str())
    })
}

pub(super) fn take_down(connection: &mut Connection) -> Result<(), StoreError> {
    Ok(connection.batch_execute(&format!("DROP TABLE IF EXISTS {TABLE}"))?)
}

pub(super) fn get(connection: &mut Connection, item: &str) -> Result<Option<String>, StoreError> {
    use countersign_notice::dsl;
    let content = dsl::countersign_notice.find(item).select(dsl::content).first(connection);
    Ok(content.optional()?)
}

pub(super) fn set(connection: &mut Connection, item: &str, content: &str) -> Result<(), StoreError> {
    use countersign_notice::dsl;
    diesel::delete(dsl::countersign_notice.find(item)).execute(connection)?;
    let row = (dsl::item.eq(item), dsl::content.eq(content));
    diesel::insert_into(dsl::countersign_notice).values(row).execute(connection)?;
    Ok(())
}

/// Whether a table is there.
pub(super) fn has_table(connection: &mut Connection, name: &str) -> Result<bool, StoreError> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = sql_types::BigInt)]
        number: i64,
    }
    match connection {
        Connection::Postgres(connection) => postgres::has_table(connection, name),
        Connection::Sqlite(connection) => {
            let query = sql_query("SELECT COUNT(*) AS number FROM sqlite_master WHERE type = 'table' AND name = ?");
            let found: Count = query.bind::<sql_types::Text, _>(name).get_result(connection)?;
            Ok(found.number > 0)
        }
    }
}

/// Whether nobody has set up an installation in the database yet.
pub(super) fn is_vacant(connection: &mut Connection) -> Result<bool, StoreError> {
    use super::schema::accounts;
    if !has_table(connection, "accounts")? {
        return Ok(true);
    }
    let found: i64 = accounts::table.count().get_result(connection)?;
    Ok(found == 0)
}

#[cfg(test)]
mod tests {
    use super::super::connection::{Database, open_writer};
    use super::*;

    #[test]
    fn what_must_not_be_served_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open_writer(&Database::Sqlite(folder.path().join("x.db"))).unwrap();
        require_none(&mut connection).unwrap();
        for (reason, words) in [
            (Reason::Filling, "migrate --from"),
            (Reason::Restoring, "countersign restore"),
            (Reason::Moved, "moved to postgres://db/ca"),
        ] {
            put_up(&mut connection, reason).unwrap();
            set(&mut connection, "place", "postgres://db/ca").unwrap();
            let said = require_none(&mut connection).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
        take_down(&mut connection).unwrap();
        require_none(&mut connection).unwrap();
    }
}
