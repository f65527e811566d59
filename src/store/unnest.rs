//! Many rows in one statement of PostgreSQL: `INSERT … SELECT * FROM unnest(…)`, an array for each column.
//!
//! One round trip for a whole batch, and one prepared statement whatever its length: the measured alternative to COPY, which
//! is hardly faster and knows no conditions.

use diesel::QueryResult;
use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, SmallInt, Text};

/// The rows of a table, column by column. All columns have as many values as there are rows.
pub(super) struct Rows<'a> {
    table: &'static str,
    columns: Vec<(&'static str, Column<'a>)>,
}

pub(super) enum Column<'a> {
    Binary(Vec<&'a [u8]>),
    OptionalBinary(Vec<Option<&'a [u8]>>),
    Text(Vec<&'a str>),
    OwnedText(Vec<String>),
    BigInt(Vec<i64>),
    Integer(Vec<i32>),
    SmallInt(Vec<i16>),
}

impl<'a> Rows<'a> {
    pub(super) fn of(table: &'static str) -> Self {
        Self { table, columns: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, column: Column<'a>) -> Self {
        self.columns.push((name, column));
        self
    }

    pub(super) fn insert(self, connection: &mut PgConnection) -> QueryResult<usize> {
        ExecuteDsl::execute(self, connection)
    }
}

impl Column<'_> {
    fn array_type(&self) -> &'static str {
        match self {
            Self::Binary(_) | Self::OptionalBinary(_) => "::bytea[]",
            Self::Text(_) | Self::OwnedText(_) => "::text[]",
            Self::BigInt(_) => "::bigint[]",
            Self::Integer(_) => "::integer[]",
            Self::SmallInt(_) => "::smallint[]",
        }
    }

    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Self::Binary(values) => out.push_bind_param::<Array<Binary>, _>(values),
            Self::OptionalBinary(values) => out.push_bind_param::<Array<Nullable<Binary>>, _>(values),
            Self::Text(values) => out.push_bind_param::<Array<Text>, _>(values),
            Self::OwnedText(values) => out.push_bind_param::<Array<Text>, _>(values),
            Self::BigInt(values) => out.push_bind_param::<Array<BigInt>, _>(values),
            Self::Integer(values) => out.push_bind_param::<Array<Integer>, _>(values),
            Self::SmallInt(values) => out.push_bind_param::<Array<SmallInt>, _>(values),
        }
    }
}

impl QueryFragment<Pg> for Rows<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO ");
        out.push_identifier(self.table)?;
        for (index, (name, _)) in self.columns.iter().enumerate() {
            out.push_sql(if index == 0 { " (" } else { ", " });
            out.push_identifier(name)?;
        }
        out.push_sql(") SELECT * FROM unnest");
        for (index, (_, column)) in self.columns.iter().enumerate() {
            out.push_sql(if index == 0 { "(" } else { ", " });
            column.bind(&mut out)?;
            out.push_sql(column.array_type());
        }
        out.push_sql(")");
        Ok(())
    }
}

/// Cached by its text.
impl QueryId for Rows<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl diesel::RunQueryDsl<PgConnection> for Rows<'_> {}
