//! Channels that reach people.

use mainstay_core::plan::MailTls;

use crate::read::{Flag, List, Text, choice, section};
use crate::values::{Address, Dur, MailServer, Mailbox, SecretRef, Url};

section! {
    /// What reaches people. It is exactly one of `pagerduty`, `alertmanager`, `slack`, `teams`, `discord`, `webhook` and `email`.
    Channel = "a channel" {
        /// PagerDuty, by its Events API v2.
        pagerduty: PagerDuty,
        /// Alertmanager, by its API v2.
        alertmanager: Alertmanager,
        /// Slack, by an incoming webhook.
        slack: ChatWebhook,
        /// Teams, by the webhook of a workflow.
        teams: ChatWebhook,
        /// Discord, by a webhook.
        discord: ChatWebhook,
        /// A webhook of your own.
        webhook: Webhook,
        /// Mail, by SMTP.
        email: Email,
        /// The channel that is used where this one fails until the deadline. Default: none.
        fallback: Text,
        /// How long a notice is tried. Default: 1h.
        deadline: Dur,
        /// Whether a notice may be sent on to addresses that are not public. Default: false.
        private_redirects: Flag,
    }
}

section! {
    /// PagerDuty.
    PagerDuty = "`pagerduty`" {
        /// The integration's key.
        key (required): SecretRef,
        /// The address of the API. Default: https://events.pagerduty.com.
        url: Url,
    }
}

section! {
    /// Alertmanager.
    Alertmanager = "`alertmanager`" {
        /// Its address, without `/api/v2`.
        url (required): Url,
    }
}

section! {
    /// A webhook of a chat.
    ChatWebhook = "a chat's webhook" {
        /// Its address.
        url (required): Address,
    }
}

section! {
    /// A webhook of your own.
    Webhook = "`webhook`" {
        /// Its address.
        url (required): Address,
        /// What notices are signed with. Default: they are not signed.
        secret: SecretRef,
    }
}

section! {
    /// Mail.
    Email = "`email`" {
        /// The server, such as smtp.example.org:587; without a port the usual one of `tls`.
        server (required): MailServer,
        /// How the connection is kept private: implicit (port 465), start (port 587) or none (port 25). Default: start.
        tls: TlsName,
        /// Who logs in. Default: nobody.
        user: Text,
        /// The password.
        password: SecretRef,
        /// Who mail is from.
        from (required): Mailbox,
        /// Who gets all of it, besides the person who is told.
        to: List<Mailbox>,
    }
}

choice! {
    /// How a connection to a mail server is kept private.
    TlsName = "a kind of TLS" {
        "implicit" => MailTls::Implicit,
        "start" => MailTls::Start,
        "none" => MailTls::None,
    } -> MailTls
}
