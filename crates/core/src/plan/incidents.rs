//! How incidents are handled, who is on call, and the channels that reach them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Secret;
use crate::incident::escalation::Policy;
use crate::incident::kind::Severity;
use crate::incident::oncall::{Person, Schedule};

/// Incidents, who is on call, and the channels.
#[derive(Clone, Debug)]
pub struct Incidents {
    /// Severities that page; the others notify.
    pub page: Vec<Severity>,
    /// How long after its last signal an incident takes in what belongs to it.
    pub group: Duration,
    /// How long after it was resolved an incident is opened again rather than a new one.
    pub reopen: Duration,
    /// How long every signal must rest before recovery is believed.
    pub quiet: Duration,
    /// How long a signal that comes and goes must last before it opens an incident by itself.
    pub hold: Duration,
    /// Whether an incident whose recovery is believed is resolved by that rule; otherwise it is proposed to a person.
    pub auto_resolve: bool,
    /// Channels that hear of incidents that do not page, and of what becomes of all.
    pub notify: Vec<String>,
    /// The escalation policy of types that name none; `None`: the channels of `notify` alone.
    pub policy: Option<String>,
    /// Where the dashboard is reached from outside, for links in notices.
    pub link: Option<String>,
    /// Who notices when mainstay is gone.
    pub heartbeat: Option<Heartbeat>,
    /// How long an action has effect, unless whoever approves it says otherwise.
    pub action: Duration,
    /// Bounds of what is posted as signals, by the name of the signal or of a measure of a feedback loop.
    pub bounds: BTreeMap<String, Bound>,
    /// What differs by type, by its name.
    pub types: BTreeMap<String, TypeTerms>,
    /// Who can be told.
    pub people: Vec<Person>,
    /// Who is on call.
    pub schedules: Vec<Schedule>,
    /// Who is told after whom.
    pub policies: Vec<Policy>,
    /// What reaches people.
    pub channels: Vec<Channel>,
}

impl Default for Incidents {
    fn default() -> Incidents {
        Incidents {
            page: vec![Severity::Sev1, Severity::Sev2],
            group: Duration::from_mins(15),
            reopen: Duration::from_mins(30),
            quiet: Duration::from_mins(5),
            hold: Duration::from_secs(30),
            auto_resolve: false,
            notify: Vec::new(),
            policy: None,
            link: None,
            heartbeat: None,
            action: Duration::from_hours(1),
            bounds: BTreeMap::new(),
            types: BTreeMap::new(),
            people: Vec::new(),
            schedules: Vec::new(),
            policies: Vec::new(),
            channels: Vec::new(),
        }
    }
}

/// A bound of the mean of a signal over the last day. It is crossed where all of the mean's 95 % interval is beyond it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bound {
    /// It may not be above.
    Above(f64),
    /// It may not be below.
    Below(f64),
}

impl Incidents {
    /// Every secret, to be given its value.
    pub fn secrets_mut(&mut self) -> impl Iterator<Item = &mut Secret> {
        let heartbeat = self.heartbeat.iter_mut().map(|heartbeat| &mut heartbeat.url);
        heartbeat.chain(self.channels.iter_mut().flat_map(|channel| channel.by.secrets_mut()))
    }
}

/// What a config says of a type: what it leaves out is as mainstay knows it, lists are added to what mainstay knows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TypeTerms {
    /// Its name for people, of a type of the config's own.
    pub title: Option<String>,
    /// The escalation policy.
    pub policy: Option<String>,
    /// The severity that it has at least.
    pub severity: Option<Severity>,
    /// Actions that are taken without asking, by their names.
    pub auto: Vec<String>,
    /// More signals.
    pub signals: Vec<SignalTerms>,
    /// More typical causes.
    pub causes: Vec<String>,
    /// More steps of an investigation.
    pub steps: Vec<String>,
    /// More questions of a review.
    pub questions: Vec<String>,
    /// More ideas for prevention.
    pub prevention: Vec<String>,
}

/// A signal that a config adds to a type.
#[derive(Clone, PartialEq, Debug)]
pub struct SignalTerms {
    /// Its name.
    pub name: String,
    /// The kind of fact that it looks for, such as `alert`.
    pub fact: String,
    /// Words that the fact must carry, by their names: a value, or several of which one must hold.
    pub with: BTreeMap<String, Vec<String>>,
    /// Whether it opens an incident by itself.
    pub opens: bool,
}

/// Who notices when mainstay is gone: an address that is called all the time, and alarms where it is not.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The address.
    pub url: Secret,
    /// How often.
    pub every: Duration,
}

/// What reaches people.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// By which service.
    pub by: ChannelBy,
    /// The channel that is used where this one fails until the deadline.
    pub fallback: Option<String>,
    /// How long a notice is tried.
    pub deadline: Duration,
    /// Whether it may be sent on to addresses that are not public.
    pub private_redirects: bool,
}

/// By which service a channel reaches people.
#[derive(Clone, Debug)]
pub enum ChannelBy {
    /// `PagerDuty`, by its Events API v2.
    PagerDuty {
        /// The API's address.
        url: String,
        /// The integration's key.
        key: Secret,
    },
    /// Alertmanager, by its API v2.
    Alertmanager {
        /// Its address, without `/api/v2`.
        url: String,
    },
    /// Slack, by an incoming webhook.
    Slack {
        /// The webhook's address.
        url: Secret,
    },
    /// Teams, by a workflow's webhook.
    Teams {
        /// The webhook's address.
        url: Secret,
    },
    /// Discord, by a webhook.
    Discord {
        /// The webhook's address.
        url: Secret,
    },
    /// A webhook of one's own, signed.
    Webhook {
        /// Its address.
        url: Secret,
        /// What its signature is made with; `None`: it is not signed.
        secret: Option<Secret>,
    },
    /// Mail, by SMTP.
    Email {
        /// The server's name.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is kept private.
        tls: MailTls,
        /// Who says so, and the password.
        login: Option<(String, Secret)>,
        /// Who it is from.
        from: String,
        /// Who gets it, besides a person's own address.
        to: Vec<String>,
    },
}

impl ChannelBy {
    fn secrets_mut(&mut self) -> impl Iterator<Item = &mut Secret> {
        let (first, second) = match self {
            ChannelBy::PagerDuty { key, .. } => (Some(key), None),
            ChannelBy::Slack { url } | ChannelBy::Teams { url } | ChannelBy::Discord { url } => (Some(url), None),
            ChannelBy::Webhook { url, secret } => (Some(url), secret.as_mut()),
            ChannelBy::Email { login, .. } => (login.as_mut().map(|(_, password)| password), None),
            ChannelBy::Alertmanager { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }
}

/// How a connection to a mail server is kept private.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailTls {
    /// TLS from the first byte.
    Implicit,
    /// Upgraded before anything is said; refused where it can't be.
    Start,
    /// Not at all.
    None,
}
