//! Query parameters, and the arithmetic of pages (wire contract, 1.2 and 1.9).

use actix_web::HttpRequest;
use chrono::{DateTime, Utc};

use crate::domain::text::parse_timestamp;
use crate::domain::violation::Violation;
use crate::store::Window;

use super::body::whole_number;
use super::envelope::ResultInfo;
use super::error::ApiError;

const DEFAULT_PER_PAGE: i64 = 20;
/// More is cut to this, and `result_info` says so (section 8, row 12).
const MAX_PER_PAGE: i64 = 1000;

/// The decoded query of a request. A name that is given twice counts once: the first. Each fault is kept, and none
/// ends the reading.
pub struct Parameters {
    pairs: Vec<(String, String)>,
    faults: Vec<Violation>,
}

impl Parameters {
    pub fn of(request: &HttpRequest) -> Self {
        let query = url::form_urlencoded::parse(request.query_string().as_bytes());
        Self { pairs: query.into_owned().collect(), faults: Vec::new() }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that `read` understands; `what` says what it should have been.
    pub fn parsed<T>(&mut self, name: &str, what: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let parsed = read(text);
        if parsed.is_none() {
            let shown: String = text.chars().take(60).collect();
            let message = format!("the query parameter {name} must be {what}, not {shown:?}");
            self.faults.push(Violation::new("", message));
        }
        parsed
    }

    /// A text that stored ones are compared with. PostgreSQL takes no NUL, and no text has one.
    pub fn stored_text(&mut self, name: &str) -> Option<String> {
        self.parsed(name, "a text without NUL characters", |text| (!text.contains('\0')).then(|| text.to_owned()))
    }

    /// `true` or `false`.
    pub fn switch(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, "true or false", |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    pub fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        // A `+` of an offset that nobody percent-encoded arrives as a blank.
        self.parsed(name, "a date or an RFC 3339 time such as 2027-01-31T00:00:00Z", |text| {
            parse_timestamp(&text.replace(' ', "+"))
        })
    }

    /// Ends the reading: any fault is an answer.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.faults)) }
    }

    /// A whole number of at least `min`; `1.0` is one, since SDKs type pages as floats.
    fn number(&mut self, name: &str, min: i64) -> Option<i64> {
        self.parsed(name, &format!("a whole number from {min}"), |text| {
            let number = text.parse().ok().and_then(whole_number)?;
            (number >= min).then_some(number)
        })
    }
}

/// A page inside a window: `offset` and `limit` cut the window, `page` and `per_page` move inside it, so that every
/// loop of every SDK ends with an empty page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    page: i64,
    per_page: i64,
    offset: i64,
    limit: Option<i64>,
}

impl PageRequest {
    pub fn of(parameters: &mut Parameters) -> Self {
        let limit = parameters.number("limit", 0);
        let per_page = parameters.number("per_page", 1);
        Self {
            page: parameters.number("page", 1).unwrap_or(1),
            per_page: per_page.or(limit).unwrap_or(DEFAULT_PER_PAGE).clamp(1, MAX_PER_PAGE),
            offset: parameters.number("offset", 0).unwrap_or(0),
            limit,
        }
    }

    /// A page where one is asked for; else everything, for clients that take a list for one page (wire contract, 2.2).
    pub fn or_all(parameters: &mut Parameters) -> Self {
        let asks = ["page", "per_page", "limit", "offset"].iter().any(|name| parameters.text(name).is_some());
        let page = Self::of(parameters);
        if asks { page } else { Self { per_page: i64::MAX, ..page } }
    }

    /// The rows of this page, counted in the filtered list.
    pub fn window(&self) -> Window {
        let into_window = (self.page - 1).saturating_mul(self.per_page);
        let left = self.limit.map_or(i64::MAX, |limit| limit.saturating_sub(into_window).max(0));
        Window { offset: self.offset.saturating_add(into_window), length: self.per_page.min(left) }
    }

    pub fn info(&self, count: usize, total_count: i64) -> ResultInfo {
        // Where everything was asked for, the page is as long as the list.
        let per_page = self.per_page.min(total_count.max(MAX_PER_PAGE));
        ResultInfo {
            page: self.page,
            per_page,
            count: i64::try_from(count).unwrap_or(i64::MAX),
            total_count,
            total_pages: total_count / per_page + i64::from(total_count % per_page != 0),
        }
    }

    /// This page of a list that is small enough to be at hand whole.
    pub fn of_list<T>(&self, list: Vec<T>) -> (Vec<T>, ResultInfo) {
        let total = i64::try_from(list.len()).unwrap_or(i64::MAX);
        let window = self.window();
        let skip = usize::try_from(window.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(window.length).unwrap_or(usize::MAX);
        let items: Vec<_> = list.into_iter().skip(skip).take(take).collect();
        let info = self.info(items.len(), total);
        (items, info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &str) -> Result<PageRequest, ApiError> {
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut parameters = Parameters { pairs, faults: Vec::new() };
        let page = PageRequest::of(&mut parameters);
        parameters.finish().map(|()| page)
    }

    fn window(query: &str) -> (i64, i64) {
        let window = request(query).unwrap().window();
        (window.offset, window.length)
    }

    #[test]
    fn pages_move_inside_the_window_that_offset_and_limit_cut() {
        for (query, expected) in [
            ("", (0, 20)),
            ("page=2", (20, 20)),
            ("page=3&per_page=5", (10, 5)),
            ("page=1.0&per_page=50", (0, 50)),
            ("limit=10&offset=10", (10, 10)),
            ("limit=10&offset=10&page=2", (20, 0)),
            ("limit=12&per_page=5&page=3", (10, 2)),
            ("limit=12&per_page=5&page=4", (15, 0)),
            ("per_page=5000", (0, 1000)),
            ("limit=5000&page=2", (1000, 1000)),
            ("limit=0", (0, 0)),
            ("page=1e300", (i64::MAX, 20)),
        ] {
            assert_eq!(window(query), expected, "{query}");
        }
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for query in
            ["page=0", "page=-1", "page=one", "page=1.5", "page=", "page=NaN", "per_page=0", "limit=-1", "offset=x"]
        {
            assert!(request(query).is_err(), "{query}");
        }
    }

    #[test]
    fn every_loop_over_pages_ends_with_an_empty_one() {
        for query in ["", "per_page=5", "limit=10", "limit=7&per_page=3", "offset=3", "limit=10&offset=4&per_page=2"] {
            let list: Vec<i32> = (0..23).collect();
            let mut seen = 0;
            let ended = (1..100).any(|page| {
                let request = request(&format!("{query}&page={page}")).unwrap();
                let (items, _) = request.of_list(list.clone());
                seen += items.len();
                items.is_empty()
            });
            assert!(ended && seen <= 23, "{query}");
        }
    }
}
