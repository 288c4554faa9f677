//! What a form says, and whether it is one of ours.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use mainstay_core::plan::Role;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::frame::Viewer;
use super::parts::yes_or_no;
use super::response::lacking;
use crate::access::FormToken;
use crate::endpoints::read::{expect_media, read_body};
use crate::problem::{Kind, Problem};
use crate::site::Site;

/// Longest form, in bytes.
const FORM_MAX: usize = 64 << 10;
/// Most fields.
const FIELDS_MAX: usize = 100;
/// The field that shows where a form came from.
pub(super) const TOKEN: &str = "form";

/// A form that was filled in on one of our pages.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// A field without the white space around it; empty where it is absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    /// What a choice between yes and no says.
    pub(super) fn yes_or_no(&self, name: &str) -> Option<bool> {
        yes_or_no(self.get(name))
    }

    /// A field that is not empty.
    pub(super) fn some(&self, name: &str) -> Option<String> {
        Some(self.get(name)).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// Those of these fields that are not empty, as the API takes them.
    pub(super) fn json(&self, names: &[&str]) -> Map<String, Value> {
        let some = |name: &&str| Some(((*name).to_owned(), Value::String(self.some(name)?)));
        names.iter().filter_map(some).collect()
    }

    /// The lines of a field that are not empty.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        self.get(name).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

impl FromRequest<Site> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Site) -> Result<Form, Problem> {
        let (token, form) = read(request).await?;
        let token = token.ok_or_else(|| Problem::new(Kind::Forbidden, "nothing can be done in the dashboard here"))?;
        if !token.is(form.get(TOKEN)) {
            let detail = "the form is of another session: load the page again; nothing was done";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        Ok(form)
    }
}

/// A form that whoever has no session yet may send.
pub(super) async fn read(request: Request) -> Result<(Option<FormToken>, Form), Problem> {
    expect_media(request.headers(), &["application/x-www-form-urlencoded"])?;
    let token = request.extensions().get::<FormToken>().cloned();
    let body = read_body(request.into_body(), FORM_MAX).await?;
    Ok((token, Form(fields(&body))))
}

/// What the API reads, out of a form.
pub(super) fn read_as<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Problem> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| Problem::new(Kind::Invalid, error.to_string()))
}

/// The fields of an encoded form; of two with one name the last.
fn fields(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).take(FIELDS_MAX);
    let pair = |pair: &[u8]| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (decoded(&pair[..at]), decoded(pair.get(at + 1..).unwrap_or_default()))
    };
    pairs.map(pair).collect()
}

fn decoded(text: &[u8]) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, more @ ..] = rest {
        let hex = (*first == b'%').then(|| byte(more)).flatten();
        let (byte, used) = match (hex, first) {
            (Some(byte), _) => (byte, 3),
            (None, b'+') => (b' ', 1),
            (None, other) => (*other, 1),
        };
        out.push(byte);
        rest = &rest[used..];
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The byte of two hexadecimal digits.
fn byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    Some((digit(0)? * 16 + digit(1)?) as u8)
}

/// The hidden field that makes a form one of ours.
pub(super) fn hidden(viewer: &Viewer) -> maud::Markup {
    maud::html! { @if let Some(token) = viewer.token() { input type="hidden" name=(TOKEN) value=(token); } }
}

/// A form that asks why something is ended, and ends it.
pub(super) fn ending(viewer: &Viewer, action: &str, label: &str) -> maud::Markup {
    maud::html! {
        @if viewer.may(Role::Responder) {
            form method="post" action=(action) {
                (hidden(viewer))
                p { label.above for="reason" { "Why" } input #reason name="reason" required; }
                p { button.danger type="submit" { (label) } }
            }
        } @else { (lacking(Role::Responder)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded() {
        let form = Form(fields(b"a=1+2&b=%3Cx%3E%0D%0Ay&c&=z&a=%e2%9c%93&bad=%4&worse=%zz%"));
        assert_eq!([form.get("a"), form.get("b"), form.get("c"), form.get("none")], ["✓", "<x>\r\ny", "", ""]);
        assert_eq!([form.get("bad"), form.get("worse")], ["%4", "%zz%"]);
        assert_eq!(form.lines("b"), ["<x>", "y"]);
        assert_eq!((form.some("c"), form.some("a")), (None, Some("✓".to_owned())));
        assert_eq!(fields(&b"x=1&".repeat(10)).len(), 1);
        assert_eq!(decoded(b"%ff"), "\u{fffd}");
    }
}
