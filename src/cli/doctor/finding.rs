//! What a check finds.

use serde::Serialize;

use crate::cli::escape::{escape, escape_lines};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    pub check: String,
    pub message: String,
    /// What to do about it.
    pub way_out: Option<String>,
}

#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn ok(&mut self, check: &str, message: impl Into<String>) {
        self.add(Verdict::Ok, check, message.into(), None);
    }

    pub fn warn(&mut self, check: &str, message: impl Into<String>, way_out: &str) {
        self.add(Verdict::Warn, check, message.into(), Some(way_out.to_owned()));
    }

    pub fn fail(&mut self, check: &str, message: impl Into<String>, way_out: &str) {
        self.add(Verdict::Fail, check, message.into(), Some(way_out.to_owned()));
    }

    pub fn worst(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    fn add(&mut self, verdict: Verdict, check: &str, message: String, way_out: Option<String>) {
        self.findings.push(Finding { verdict, check: check.to_owned(), message, way_out });
    }
}

impl Finding {
    /// `warn  token: it expires on …; make a new one`, safe for a terminal.
    pub fn line(&self, colours: bool) -> String {
        let (word, colour) = match self.verdict {
            Verdict::Ok => ("ok  ", "32"),
            Verdict::Warn => ("warn", "33"),
            Verdict::Fail => ("fail", "31"),
        };
        let word = if colours { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.to_owned() };
        let way_out = self.way_out.as_deref().map(|way_out| format!("; {}", escape(way_out))).unwrap_or_default();
        format!("{word}  {}: {}{way_out}", escape(&self.check), escape_lines(&self.message).replace('\n', "; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_safe_line() {
        let mut report = Report::default();
        report.ok("one", "fine");
        report.warn("two\u{1b}", "a\nb", "do c");
        assert_eq!(report.worst(), Verdict::Warn);
        let lines: Vec<String> = report.findings.iter().map(|finding| finding.line(false)).collect();
        assert_eq!(lines, ["ok    one: fine", "warn  two\\u{1b}: a; b; do c"]);
        assert!(report.findings[0].line(true).starts_with("\u{1b}[32mok"));
    }
}
