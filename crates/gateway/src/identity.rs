//! Who calls, and what may be believed of what they say.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

use aho_corasick::AhoCorasick;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use mainstay_core::plan::Plan;
use mainstay_core::rng::Rng;
use mainstay_core::route::Class;

use crate::StartError;

/// The header that names a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Other places for a client's key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Longest request id that is taken over.
const REQUEST_ID_MAX: usize = 128;

/// The clients that may show a key, and the peers that are believed without one.
#[derive(Debug)]
pub(crate) struct Clients {
    by_key: HashMap<String, usize>,
    known: Vec<Known>,
    trusted: Vec<ipnet::IpNet>,
    /// Headers that only trusted peers may send.
    guarded: Vec<HeaderName>,
    /// Finds any of the keys in a text; made when it is first asked. `None`: it could not be made.
    finder: OnceLock<Option<AhoCorasick>>,
}

#[derive(Debug)]
struct Known {
    name: String,
    max_class: Class,
    rate: Option<DefaultDirectRateLimiter>,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// Whether it is within `trust.from`.
    pub(crate) trusted: bool,
    client: Option<&'a Known>,
}

impl Clients {
    pub(crate) fn new(plan: &Plan) -> Result<Clients, StartError> {
        let mut by_key = HashMap::new();
        let mut known = Vec::new();
        for (name, client) in &plan.clients {
            let key = client.key.expose().ok_or_else(|| StartError::Secret(client.key.source.to_string()))?;
            if by_key.insert(key.to_owned(), known.len()).is_some() {
                return Err(StartError::SharedKey(name.clone()));
            }
            let rate = client.rate.map(|per_second| RateLimiter::direct(quota(per_second)));
            known.push(Known { name: name.clone(), max_class: client.max_class, rate });
        }
        let guarded = plan.trust.headers.iter().filter_map(|h| HeaderName::try_from(h.as_str()).ok()).collect();
        Ok(Clients { by_key, known, trusted: plan.trust.from.clone(), guarded, finder: OnceLock::new() })
    }

    /// Clients that show these keys, and nobody else.
    #[cfg(test)]
    pub(crate) fn of_keys(keys: &[&str]) -> Clients {
        let by_key = keys.iter().enumerate().map(|(at, key)| ((*key).to_owned(), at)).collect();
        let known = keys.iter().map(|key| Known { name: format!("of {key}"), max_class: Class::BEST, rate: None });
        let (trusted, guarded) = (Vec::new(), Vec::new());
        Clients { by_key, known: known.collect(), trusted, guarded, finder: OnceLock::new() }
    }

    /// Whether any client's key stands in `text`. Where that cannot be told, it does.
    pub(crate) fn is_key_in(&self, text: &[u8]) -> bool {
        let finder =
            self.finder.get_or_init(|| AhoCorasick::new(self.by_key.keys().filter(|key| !key.is_empty())).ok());
        finder.as_ref().is_none_or(|finder| finder.is_match(text))
    }

    /// The sender of a request that is sent again in its name. `None`: there is no such client any more.
    pub(crate) fn again(&self, client: &str, trusted: bool) -> Option<Caller<'_>> {
        if client.is_empty() {
            return Some(Caller { trusted, client: None });
        }
        let client = self.known.iter().find(|known| known.name == client)?;
        Some(Caller { trusted, client: Some(client) })
    }

    /// Whether any client is configured.
    pub(crate) fn any(&self) -> bool {
        !self.known.is_empty()
    }

    /// Tells who calls. From anyone but a trusted peer the guarded headers are taken away; a key of ours goes no further.
    pub(crate) fn identify(&self, peer: IpAddr, headers: &mut HeaderMap) -> Caller<'_> {
        let trusted = self.trusted.iter().any(|net| net.contains(&peer));
        if !trusted {
            for name in &self.guarded {
                headers.remove(name);
            }
        }
        let client = self.client(headers);
        if client.is_some() {
            headers.remove(header::AUTHORIZATION);
            headers.remove(API_KEY);
        }
        Caller { trusted, client }
    }

    fn client(&self, headers: &HeaderMap) -> Option<&Known> {
        if self.known.is_empty() {
            return None;
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| {
            let (scheme, key) = v.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
        let key = bearer.or_else(|| headers.get(API_KEY).and_then(|v| v.to_str().ok()))?;
        self.by_key.get(key).and_then(|at| self.known.get(*at))
    }
}

impl<'a> Caller<'a> {
    /// Neither a client nor trusted.
    pub(crate) fn is_stranger(&self) -> bool {
        !self.trusted && self.client.is_none()
    }

    /// The client's name; "" for others.
    pub(crate) fn name(&self) -> &'a str {
        self.client.map_or("", |c| &c.name)
    }

    /// The best class it may have.
    pub(crate) fn best_class(&self) -> Class {
        match self.client {
            Some(client) => client.max_class,
            None if self.trusted => Class::BEST,
            None => Class::WORST,
        }
    }

    /// Whether its own rate allows another request; if not, when the next may come.
    pub(crate) fn within_rate(&self) -> Result<(), Duration> {
        let Some(rate) = self.client.and_then(|c| c.rate.as_ref()) else { return Ok(()) };
        rate.check().map_err(|wait| wait.wait_time_from(governor::clock::DefaultClock::default().now()))
    }
}

/// A rate as a quota with a burst of one second's worth.
fn quota(per_second: f64) -> Quota {
    let burst = NonZeroU32::new(per_second.ceil().clamp(1.0, 1e9) as u32).unwrap_or(NonZeroU32::MIN);
    let period = Duration::from_secs_f64((1.0 / per_second).clamp(1e-9, 86_400.0));
    Quota::with_period(period).unwrap_or_else(|| Quota::per_second(burst)).allow_burst(burst)
}

/// The request's id: the caller's, where it is printable and short, or a new one, which is then written into `headers`.
pub(crate) fn request_id(headers: &mut HeaderMap, rng: &mut Rng) -> HeaderValue {
    let usable = |id: &&HeaderValue| !id.is_empty() && id.len() <= REQUEST_ID_MAX && id.to_str().is_ok();
    if let Some(id) = headers.get(&REQUEST_ID).filter(usable) {
        return id.clone();
    }
    let id = new_id(rng);
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// 128 random bits, as 32 hexadecimal digits.
fn new_id(rng: &mut Rng) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0u8; 32];
    for half in text.chunks_exact_mut(16) {
        let mut bits = rng.next_u64();
        for digit in half {
            *digit = DIGITS[(bits & 15) as usize];
            bits >>= 4;
        }
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_written_and_a_usable_one_is_kept() {
        let mut rng = Rng::new(1);
        let mut headers = HeaderMap::new();
        let made = request_id(&mut headers, &mut rng);
        assert_eq!(made.len(), 32);
        assert_eq!(request_id(&mut headers, &mut rng), made);

        let long = HeaderValue::from_str(&"x".repeat(REQUEST_ID_MAX + 1)).unwrap();
        headers.insert(REQUEST_ID, long);
        assert_eq!(request_id(&mut headers, &mut rng).len(), 32);
    }

    #[test]
    fn a_quota_allows_its_rate() {
        for rate in [0.1, 0.5, 1.0, 500.0, 1e6] {
            let made = quota(rate);
            let period = made.replenish_interval().as_secs_f64();
            assert!((period * rate - 1.0).abs() < 1e-3, "{rate}/s became one per {period} s");
        }
    }
}
