//! What pages are drawn with. It comes with the binary, and its address changes with it.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use crate::review::html;

pub(super) const STYLE: &str = "/assets/mainstay.css";
pub(super) const SCRIPT: &str = "/assets/mainstay.js";
pub(super) const ICON: &str = "/assets/mainstay.svg";

const STYLE_MORE: &str = include_str!("dashboard.css");
const SCRIPT_TEXT: &str = include_str!("dashboard.js");
const ICON_TEXT: &str = include_str!("icon.svg");

/// What tells these files from those of another build.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let all = [html::STYLE, STYLE_MORE, SCRIPT_TEXT, ICON_TEXT].concat();
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, all.as_bytes()).as_ref()[..6])
});

/// The address of one of them, in this build.
pub(super) fn address(path: &str) -> String {
    format!("{path}?v={}", *BUILD)
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", [html::STYLE, STYLE_MORE].concat())
}

pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT_TEXT.to_owned())
}

pub(super) async fn icon() -> Response {
    asset("image/svg+xml", ICON_TEXT.to_owned())
}

fn asset(media: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "private, max-age=86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
