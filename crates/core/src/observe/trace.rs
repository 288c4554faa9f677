//! The trace that a request belongs to: W3C Trace Context, level 1 (`traceparent`; `tracestate` is passed on as it is).

/// Longest `traceparent` that is looked at.
const LONGEST: usize = 256;

/// A place in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// The trace; never nought.
    pub trace_id: u128,
    /// The span; never nought.
    pub span_id: u64,
    /// Whether the caller keeps its part of the trace.
    pub sampled: bool,
}

impl Context {
    /// Reads a `traceparent`; `None` where it is not valid, which is as good as none.
    ///
    /// ```
    /// use mainstay_core::observe::trace::Context;
    ///
    /// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let context = Context::parse(text).unwrap();
    /// assert!(context.sampled);
    /// assert_eq!(context.to_string(), text);
    /// ```
    pub fn parse(text: &str) -> Option<Context> {
        if text.len() > LONGEST {
            return None;
        }
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = u8::try_from(hex(version, 2)?).ok()?;
        // A later version may say more, an unknown one is read as far as it is known.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace_id, span_id) = (hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?);
        let sampled = hex(flags, 2)? & 1 == 1;
        (trace_id != 0 && span_id != 0).then_some(Context { trace_id, span_id, sampled })
    }

    /// The first place of a new trace, from two random numbers.
    pub fn fresh(random: [u64; 3]) -> Context {
        let trace_id = u128::from(random[0]) << 64 | u128::from(random[1]);
        Context { trace_id: trace_id.max(1), span_id: random[2].max(1), sampled: false }
    }

    /// A place below this one.
    #[must_use]
    pub fn child(self, random: u64) -> Context {
        Context { span_id: random.max(1), ..self }
    }

    /// The trace in 32 hexadecimal digits.
    pub fn trace_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span in 16 hexadecimal digits.
    pub fn span_hex(&self) -> String {
        format!("{:016x}", self.span_id)
    }
}

impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Lower-case hexadecimal digits, so many of them.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_of_the_specification() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, read) in [
            (format!("00-{trace}-00f067aa0ba902b7-00"), true),
            (format!("00-{trace}-00f067aa0ba902b7-03"), true),
            (format!("01-{trace}-00f067aa0ba902b7-01-what-comes-later"), true),
            (format!("cc-{trace}-00f067aa0ba902b7-01"), true),
            (format!("00-{trace}-00f067aa0ba902b7-01-more"), false),
            (format!("ff-{trace}-00f067aa0ba902b7-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(), false),
            (format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()), false),
            (format!("00-{trace}-00f067aa0ba902b-01"), false),
            (format!("0-{trace}-00f067aa0ba902b7-01"), false),
            (format!("00-{trace}-00f067aa0ba902b7"), false),
            (format!("00-{trace}-00f067aa0ba902b7-1"), false),
            (format!("00-{trace}x-00f067aa0ba902b7-01"), false),
            (String::new(), false),
            ("é".repeat(40), false),
        ] {
            assert_eq!(Context::parse(&text).is_some(), read, "{text}");
        }
        let fresh = Context::fresh([0, 0, 0]);
        assert_eq!(Context::parse(&fresh.to_string()), Some(fresh));
        assert_eq!(fresh.child(7).trace_id, fresh.trace_id);
    }
}
