//! What a route is asked these days: its last requests, without anything that proves who sent them, and how many come in a second.
//!
//! Kept in memory only, and only while an order for more traffic is in force.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Uri};
use mainstay_core::route::Class;
use mainstay_core::time::Time;

use crate::headers;
use crate::identity::{Clients, REQUEST_ID};

/// Most requests that are kept of a route.
const REQUESTS_MAX: usize = 256;
/// Longest body that is kept.
pub(crate) const BODY_MAX: usize = 64 << 10;
/// Most bytes of all that is kept of a route.
const BYTES_MAX: usize = 4 << 20;
/// Over which time the rate is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// A rate is not told of less time than this.
const LEAST: Duration = Duration::from_secs(1);
/// How exact the window is.
const SLOTS: usize = 100;
/// What a slot spans.
const SLOT: Duration = Duration::from_millis(WINDOW.as_millis() as u64 / SLOTS as u64);

/// Headers that name one request or its place in a trace.
const LEFT_OUT: [HeaderName; 3] = [REQUEST_ID, headers::TRACEPARENT, HeaderName::from_static("tracestate")];
/// What stands in the names of headers that prove who sends a request: `authorization`, `cookie` and `x-api-key` among them.
const PROVING: [&str; 8] = ["auth", "cookie", "key", "token", "secret", "session", "password", "signature"];
/// Says that a request has an effect that is to happen once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that was seen.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) class: Class,
    /// The client's name; "" for others.
    pub(crate) client: String,
    /// Whether its sender is believed.
    pub(crate) trusted: bool,
}

impl Recorded {
    /// The same without what proves who sent it. `None`: it cannot be sent again. It is too long, its effect is to happen once, or
    /// a client's key stands in its target or its body.
    pub(crate) fn cleaned(mut self, clients: &Clients) -> Option<Recorded> {
        if self.body.len() > BODY_MAX || self.headers.contains_key(IDEMPOTENCY_KEY) {
            return None;
        }
        if clients.is_key_in(&self.body) || clients.is_key_in(self.uri.to_string().as_bytes()) {
            return None;
        }
        let proves = |name: &HeaderName| {
            let values = self.headers.get_all(name);
            LEFT_OUT.contains(name)
                || PROVING.iter().any(|word| name.as_str().contains(word))
                || values.iter().any(|value| value.is_sensitive() || clients.is_key_in(value.as_bytes()))
        };
        let proving: Vec<HeaderName> = self.headers.keys().filter(|name| proves(name)).cloned().collect();
        for name in proving {
            self.headers.remove(name);
        }
        // A piece of a larger buffer would keep all of that.
        self.body = Bytes::copy_from_slice(&self.body);
        Some(self)
    }

    /// How much of the bound it takes.
    fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        let uri = self.uri.path_and_query().map_or(0, |path| path.as_str().len());
        size_of::<Recorded>() + self.body.len() + self.client.len() + uri + headers.sum::<usize>()
    }
}

/// The last requests of a route.
#[derive(Debug)]
pub(crate) struct Mix {
    requests: VecDeque<Arc<Recorded>>,
    bytes: usize,
    arrivals: Arrivals,
}

impl Mix {
    /// Nothing has been seen yet.
    pub(crate) fn new(now: Time) -> Mix {
        Mix { requests: VecDeque::new(), bytes: 0, arrivals: Arrivals::new(now) }
    }

    /// A request has come; `recorded` where it can be sent again.
    pub(crate) fn note(&mut self, recorded: Option<Recorded>, now: Time) {
        self.arrivals.note(now);
        let Some(recorded) = recorded else { return };
        let size = recorded.size();
        if size > BYTES_MAX {
            return;
        }
        self.bytes += size;
        self.requests.push_back(Arc::new(recorded));
        while self.requests.len() > REQUESTS_MAX || self.bytes > BYTES_MAX {
            self.bytes -= self.requests.pop_front().map_or(0, |oldest| oldest.size());
        }
    }

    /// How many requests came in a second.
    pub(crate) fn rate(&self, now: Time) -> f64 {
        self.arrivals.rate(now)
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// One of the requests; `random` lies within [0, 1).
    pub(crate) fn pick(&self, random: f64) -> Option<Arc<Recorded>> {
        self.requests.get((random * self.requests.len() as f64) as usize).cloned()
    }
}

/// How many requests came, over a window that moves.
#[derive(Debug)]
struct Arrivals {
    slots: [u32; SLOTS],
    /// The number of the slot that is open, counted from the start.
    open: u64,
    began: Time,
}

impl Arrivals {
    fn new(now: Time) -> Arrivals {
        Arrivals { slots: [0; SLOTS], open: 0, began: now }
    }

    fn number(&self, now: Time) -> u64 {
        (now.since(self.began).as_nanos() / SLOT.as_nanos()) as u64
    }

