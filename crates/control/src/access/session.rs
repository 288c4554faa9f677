//! What stands for a token in a browser: a cookie that says until when it counts and that only this process can have made.
//!
//! Nothing is remembered here: the cookie holds its end and a code (HMAC-SHA-256) over that and the token's hash. A restart has another
//! key and ends every session. A form holds a code over the cookie: another site can make a browser send the cookie, and cannot know
//! that code.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::time::Time;
use ring::hmac;
use subtle::ConstantTimeEq;

/// The cookie's name.
pub(crate) const COOKIE: &str = "mainstay_session";
/// How long a session counts.
pub(crate) const LASTING: Duration = Duration::from_hours(12);
/// Bytes of the end in front of the code.
const END_LEN: usize = 8;

/// Makes cookies and knows its own.
pub(super) struct Sessions(hmac::Key);

/// What a form must hold to be believed.
#[derive(Clone, Debug)]
pub(crate) struct FormToken(String);

impl FormToken {
    /// As it stands in a form.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is it; the time taken tells nothing.
    pub(crate) fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

impl Sessions {
    pub(super) fn new(key: &[u8; 32]) -> Sessions {
        Sessions(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The value of a cookie for whoever showed the token with this hash.
    pub(super) fn begin(&self, hash: &[u8], now: Time) -> String {
        let end = (now + LASTING).as_nanos().to_be_bytes();
        let code = hmac::sign(&self.0, &said(end, hash));
        URL_SAFE_NO_PAD.encode([&end[..], code.as_ref()].concat())
    }

    /// Whether a cookie's value was made for the token with this hash, and still counts.
    pub(super) fn is_of(&self, value: &str, hash: &[u8], now: Time) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(value) else { return false };
        let Some((end, code)) = bytes.split_first_chunk::<END_LEN>() else { return false };
        hmac::verify(&self.0, &said(*end, hash), code).is_ok() && now < Time::from_nanos(u64::from_be_bytes(*end))
    }

    pub(super) fn form_token(&self, cookie: &str) -> FormToken {
        let code = hmac::sign(&self.0, format!("form {cookie}").as_bytes());
        FormToken(URL_SAFE_NO_PAD.encode(code))
    }
}

fn said(end: [u8; END_LEN], hash: &[u8]) -> Vec<u8> {
    [b"session ", &end[..], hash].concat()
}

/// The value of the session's cookie.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_800_000_000);

    #[test]
    fn a_session_counts_for_its_token_its_process_and_its_time() {
        let sessions = Sessions::new(&[1; 32]);
        let value = sessions.begin(b"hash", NOW);
        assert!(sessions.is_of(&value, b"hash", NOW + LASTING - Duration::from_secs(1)));
        assert!(!sessions.is_of(&value, b"hash", NOW + LASTING));
        assert!(!sessions.is_of(&value, b"other", NOW));
        assert!(!Sessions::new(&[2; 32]).is_of(&value, b"hash", NOW));
        let mut later = URL_SAFE_NO_PAD.decode(&value).unwrap();
        later[0] = 0xff;
        for forged in [URL_SAFE_NO_PAD.encode(later), String::new(), "%".to_owned(), value[..10].to_owned()] {
            assert!(!sessions.is_of(&forged, b"hash", NOW), "{forged}");
        }
    }

    #[test]
    fn a_form_is_believed_from_the_browser_that_it_was_made_for() {
        let sessions = Sessions::new(&[1; 32]);
        let token = sessions.form_token("a");
        assert!(token.is(sessions.form_token("a").as_str()));
        assert!(!token.is(sessions.form_token("b").as_str()) && !token.is("") && !token.is(&token.as_str()[1..]));
        assert!(!token.is(Sessions::new(&[2; 32]).form_token("a").as_str()));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; xmainstay_session=2".parse().unwrap());
        assert_eq!(cookie(&headers), None);
        headers.append(header::COOKIE, "mainstay_session_2=3; mainstay_session=4=; b=5".parse().unwrap());
        assert_eq!(cookie(&headers), Some("4="));
    }
}
