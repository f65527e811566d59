//! The two kinds of connection as one. In a file of its own: the derive brings names that others use differently.

use diesel::MultiConnection;
use diesel::pg::PgConnection;
use diesel::sqlite::SqliteConnection;

/// A connection to either database. Ordinary queries are written once against this; where a database needs a statement of
/// its own, or Diesel cannot say it for both at once, the code asks which one it is.
#[derive(MultiConnection)]
pub enum AnyConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}
