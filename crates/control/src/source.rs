//! Prometheus as a source: good and total of an SLI that lives there.
//!
//! ```text
//! Counters { good, total } --expressions--> /api/v1/query --> Reading
//! ```
//!
//! A [`Reading`] keeps four things apart that a ratio would mix up: events, no traffic, no signal, and a query that
//! failed. Only the first two say anything about the service.

mod answer;
mod connection;
mod expression;

use std::time::Duration;

use mainstay_core::time::Time;

pub use connection::UrlError;
pub use expression::{Counters, WINDOW_MARKS};

use connection::Address;

/// How long one query may take, connection included.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest answer that is read. An SLI is one number; a query without an aggregation may return thousands.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Most series that are added up.
pub const SERIES_MAX: usize = 1_000;

/// A Prometheus, or anything that answers its query API (Mimir, Thanos, VictoriaMetrics).
///
/// ```no_run
/// # async fn example(now: mainstay_core::time::Time) -> Result<(), mainstay_control::source::UrlError> {
/// use std::time::Duration;
/// use mainstay_control::source::{Counters, Prometheus, Reading};
///
/// let source = Prometheus::new("http://127.0.0.1:9090")?;
/// let counters = Counters::good("sum(increase(ok_total[$window]))", "sum(increase(requests_total[$window]))");
/// match source.read(&counters, Duration::from_secs(60), now).await {
///     Reading::Events { good, total } => println!("{good} of {total}"),
///     Reading::NoTraffic => println!("nothing was asked"),
///     Reading::NoSignal => println!("the metric is not there"),
///     Reading::Failed(error) => println!("nobody knows: {error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Prometheus {
    address: Address,
}

/// What a source says about a stretch of time.
#[derive(Debug)]
pub enum Reading {
    /// So many events, and so many of them good. `good <= total`, both finite; fractions come from extrapolation.
    Events {
        /// Good ones.
        good: f64,
        /// All of them; above zero.
        total: f64,
    },
    /// The total is there and stood still.
    NoTraffic,
    /// The total is not there: never scraped, renamed, or misspelt.
    NoSignal,
    /// The source did not tell.
    Failed(QueryError),
}

/// Why a source did not tell. No message holds the address's credentials: it cannot have any.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No answer in time.
    #[error("no answer within {} s", QUERY_TIMEOUT.as_secs())]
    Timeout,
    /// No connection.
    #[error("connect")]
    Connect(#[source] std::io::Error),
    /// The connection broke, or does not speak HTTP.
    #[error("exchange")]
    Http(#[source] hyper::Error),
    /// The answer is longer than [`ANSWER_BYTES_MAX`], or broke off.
    #[error("read the answer: {0}")]
    Body(String),
    /// Prometheus refused the expression, or an intermediary refused the request.
    #[error("refused with {status}: {reason}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said, shortened.
        reason: String,
    },
    /// The answer is no result of a query.
    #[error("understand the answer: {0}")]
    Answer(String),
    /// The result is no instant vector or scalar, or has too many series.
    #[error("use the result: {0}")]
    Shape(String),
}

impl Prometheus {
    /// At this base URL, `http` or `https` (public roots).
    pub fn new(url: &str) -> Result<Prometheus, UrlError> {
        Address::parse(url).map(|address| Prometheus { address })
    }

    /// The events of the `window` before `at`. Asks twice, or four times where an expression is a bare counter.
    pub async fn read(&self, counters: &Counters, window: Duration, at: Time) -> Reading {
        match self.sums(counters, window, at).await {
            Ok((_, None)) => Reading::NoSignal,
            Ok((part, Some(total))) => counters.reading(part, total),
            Err(error) => Reading::Failed(error),
        }
    }

    async fn sums(
        &self,
        counters: &Counters,
        window: Duration,
        at: Time,
    ) -> Result<(Option<f64>, Option<f64>), QueryError> {
        let total = self.increase(counters.total_expression(), window, at).await?;
        // What has no total is not there; its part would not change that.
        let Some(total) = total else { return Ok((None, None)) };
        Ok((self.increase(counters.part_expression(), window, at).await?, Some(total)))
    }

    /// By how much an expression grew.
    async fn increase(&self, expression: &str, window: Duration, at: Time) -> Result<Option<f64>, QueryError> {
        if let Some(windowed) = expression::windowed(expression, window) {
            return self.value(&windowed, at).await;
        }
        let Some(after) = self.value(expression, at).await? else { return Ok(None) };
        let before = self.value(expression, at - window).await?;
        Ok(Some(expression::growth(before, after)))
    }

    /// The sum of an expression's series at a time; `None` where it has none.
    pub async fn value(&self, expression: &str, at: Time) -> Result<Option<f64>, QueryError> {
        let ask = self.address.query(expression, at);
        let (status, body) = tokio::time::timeout(QUERY_TIMEOUT, ask).await.map_err(|_| QueryError::Timeout)??;
        answer::value(status, &body)
    }
}
