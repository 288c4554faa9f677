//! What befalls a streamed answer on its way from the backend: it begins later, stops in its middle, or ends there.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};

use super::met::StreamFault;
use super::parts::Parts;
use super::standing::Standing;

/// Most bytes that are held back before a first part that comes later: more of them are taken for a part.
const HELD_MAX: usize = 64 << 10;

/// Why no more comes of an answer.
#[derive(Debug)]
pub(crate) enum Cut<E> {
    /// It broke by itself.
    Broke(E),
    /// The fault cut it.
    Fault,
}

/// What a poll of an answer gives.
type Polled<E> = Poll<Option<Result<Frame<Bytes>, Cut<E>>>>;

/// What goes on, where anything does; the end of the frames is one of the things that may.
type Next<E> = Option<Option<Result<Frame<Bytes>, Cut<E>>>>;

/// A fault at work on one answer, for as long as its order stands: what it holds back goes on when the order ends.
pub(crate) struct StreamWork {
    parts: Parts,
    /// What was read of the answer already.
    start: Bytes,
    stage: Stage,
    standing: Arc<Standing>,
}

enum Stage {
    /// Waits for the first part, holding back what comes before it.
    Awaits { delay: Duration, held: BytesMut },
    /// Passes so many more parts on, and then stops or cuts.
    Passes { left: u32, cuts: bool },
    /// Holds this back until then.
    Holds { until: Pin<Box<dyn Future<Output = ()>>>, held: Bytes },
    /// Passed all parts on that it does. They reach the caller before the cut does.
    Flushes,
    /// The connection counts as broken.
    Broken,
    /// The rest comes as it comes.
    Through,
}

