use super::*;

/// A database with a bit of everything, without what the services would write.
fn filled(folder: &std::path::Path, name: &str) -> Database {
    let database = Database::Sqlite(folder.join(name));
    let mut connection = connection::open_writer(&database).unwrap();
    migrations::run(&mut connection).unwrap();
    let events: String = (0..5000)
        .map(|number| format!("INSERT INTO events (account_id, zone_id, at, kind, body) VALUES (X'00', NULL, {number}, 'k', 'é{number}');"))
        .collect();
    connection
        .batch_execute(&format!(
            "BEGIN; INSERT INTO accounts VALUES (X'00', 'one', TRUE, 5), (X'0001', '', FALSE, -5);
             INSERT INTO zones VALUES (X'00', X'00', 'z', 5);
             INSERT INTO master_keys VALUES (1, X'010203', 0);
             INSERT INTO tokens VALUES (X'00', X'00', 't', X'', '[]', NULL, NULL, 9223372036854775807, 0);
             {events} DELETE FROM events WHERE number = 5000; COMMIT;"
        ))
        .unwrap();
    database
}

fn moved(from: &Database, to: &Database) -> Result<Moved, StoreError> {
    relocate(from, to, &mut |_| {})
}

#[test]
fn everything_arrives_and_only_the_copy_can_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (filled(folder.path(), "a.db"), Database::Sqlite(folder.path().join("b.db")));
    let mut told = Vec::new();
    let outcome = relocate(&from, &to, &mut |progress| told.push((progress.stage, progress.done))).unwrap();
    let rows = |name: &str| outcome.tables.iter().find(|table| table.table == name).map(|table| table.rows);
    assert_eq!((rows("accounts"), rows("events"), rows("certificates")), (Some(2), Some(4999), Some(0)));
    assert!(told.contains(&(Stage::Copying, 5004)) && told.contains(&(Stage::Comparing, 5000)), "{told:?}");
    let (mut source, mut target) = (connection::open_writer(&from).unwrap(), connection::open_writer(&to).unwrap());
    assert!(notice::require_none(&mut source).unwrap_err().to_string().contains("b.db"));
    notice::require_none(&mut target).unwrap();
    // The number of the event that was forgotten is not given again.
    assert_eq!(last_event(&mut target).unwrap(), Some(5000));
    // A third time would move it away from where it goes on.
    assert!(moved(&from, &to).unwrap_err().to_string().contains("holds an installation already"));
}

#[test]
fn a_move_that_was_cut_off_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (filled(folder.path(), "a.db"), Database::Sqlite(folder.path().join("b.db")));
    let mut source = connection::open_writer(&from).unwrap();
    let mut target = connection::open_writer(&to).unwrap();
    let installation = installation(&mut source).unwrap().unwrap();
    prepare(&mut target, &to, &installation).unwrap();
    let tables = tables::read(&mut source).unwrap();
    for table in tables.iter().filter(|table| ["accounts", "events"].contains(&table.name.as_str())) {
        // As if the process had ended in the middle of the table.
        let mut rows = Vec::new();
        rows::for_each(&mut source, table, None, |row| {
            rows.push(row.split(table.columns.len()));
            Ok(())
        })
        .unwrap();
        rows.truncate(rows.len() / 2);
        let copied = Copied { rows: rows.len() as u64, after: rows.last().map(|row| row.1.clone()), is_done: false };
        write(&mut target, table, rows.into_iter().map(|row| row.0).collect(), &copied).unwrap();
    }
    assert!(notice::require_none(&mut target).unwrap_err().to_string().contains("goes on where it stopped"));
    drop((source, target));
    let outcome = moved(&from, &to).unwrap();
    assert_eq!(outcome.continued_after, 1 + 2499);
    assert_eq!(outcome.tables.iter().map(|table| table.rows).sum::<u64>(), 5004);
}

#[test]
fn what_is_referred_to_goes_before_what_refers_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = connection::open_writer(&filled(folder.path(), "a.db")).unwrap();
    let authority = |id: &str, parent: &str| {
        format!(
            "INSERT INTO authorities VALUES ({id}, X'00', NULL, {parent}, '', 1, '', X'', X'', X'', 1, X'', 0, 0, 0, 0, NULL);"
        )
    };
    // As a copy from PostgreSQL has them, in the order of their ids.
    let rows = [("X'01'", "X'02'"), ("X'02'", "X'04'"), ("X'03'", "X'04'"), ("X'04'", "NULL"), ("X'05'", "X'03'")];
    let rows: String = rows.iter().map(|(id, parent)| authority(id, parent)).collect();
    source.batch_execute(&format!("PRAGMA foreign_keys = OFF; {rows}")).unwrap();
    let tables = tables::read(&mut source).unwrap();
    let table = tables.iter().find(|table| table.name == "authorities").unwrap();
    let place = table.columns.iter().position(|column| column.name == "id").unwrap();
    let mut read = |after: Option<&[Value]>| {
        let mut rows = Vec::new();
        rows::for_each(&mut source, table, after, |row| {
            let (row, key) = row.split(table.columns.len());
            rows.push((row[place].clone(), key));
            Ok(())
        })
        .unwrap();
        rows
    };
    let all = read(None);
    let ids: Vec<Value> = all.iter().map(|row| row.0.clone()).collect();
    assert_eq!(ids, [4, 2, 3, 1, 5].map(|id| Value::Octets(vec![id])));
    assert_eq!(read(Some(&all[1].1)), all[2..]);
}

#[test]
fn what_is_no_target_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let from = filled(folder.path(), "a.db");
    let other = filled(folder.path(), "b.db");
    let said = moved(&from, &other).unwrap_err().to_string();
    assert!(said.contains("holds an installation already"), "{said}");
    let empty = Database::Sqlite(folder.path().join("c.db"));
    migrations::run(&mut connection::open_writer(&empty).unwrap()).unwrap();
    assert!(moved(&empty, &other).unwrap_err().to_string().contains("nothing to move"));
    // Another installation's half move.
    let mut connection = connection::open_writer(&empty).unwrap();
    claim(&mut connection, &empty, "somebody else").unwrap();
    assert!(moved(&from, &empty).unwrap_err().to_string().contains("another installation"));
}

#[test]
fn a_row_that_differs_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (filled(folder.path(), "a.db"), Database::Sqlite(folder.path().join("b.db")));
    let mut meddled = false;
    let outcome = relocate(&from, &to, &mut |progress| {
        if progress.stage == Stage::Copying && progress.table == "zones" && !meddled {
            meddled = true;
            let mut target = connection::open_writer(&to).unwrap();
            target.batch_execute("UPDATE accounts SET name = 'two' WHERE name = 'one'").unwrap();
        }
    });
    assert!(outcome.unwrap_err().to_string().contains("the rows of accounts are not the same"));
    assert!(notice::require_none(&mut connection::open_writer(&to).unwrap()).is_err());
    notice::require_none(&mut connection::open_writer(&from).unwrap()).unwrap();
}
