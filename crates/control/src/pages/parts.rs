//! What pages are made of.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use mainstay_core::event::format_time;
use mainstay_core::time::Time;
use maud::{Markup, Render, html};

pub(super) use crate::percent::encoded;
use crate::problem::{Kind, Problem};
use crate::review::text::{Text, utc};
use crate::site::Site;

/// Rows of a page of a list.
pub(super) const ROWS: usize = 50;
/// Rows of a page of a list that stands below another.
const OTHER_ROWS: usize = 20;

/// Bytes of a page for what stands in full in the addresses and forms of a list's rows, however long its names are.
const IN_FULL: usize = 12 << 10;

/// Most characters of a line of a list.
const BRIEF_MAX: usize = 160;

/// How something stands: by a word always, and by a colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Plain,
    Warn,
    Bad,
}

/// A word that says how something stands.
pub(super) fn badge(word: &str, tone: Tone) -> Markup {
    let class = match tone {
        Tone::Good => "badge good",
        Tone::Plain => "badge",
        Tone::Warn => "badge warn",
        Tone::Bad => "badge bad",
    };
    html! { span class=(class) { (Text::short(word.replace('_', " ")).as_str()) } }
}

/// A name or a label, cut where it is long; all of it shows where one points to it, as far as is sensible.
pub(super) fn cut(text: &str) -> Markup {
    let short = Text::short(text);
    html! {
        @if short.as_str().ends_with('…') { span title=(brief(text)) { (short.as_str()) } }
        @else { (short.as_str()) }
    }
}

/// A line, cut where it is long.
pub(super) fn line(text: &str) -> Markup {
    html! { (Text::line(text).as_str()) }
}

/// A line of a list, cut where it is longer than a list has room for.
pub(super) fn brief(text: &str) -> Markup {
    let line = Text::line(text);
    let end = line.as_str().char_indices().nth(BRIEF_MAX).map(|(at, _)| at);
    html! { @if let Some(end) = end { (line.as_str()[..end]) "…" } @else { (line.as_str()) } }
}

/// A moment, in UTC.
pub(super) fn when(time: Time) -> Markup {
    html! { time datetime=(format_time(time)) { (utc(time)) } }
}

/// A moment, or that there is none.
pub(super) fn when_or(time: Option<Time>, or: &str) -> Markup {
    time.map_or_else(|| html! { span.unknown { (or) } }, when)
}

/// What stands where there is nothing to show.
pub(super) fn empty(why: &str) -> Markup {
    html! { p.unknown { (why) } }
}

/// That there are more than are shown.
pub(super) fn beyond(total: usize, shown: usize) -> Markup {
    html! { @if total > shown { p.note { "And " (total - shown) " more." } } }
}

/// A table that can be scrolled sideways, with what it is about.
pub(super) fn table(about: &str, head: &[&str], rows: &[Markup]) -> Markup {
    html! {
        div.wide role="region" tabindex="0" aria-label=(about) {
            table {
                caption.hidden { (about) }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody { @for row in rows { tr { (row) } } }
            }
        }
    }
}

/// A figure with what it counts.
pub(super) fn tile(name: &str, value: impl Render, tone: Tone, href: &str) -> Markup {
    let class = match tone {
        Tone::Good => "tile good",
        Tone::Plain => "tile",
        Tone::Warn => "tile warn",
        Tone::Bad => "tile bad",
    };
    html! { li class=(class) { a href=(href) { strong { (value) } " " span { (name) } } } }
}

/// What a page is asked for in its address; what is empty is not asked.
#[derive(Clone, Default)]
pub(super) struct Asked(BTreeMap<String, String>);

impl FromRequestParts<Site> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Asked, Problem> {
        let query = Query::<BTreeMap<String, String>>::from_request_parts(parts, site).await;
        let Query(mut asked) = query.map_err(|why| Problem::new(Kind::BadRequest, why.body_text()))?;
        asked.retain(|_, value| !value.is_empty());
        Ok(Asked(asked))
    }
}

