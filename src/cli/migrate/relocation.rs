//! Moving an installation from one kind of database into the other.

use std::mem::discriminant;

use crate::cli::progress::Bar;
use crate::cli::{CliError, database, output};
use crate::config::{self, Config};
use crate::store::{Database, Moved, Stage, relocate};

pub fn run(from: &str, to: Option<&str>, config: &Config, json: bool) -> Result<(), CliError> {
    let from = named("--from", from)?;
    let to = match to {
        Some(to) => named("--to", to)?,
        None => database::of(config),
    };
    if discriminant(&from) == discriminant(&to) {
        let way_out = "both databases are of one kind; `countersign backup` and `countersign restore` copy within one";
        return Err(CliError::usage(way_out));
    }
    if let Database::Sqlite(path) = &from
        && !path.is_file()
    {
        return Err(CliError::failure(format_args!("there is no database {from}")));
    }
    let _source = database::claim(&from)?;
    let _target = database::claim(&to)?;
    let bar = Bar::start();
    let moved = relocate(&from, &to, &mut |progress| {
        let doing = match progress.stage {
            Stage::Copying => "copying",
            Stage::Comparing => "comparing",
        };
        bar.show(progress.done, progress.total, format!("{doing} {}", progress.table));
    });
    drop(bar);
    let moved = moved.map_err(CliError::failure)?;
    print(&from, &to, &moved, json)
}

fn named(option: &str, text: &str) -> Result<Database, CliError> {
    let url = config::database_url(text).map_err(|error| CliError::usage(format_args!("{option}: {error}")))?;
    Ok(database::of_url(&url))
}

fn print(from: &Database, to: &Database, moved: &Moved, json: bool) -> Result<(), CliError> {
    let rows: u64 = moved.tables.iter().map(|table| table.rows).sum();
    if json {
        return output::json(&serde_json::json!({
            "from": from.to_string(),
            "to": to.to_string(),
            "rows": rows,
            "continued_after": moved.continued_after,
            "tables": moved.tables,
        }));
    }
    let filled = moved.tables.iter().filter(|table| table.rows > 0);
    output::table(
        &["TABLE", "ROWS", "FINGERPRINT"],
        filled.map(|table| {
            vec![table.table.clone(), table.rows.to_string(), table.fingerprint.chars().take(16).collect()]
        }),
    )?;
    if moved.continued_after > 0 {
        output::note(format_args!("{} rows had been copied before", moved.continued_after));
    }
    output::line(format_args!(
        "Moved {rows} rows to {to}; every table has the same rows and the same content in both.\n\
         Serve it with COUNTERSIGN_DATABASE_URL and the same master key. {from} can be served no longer."
    ))
}
