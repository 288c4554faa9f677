//! The turns of a chat that fit: the oldest are left out.
//!
//! A turn begins with a message of the user and ends before the next one, so that answers, calls of tools and their
//! results stay with the question that they belong to. Whole turns are left out, the oldest first. What is never left out:
//! messages of the system or the developer, and the last turn.
//!
//! Tokens are an estimate, since each model has its own: a token for four ASCII characters, one for each other character
//! (which is high for most scripts), four for each message, three for the whole. It errs to the high side for prose.

/// Whose message it is, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `system` or `developer`: instructions.
    System,
    /// `user`.
    User,
    /// `assistant`, `tool`, `function` or anything else: part of the turn.
    Other,
}

impl Role {
    /// By its name on the wire.
    pub fn of(name: &str) -> Role {
        match name {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            _ => Role::Other,
        }
    }
}

/// A message: whose it is and how many tokens it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Whose it is.
    pub role: Role,
    /// How long it is.
    pub tokens: u64,
}

/// Tokens of each message beside its text.
pub const PER_MESSAGE: u64 = 4;
/// Tokens of the whole beside its messages.
pub const PER_CHAT: u64 = 3;
/// What a picture, a sound or a file counts.
pub const PER_ATTACHMENT: u64 = 1000;

/// The estimated tokens of a text.
///
/// ```
/// use mainstay_core::answer::context::tokens;
///
/// assert_eq!((tokens("four"), tokens("fives"), tokens("日本"), tokens("")), (1, 2, 2, 0));
/// ```
pub fn tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let others = text.chars().filter(|c| !c.is_ascii()).count() as u64;
    ascii.div_ceil(4) + others
}

/// What is left of a chat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// By message: whether it stays.
    pub stays: Vec<bool>,
    /// Tokens of what stays.
    pub tokens: u64,
}

/// Leaves out the oldest turns until at most `max` tokens are left, `besides` (tools, formats) included. `None` where even
/// what is never left out is more than that.
///
/// ```
/// use mainstay_core::answer::context::{Message, Role, fit};
///
/// let message = |role, tokens| Message { role, tokens };
/// let chat = [
///     message(Role::System, 10),
///     message(Role::User, 100),
///     message(Role::Other, 100),
///     message(Role::User, 20),
/// ];
/// let kept = fit(&chat, 0, 60).unwrap();
/// assert_eq!(kept.stays, [true, false, false, true]);
/// assert!(fit(&chat, 0, 25).is_none());
/// ```
pub fn fit(messages: &[Message], besides: u64, max: u64) -> Option<Kept> {
    let cost = |message: &Message| message.tokens.saturating_add(PER_MESSAGE);
    let mut tokens = messages.iter().map(cost).fold(PER_CHAT.saturating_add(besides), u64::saturating_add);
    let mut stays = vec![true; messages.len()];
    let last_turn = messages.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
    let mut next = 0;
    while tokens > max {
        // What comes before the first message of the user belongs to the first turn.
        let end = turn_end(messages, next).min(last_turn);
        if end <= next {
            return None;
        }
        for at in (next..end).filter(|at| messages[*at].role != Role::System) {
            stays[at] = false;
            tokens = tokens.saturating_sub(cost(&messages[at]));
        }
        next = end;
    }
    Some(Kept { stays, tokens })
}

/// Where the turn that contains message `from` ends.
fn turn_end(messages: &[Message], from: usize) -> usize {
    let first_user =
        messages[from..].iter().position(|message| message.role == Role::User).map_or(from, |at| from + at);
    let next = messages.iter().skip(first_user + 1).position(|message| message.role == Role::User);
    next.map_or(messages.len(), |at| first_user + 1 + at)
}