impl Asked {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn or_empty(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// What a choice between yes and no says.
    pub(super) fn yes_or_no(&self, name: &str) -> Option<bool> {
        yes_or_no(self.or_empty(name))
    }

    /// Pages of a list that come before the one that is asked for.
    fn page(&self, list: &str) -> usize {
        self.get(list).and_then(|page| page.parse::<usize>().ok()).map_or(0, |page| page.clamp(1, 1_000_000) - 1)
    }

    /// The address of the same with something else in place.
    pub(super) fn with(&self, path: &str, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(other, _)| *other != name && *other != "done");
        let others = others.map(|(name, value)| (name.as_str(), value.as_str()));
        let all = others.chain([(name, value)].into_iter().filter(|(_, value)| !value.is_empty()));
        let pairs: Vec<String> = all.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }

    /// The rows of the page that is asked for, and the way to the others.
    pub(super) fn rows<'a, T>(&self, path: &str, all: &'a [T]) -> (&'a [T], Markup) {
        self.part(path, ("page", "this list"), &starts(ROWS, all, |_| 0), all)
    }

    /// The same where each row has names in full, so many bytes of them: there are fewer rows where they are long.
    pub(super) fn rows_by<'a, T>(&self, path: &str, all: &'a [T], in_full: impl Fn(&T) -> usize) -> (&'a [T], Markup) {
        self.part(path, ("page", "this list"), &starts(ROWS, all, in_full), all)
    }

    /// As `others`, and as `rows_by`.
    pub(super) fn others_by<'a, T>(
        &self,
        path: &str,
        list: (&str, &str),
        all: &'a [T],
        in_full: impl Fn(&T) -> usize,
    ) -> (&'a [T], Markup) {
        self.part(path, list, &starts(OTHER_ROWS, all, in_full), all)
    }

    /// The same of another list on the page, by the parameter that counts its pages and by what it is; it is shorter.
    pub(super) fn others<'a, T>(&self, path: &str, list: (&str, &str), all: &'a [T]) -> (&'a [T], Markup) {
        self.part(path, list, &starts(OTHER_ROWS, all, |_| 0), all)
    }

    /// The rows of one page, of which there are so many that begin at these.
    fn part<'a, T>(&self, path: &str, (list, what): (&str, &str), starts: &[usize], all: &'a [T]) -> (&'a [T], Markup) {
        let page = self.page(list).min(starts.len().saturating_sub(1));
        let start = starts.get(page).copied().unwrap_or(0);
        let end = starts.get(page + 1).copied().unwrap_or(all.len());
        (&all[start..end], self.way(path, (list, what), page, (start, end, all.len())))
    }

    /// The same of a list of which only the page that is asked for is read: how many rows come before that page, and how many it has.
    pub(super) fn read_rows(&self) -> (usize, usize) {
        (self.page("page") * ROWS, ROWS)
    }

    /// The way to the other pages of a list of which one page was read, that after the first `skipped` rows.
    pub(super) fn read_pager(&self, path: &str, skipped: usize, shown: usize, total: usize) -> Markup {
        self.way(path, ("page", "this list"), skipped / ROWS, (skipped, skipped + shown, total))
    }

    /// The way to the other pages of a list: it shows one that goes from a row to another of so many.
    fn way(
        &self,
        path: &str,
        (list, what): (&str, &str),
        page: usize,
        (start, end, total): (usize, usize, usize),
    ) -> Markup {
        let at = |page: usize| self.with(path, list, &(page + 1).to_string());
        html! {
            @if start > 0 || end < total {
                nav.pager aria-label={ "Pages of " (what) } {
                    @if page > 0 { a rel="prev" href=(at(page - 1)) { "Back" } " " }
                    span { (start + 1) " to " (end) " of " (total) }
                    @if end < total { " " a rel="next" href=(at(page + 1)) { "Next" } }
                }
            }
        }
    }

    /// What was done, if a form has just been sent and it is one of these.
    pub(super) fn done(&self, known: &[(&str, &'static str)]) -> Markup {
        let done = self.get("done").and_then(|done| known.iter().find(|(word, _)| *word == done));
        html! { @if let Some((_, said)) = done { p.said role="status" { (said) } } }
    }
}

/// What a choice between yes and no says; `None`: neither.
pub(super) fn yes_or_no(word: &str) -> Option<bool> {
    match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Where the pages of a list begin: each has so many rows, or as many as have room where names stand in full, one at least.
fn starts<T>(most: usize, all: &[T], in_full: impl Fn(&T) -> usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut left = 0;
    for (at, row) in all.iter().enumerate() {
        let is_full = starts.last().is_none_or(|start| at - start == most);
        if is_full || in_full(row) > left {
            starts.push(at);
            left = IN_FULL;
        }
        left = left.saturating_sub(in_full(row));
    }
    starts
}

/// As many of the first as have room where each stands in full.
pub(super) fn room_for(names: &[String], most: usize) -> &[String] {
    let mut left = IN_FULL / 3;
    let fit = |name: &&String| {
        let fits = spelled(name) <= left;
        left = left.saturating_sub(spelled(name));
        fits
    };
    &names[..names.iter().take(most).take_while(fit).count()]
}

/// Bytes of a name in an address; in a form it has about as many.
pub(super) fn spelled(name: &str) -> usize {
    encoded(name).len()
}

/// A form that asks for the same list otherwise.
pub(super) fn filter(path: &str, fields: &[Markup]) -> Markup {
    html! {
        form.filter method="get" action=(path) role="search" {
            @for field in fields { (field) }
            button type="submit" { "Filter" }
        }
    }
}

/// A field of text of such a form.
pub(super) fn text_field(asked: &Asked, name: &str, label: &str) -> Markup {
    html! {
        label { span { (label) } input type="search" name=(name) value=(asked.or_empty(name)); }
    }
}

/// A choice of such a form; the first stands for all.
pub(super) fn choice(asked: &Asked, name: &str, label: &str, all: &str, words: &[&str]) -> Markup {
    let chosen = asked.or_empty(name);
    html! {
        label {
            span { (label) }
            select name=(name) {
                option value="" { (all) }
                @for word in words { option value=(word) selected[*word == chosen] { (word.replace('_', " ")) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Asked {
        Asked(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_list_is_cut_into_pages() {
        let all: Vec<usize> = (0..120).collect();
        let (rows, way) = asked(&[("page", "3"), ("q", "a&b")]).rows("/slos", &all);
        assert_eq!(rows, (100..120).collect::<Vec<_>>());
        let way = way.into_string();
        assert!(way.contains("101 to 120 of 120") && way.contains("/slos?q=a%26b&amp;page=2"), "{way}");
        assert!(!way.contains("Next"), "{way}");
        for beyond in ["0", "-1", "x", "99999999999999999999999"] {
            assert!(!asked(&[("page", beyond)]).rows("/slos", &all).0.is_empty(), "{beyond}");
        }
        let (rows, way) = asked(&[("page", "7")]).rows("/slos", &all[..1]);
        assert_eq!((rows, way.into_string().as_str()), (&all[..1], ""));
        assert!(asked(&[]).rows::<usize>("/slos", &[]).0.is_empty());
        // Two lists of a page are turned by themselves.
        let (rows, way) = asked(&[("page", "2"), ("known", "6")]).others("/x", ("known", "what is known"), &all);
        assert_eq!(rows, (100..120).collect::<Vec<_>>());
        let way = way.into_string();
        // One long name takes the room of others on its page alone.
        let names = [100, 13_000, 100, 6_000, 6_000, 500, 1];
        assert_eq!(starts(50, &names, |bytes| *bytes), [0, 1, 2, 5]);
        assert_eq!(starts(3, &[1; 7], |bytes| *bytes), [0, 3, 6]);
        assert_eq!(starts(3, &[0; 0], |bytes| *bytes), [0; 0]);
        assert!(way.contains("Pages of what is known") && way.contains("/x?page=2&amp;known=5"), "{way}");
    }

    #[test]
    fn what_came_from_outside_stays_text() {
        assert_eq!(encoded("a/b?c=\"é\""), "a%2Fb%3Fc%3D%22%C3%A9%22");
        let long = format!("<script>{}", "x".repeat(10_000));
        let shown = cut(&long).into_string();
        assert!(shown.len() < 1_000 && !shown.contains("<script>"), "{shown}");
        assert_eq!(asked(&[("done", "<b>")]).done(&[("ack", "Taken.")]).into_string(), "");
        assert_eq!(
            asked(&[("done", "ack")]).done(&[("ack", "Taken.")]).into_string(),
            r#"<p class="said" role="status">Taken.</p>"#
        );
    }
}
