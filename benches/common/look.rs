//! A look into the database beside the server.

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl, sql_query};

use super::Outcome;
use super::api::Zone;
use super::engine::{Engine, Place};
use super::postgres::Postgres;

pub enum Look<'a> {
    Sqlite(SqliteConnection),
    Postgres(&'a Postgres, String),
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl<'a> Look<'a> {
    pub fn at(engine: &'a Engine, place: &Place) -> Outcome<Self> {
        if let Some(postgres) = engine.postgres() {
            return Ok(Self::Postgres(postgres, place.name.clone()));
        }
        let path = place.folder.join("data").join("countersign.db");
        let mut connection = SqliteConnection::establish(path.to_str().ok_or("the path is not UTF-8")?)?;
        connection.batch_execute("PRAGMA busy_timeout = 60000;")?;
        Ok(Self::Sqlite(connection))
    }

    /// Has the authority's CRLs signed anew.
    pub fn call_for_publication(&mut self, zone: &Zone) -> Outcome<()> {
        let authority = self.authority(zone);
        self.execute(&format!("UPDATE publications SET oldest_update = 0 WHERE authority_id = {authority}"))
    }

    /// Has every CRL of the authority signed anew, the shards too.
    pub fn call_for_everything(&mut self, zone: &Zone) -> Outcome<()> {
        let authority = self.authority(zone);
        self.execute(&format!("UPDATE crls SET this_update = 0 WHERE authority_id = {authority} AND scope >= 0"))?;
        self.call_for_publication(zone)
    }

    /// The number of the last CRL of the zone's authority.
    pub fn crl_number(&mut self, zone: &Zone) -> Outcome<i64> {
        let authority = self.authority(zone);
        self.number(&format!("SELECT number FROM publications WHERE authority_id = {authority}"))
    }

    /// How many changes wait to be published.
    pub fn waiting(&mut self) -> Outcome<i64> {
        self.number("SELECT COUNT(*) AS number FROM transitions")
    }

    /// The value of the column `number`.
    fn number(&mut self, query: &str) -> Outcome<i64> {
        match self {
            Self::Sqlite(connection) => Ok(sql_query(query).get_result::<Number>(connection)?.number),
            Self::Postgres(postgres, database) => Ok(postgres.query(database, query)?.parse()?),
        }
    }

    fn execute(&mut self, statement: &str) -> Outcome<()> {
        match self {
            Self::Sqlite(connection) => Ok(connection.batch_execute(statement)?),
            Self::Postgres(postgres, database) => postgres.query(database, statement).map(drop),
        }
    }

    fn authority(&self, zone: &Zone) -> String {
        let octets = zone.authority.replace('-', "");
        match self {
            Self::Sqlite(_) => format!("unhex('{octets}')"),
            Self::Postgres(..) => format!("decode('{octets}', 'hex')"),
        }
    }
}