    fn note(&mut self, now: Time) {
        let number = self.number(now);
        // Workers' times may come out of order by a little: what is older counts as of the open slot.
        for passed in (self.open + 1..=number).take(SLOTS) {
            self.slots[passed as usize % SLOTS] = 0;
        }
        if number > self.open + SLOTS as u64 {
            self.slots = [0; SLOTS];
        }
        self.open = self.open.max(number);
        let slot = &mut self.slots[self.open as usize % SLOTS];
        *slot = slot.saturating_add(1);
    }

    fn rate(&self, now: Time) -> f64 {
        // The slot that is open began up to its own length ago.
        let number = self.number(now).max(self.open);
        let oldest = (number + 1).saturating_sub(SLOTS as u64);
        let count: u64 = (oldest..=self.open).map(|number| u64::from(self.slots[number as usize % SLOTS])).sum();
        count as f64 / now.since(self.began).clamp(LEAST, WINDOW).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "client-key-0123456789";

    fn recorded(body: &[u8]) -> Recorded {
        Recorded {
            method: Method::POST,
            uri: Uri::from_static("/v2/models/m/infer"),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
            class: Class::WORST,
            client: "shop".to_owned(),
            trusted: false,
        }
    }

    fn clients() -> Clients {
        Clients::of_keys(&[KEY, "another-key"])
    }

    fn at(seconds: f64) -> Time {
        Time::from_secs(1_000) + Duration::from_secs_f64(seconds)
    }

    proptest! {
        #[test]
        fn no_credential_is_ever_kept(
            fields in prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "authorization", "cookie", "x-api-key", "api-key", "proxy-authorization", "x-custom", "x-token",
                        "accept", "user-agent",
                    ]),
                    prop::sample::select(vec![
                        "Bearer client-key-0123456789", "client-key-0123456789", "key=another-key;x", "Bearer else", "text",
                    ]),
                ),
                0..12,
            ),
            uri in prop::sample::select(vec!["/a", "/a?key=client-key-0123456789", "/another-key/b"]),
            body in prop::sample::select(vec!["{}", "{\"key\":\"client-key-0123456789\"}", "another-keyword"]),
        ) {
            let mut request = recorded(body.as_bytes());
            request.uri = Uri::from_static(uri);
            for (name, value) in fields {
                request.headers.append(name, HeaderValue::from_static(value));
            }
            let Some(kept) = request.cleaned(&clients()) else {
                prop_assert!(uri.contains("key") || body.contains("key"));
                return Ok(());
            };
            let text = format!("{kept:?}");
            prop_assert!(!text.contains(KEY) && !text.contains("another-key"), "{}", text);
            for name in ["authorization", "cookie", "x-api-key", "api-key", "proxy-authorization"] {
                prop_assert!(!kept.headers.contains_key(name));
            }
        }

        #[test]
        fn the_ring_stays_within_its_bounds(sizes in prop::collection::vec(0..BODY_MAX * 2, 1..600)) {
            let (mut mix, clients) = (Mix::new(at(0.0)), clients());
            for size in sizes {
                mix.note(recorded(&vec![b'x'; size]).cleaned(&clients), at(0.0));
                prop_assert!(mix.requests.len() <= REQUESTS_MAX && mix.bytes <= BYTES_MAX);
                prop_assert_eq!(mix.bytes, mix.requests.iter().map(|r| r.size()).sum::<usize>());
                prop_assert!(mix.requests.iter().all(|request| request.body.len() <= BODY_MAX));
            }
        }
    }

    #[test]
    fn what_is_to_happen_once_is_not_sent_again() {
        let mut request = recorded(b"{}");
        request.headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("7"));
        assert!(request.cleaned(&clients()).is_none());
    }

    #[test]
    fn the_rate_is_of_the_last_ten_seconds() {
        let mut mix = Mix::new(at(0.0));
        assert_eq!(mix.rate(at(0.0)), 0.0);
        for n in 0..2_000 {
            mix.note(None, at(f64::from(n) / 100.0));
        }
        assert!((mix.rate(at(20.0)) - 100.0).abs() < 2.0, "{}", mix.rate(at(20.0)));
        assert!((mix.rate(at(25.0)) - 50.0).abs() < 2.0, "{}", mix.rate(at(25.0)));
        assert_eq!(mix.rate(at(31.0)), 0.0, "what came before counts no more");
        mix.note(None, at(100.0));
        assert!((mix.rate(at(100.0)) - 0.1).abs() < 1e-9);
        assert!(mix.is_empty() && mix.pick(0.5).is_none(), "none of them could be sent again");
    }

    #[test]
    fn the_first_requests_do_not_make_a_rate_of_thousands() {
        let mut mix = Mix::new(at(0.0));
        (0..10).for_each(|_| mix.note(None, at(0.001)));
        assert_eq!(mix.rate(at(0.002)), 10.0);
    }
}