impl fmt::Debug for StreamWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWork").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl StreamWork {
    /// A fault, the order that it is by, the headers of the answer that it befalls, and what was read of its body already.
    pub(crate) fn new(fault: StreamFault, standing: Arc<Standing>, headers: &HeaderMap, start: Bytes) -> StreamWork {
        let stage = match fault {
            StreamFault::SlowFirst(delay) => Stage::Awaits { delay, held: BytesMut::new() },
            StreamFault::Stalled(left) => Stage::Passes { left, cuts: false },
            StreamFault::Truncated(left) => Stage::Passes { left, cuts: true },
        };
        StreamWork { parts: Parts::of(headers), start, stage, standing }
    }

    /// Whether the answer has ended where the rest of it has: nothing is held back and nothing is cut.
    pub(crate) fn ends_with_the_rest(&self) -> bool {
        let idle = match &self.stage {
            Stage::Through => true,
            Stage::Awaits { held, .. } => held.is_empty(),
            Stage::Passes { left, .. } => *left > 0,
            Stage::Holds { .. } | Stage::Flushes | Stage::Broken => false,
        };
        idle && self.start.is_empty()
    }

    /// The next frame of `rest`, as far as the fault lets it through.
    pub(crate) fn poll_frame<B>(&mut self, rest: &mut B, cx: &mut Context<'_>) -> Polled<B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        loop {
            match &mut self.stage {
                Stage::Holds { until, held } => {
                    ready!(until.as_mut().poll(cx));
                    let held = std::mem::take(held);
                    self.stage = Stage::Through;
                    if !held.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(held))));
                    }
                }
                Stage::Flushes => {
                    self.stage = Stage::Broken;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Stage::Broken => return Poll::Ready(Some(Err(Cut::Fault))),
                Stage::Passes { left: 0, cuts } => {
                    let cuts = *cuts;
                    self.stop(cuts, Bytes::new());
                }
                Stage::Awaits { .. } | Stage::Passes { .. } | Stage::Through => {
                    let frame = if self.start.is_empty() {
                        ready!(Pin::new(&mut *rest).poll_frame(cx))
                    } else {
                        Some(Ok(Frame::data(std::mem::take(&mut self.start))))
                    };
                    if let Some(frame) = self.pass(frame) {
                        return Poll::Ready(frame);
                    }
                }
            }
        }
    }

    /// What of the next frame goes on now; `None`: nothing yet.
    fn pass<E>(&mut self, frame: Option<Result<Frame<Bytes>, E>>) -> Next<E> {
        let data = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => data,
            Some(Ok(Err(trailers))) => return Some(Some(Ok(trailers))),
            Some(Err(error)) => return Some(Some(Err(Cut::Broke(error)))),
            None => return Some(self.end()),
        };
        match &mut self.stage {
            Stage::Awaits { delay, held } => {
                let is_first = self.parts.next_end(&data).is_some();
                held.extend_from_slice(&data);
                if is_first || held.len() > HELD_MAX {
                    let (delay, held) = (*delay, std::mem::take(held).freeze());
                    let over = Arc::clone(&self.standing).over();
                    let until = Box::pin(async move { drop(tokio::time::timeout(delay, over).await) });
                    self.stage = Stage::Holds { until, held };
                }
                None
            }
            Stage::Passes { left, cuts } => {
                let mut end = 0;
                while *left > 0
                    && let Some(length) = self.parts.next_end(&data[end..])
                {
                    end += length;
                    *left -= 1;
                }
                if *left > 0 {
                    return Some(Some(Ok(Frame::data(data))));
                }
                let cuts = *cuts;
                self.stop(cuts, data.slice(end..));
                Some(Some(Ok(Frame::data(if self.is_through() { data } else { data.slice(..end) }))))
            }
            Stage::Holds { .. } | Stage::Flushes | Stage::Broken | Stage::Through => Some(Some(Ok(Frame::data(data)))),
        }
    }

    /// The rest has ended. What is held back comes first, and the end with the next poll.
    fn end<E>(&mut self) -> Option<Result<Frame<Bytes>, Cut<E>>> {
        if let Stage::Awaits { held, .. } = &mut self.stage
            && !held.is_empty()
        {
            let held = std::mem::take(held).freeze();
            self.stage = Stage::Through;
            return Some(Ok(Frame::data(held)));
        }
        None
    }

    /// All parts have come that are to come, and `later` would be next.
    fn stop(&mut self, cuts: bool, later: Bytes) {
        self.stage = if !self.standing.injects() {
            Stage::Through
        } else if cuts {
            Stage::Flushes
        } else {
            Stage::Holds { until: Box::pin(Arc::clone(&self.standing).over()), held: later }
        };
    }

    fn is_through(&self) -> bool {
        matches!(self.stage, Stage::Through)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::Waker;

    use http::{HeaderValue, header};
    use mainstay_core::chaos::experiment::{Caps, Cohort};
    use mainstay_core::chaos::fault::{After, Fault};
    use mainstay_core::chaos::order::Order;
    use mainstay_core::time::Time;
    use proptest::prelude::*;

    use super::*;

    /// A body in these chunks.
    struct Chunks(VecDeque<Bytes>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.get_mut().0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    /// How an answer came out.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum End {
        Whole,
        Cut,
        Open,
    }

    fn standing() -> Arc<Standing> {
        let order = Order {
            run: "EXP-2026-0001".to_owned(),
            generation: 1,
            seed: 1,
            route: "chat".to_owned(),
            target: Some("chat".to_owned()),
            fault: Fault::StalledStream(After { parts: 1 }),
            dose: 1.0,
            cohort: Cohort::default(),
            caps: Caps::default(),
            blocks: None,
            injects: true,
            ttl: Duration::from_mins(1),
            hard_stop: Duration::from_mins(1),
        };
        let standing = Standing::new(order, Time::ZERO, None);
        standing.stand_until(Time::MAX);
        Arc::new(standing)
    }

    fn work(fault: StreamFault, standing: &Arc<Standing>, start: &Bytes) -> StreamWork {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        StreamWork::new(fault, Arc::clone(standing), &headers, start.clone())
    }

    /// All that comes until it ends or nothing more comes.
    fn read(work: &mut StreamWork, rest: &mut Chunks) -> (Vec<u8>, End) {
        let (mut came, mut cx, mut idle) = (Vec::new(), Context::from_waker(Waker::noop()), 0);
        loop {
            match work.poll_frame(rest, &mut cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    came.extend_from_slice(&frame.into_data().expect("there are no trailers"));
                    if work.ends_with_the_rest() && rest.is_end_stream() {
                        return (came, End::Whole);
                    }
                }
                Poll::Ready(None) => return (came, End::Whole),
                Poll::Ready(Some(Err(Cut::Fault))) => return (came, End::Cut),
                // Once to let what came be written.
                Poll::Pending if idle == 0 => idle += 1,
                Poll::Pending => return (came, End::Open),
            }
        }
    }

    const STREAM: &str =
        ": hi\n\ndata: {\"a\":1}\n\ndata: \u{e9}\r\n\r\nid: 3\ndata: 3\ndata: three\n\ndata: [DONE]\n\n";
    const ENDS: [usize; 4] = [0, 21, 33, 60];

    /// The stream in pieces: the first as what was read already.
    fn pieces(cuts: &[usize]) -> (Bytes, Chunks) {
        let (mut chunks, mut from) = (VecDeque::new(), 0);
        for cut in cuts.iter().copied().chain([STREAM.len()]) {
            chunks.push_back(Bytes::copy_from_slice(&STREAM.as_bytes()[from..cut]));
            from = cut;
        }
        (chunks.pop_front().unwrap_or_default(), Chunks(chunks))
    }

    proptest! {
        #[test]
        fn a_stream_stops_after_so_many_parts_wherever_its_chunks_are_cut(
            parts in 0..5u32,
            cuts: bool,
            at in prop::collection::vec(0..=STREAM.len(), 0..12),
        ) {
            let mut at = at;
            at.sort_unstable();
            let (start, mut rest) = pieces(&at);
            let fault = if cuts { StreamFault::Truncated(parts) } else { StreamFault::Stalled(parts) };
            let standing = standing();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let _guard = runtime.enter();
            let mut work = work(fault, &standing, &start);
            let (came, end) = read(&mut work, &mut rest);
            let Some(wanted) = ENDS.get(parts as usize) else {
                prop_assert_eq!((&*came, end), (STREAM.as_bytes(), End::Whole));
                return Ok(());
            };
            prop_assert_eq!(end, if cuts { End::Cut } else { End::Open });
            // A line feed that comes in the next chunk belongs to the carriage return before it.
            let late = came.len() + 1 == *wanted && came.ends_with(b"\r");
            prop_assert!(came == STREAM.as_bytes()[..*wanted] || late, "{} of {}", came.len(), wanted);
            if cuts {
                return Ok(());
            }
            // When the order ends the rest comes as if nothing had been.
            standing.end();
            let (later, end) = read(&mut work, &mut rest);
            prop_assert_eq!(end, End::Whole);
            prop_assert_eq!([came, later].concat(), STREAM.as_bytes());
        }

        #[test]
        fn a_slow_stream_holds_back_all_up_to_its_first_part(at in prop::collection::vec(0..=STREAM.len(), 0..12)) {
            let mut at = at;
            at.sort_unstable();
            let (start, mut rest) = pieces(&at);
            let standing = standing();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let _guard = runtime.enter();
            let mut work = work(StreamFault::SlowFirst(Duration::from_hours(1)), &standing, &start);
            let (came, end) = read(&mut work, &mut rest);
            prop_assert!(came.is_empty() && end == End::Open, "{} bytes", came.len());
            standing.end();
            prop_assert_eq!(read(&mut work, &mut rest), (STREAM.as_bytes().to_vec(), End::Whole));
        }
    }

    #[test]
    fn a_stream_without_a_part_ends_as_it_would() {
        let standing = standing();
        let mut work = work(StreamFault::SlowFirst(Duration::from_secs(3)), &standing, &Bytes::new());
        let mut rest =
            Chunks(VecDeque::from([Bytes::from_static(b": nothing\n\n"), Bytes::from_static(b"data: [DONE]\n\n")]));
        assert_eq!(read(&mut work, &mut rest), (b": nothing\n\ndata: [DONE]\n\n".to_vec(), End::Whole));
    }
}
