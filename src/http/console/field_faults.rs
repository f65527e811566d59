//! What is wrong with a form, each fault beside the field that it is about.

use std::fmt::Write;

use askama::filters::Safe;

use crate::domain::violation::Violation;

use super::show::{self, Html};

/// So many are shown at one field, each in so many characters.
const MOST: usize = 20;
const MAX_TEXT: usize = 400;

#[derive(Default)]
pub struct FieldFaults {
    violations: Vec<Violation>,
    /// The fields that the form has; what is about another place is about the form as a whole.
    fields: &'static [&'static str],
}

impl FieldFaults {
    pub fn new(violations: Vec<Violation>, fields: &'static [&'static str]) -> Self {
        Self { violations, fields }
    }

    pub fn is_empty(&self) -> bool {
        self.violations.is_empty()
    }

    /// Those of one field, as paragraphs.
    pub fn of(&self, field: &str) -> Html {
        written(self.violations.iter().filter(|violation| place(violation) == field))
    }

    /// Those of no field.
    pub fn other(&self) -> Html {
        written(self.violations.iter().filter(|violation| !self.fields.contains(&place(violation))))
    }

    /// What marks the frame of a field.
    pub fn class(&self, field: &str) -> &'static str {
        if self.violations.iter().any(|violation| place(violation) == field) { " faulty" } else { "" }
    }
}

/// The first word of a JSON pointer.
fn place(violation: &Violation) -> &str {
    violation.pointer.split('/').nth(1).unwrap_or_default()
}

fn written<'a>(violations: impl Iterator<Item = &'a Violation>) -> Html {
    let mut html = String::new();
    for violation in violations.take(MOST) {
        let _ = write!(html, "<p class=\"fault\">{}</p>", show::shortened(&violation.message, MAX_TEXT).0);
    }
    Safe(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_stands_at_its_field_and_as_text() {
        let violations =
            vec![Violation::new("/hosts/1", "<b>"), Violation::new("", "whole"), Violation::new("/x", "x")];
        let faults = FieldFaults::new(violations, &["hosts", "name"]);
        assert_eq!(faults.of("hosts").0, "<p class=\"fault\"><bdi>&lt;b&gt;</bdi></p>");
        assert_eq!((faults.of("name").0.as_str(), faults.class("name"), faults.class("hosts")), ("", "", " faulty"));
        assert_eq!(faults.other().0, "<p class=\"fault\"><bdi>whole</bdi></p><p class=\"fault\"><bdi>x</bdi></p>");
    }
}
