//! Mail, against a server that answers what it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use expect_test::expect;
use mainstay_control::notify::{Outcome, Sender};
use mainstay_core::incident::notice::{Notice, Purpose};
use mainstay_core::plan::{ChannelBy, MailTls};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::hostile::{HOSTILE, all, is_banned};
use crate::support::{ID, NOW, channel, flying, notice, secret};

/// A mail server: `says` maps the start of a command to an answer in place of the usual one, or to silence.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn saying(says: &[(&'static str, &'static str)]) -> Server {
        let says: BTreeMap<_, _> = says.iter().copied().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (says, kept) = (says.clone(), Arc::clone(&kept));
                tokio::spawn(async move { converse(BufReader::new(stream), &says, &kept).await });
            }
        });
        Server { port, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// The lines of the mail: those after `DATA`, without the end.
    fn mail(&self) -> Vec<String> {
        let heard = self.heard();
        let start = heard.iter().position(|it| it == "DATA").unwrap() + 1;
        let end = heard.iter().position(|it| it == ".").unwrap();
        heard[start..end].to_vec()
    }
}

async fn converse(
    mut stream: BufReader<tokio::net::TcpStream>,
    says: &BTreeMap<&'static str, &'static str>,
    kept: &Mutex<Vec<String>>,
) {
    let (mut line, mut in_mail) = ("HELLO".to_owned(), false);
    loop {
        let special = says.iter().find(|(command, _)| !in_mail && line.starts_with(**command)).map(|(_, it)| *it);
        let answer = special.unwrap_or(match line.as_str() {
            "." => {
                in_mail = false;
                says.get("END").copied().unwrap_or("250 2.0.0 taken")
            }
            _ if in_mail => "",
            "DATA" => "354 go on",
            "HELLO" => "220 here",
            "QUIT" => "221 bye",
            it if it.starts_with("EHLO") => "250-here\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
            it if it.starts_with("AUTH") => "235 welcome",
            _ => "250 ok",
        });
        in_mail |= answer.starts_with("354");
        if !answer.is_empty() && stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
        line.clear();
        if !stream.read_line(&mut line).await.is_ok_and(|n| n > 0) {
            return;
        }
        line = line.trim_end_matches(['\r', '\n']).to_owned();
        kept.lock().unwrap().push(line.clone());
    }
}

fn by(port: u16) -> ChannelBy {
    ChannelBy::Email {
        host: "127.0.0.1".to_owned(),
        port,
        tls: MailTls::None,
        login: None,
        from: "mainstay <alerts@mainstay.example>".to_owned(),
        to: vec!["team@example.org".to_owned(), "Bob <bob@example.org>".to_owned(), "team@example.org".to_owned()],
    }
}

async fn send(by: ChannelBy, notice: &Notice) -> Outcome {
    Sender::new().send(&channel(by), ID, notice, NOW).await
}

async fn sent(notice: &Notice) -> Server {
    let server = Server::saying(&[]).await;
    assert_eq!(send(by(server.port), notice).await, Outcome::Delivered { provider: None });
    server
}

#[tokio::test]
async fn a_mail_says_all_and_belongs_to_its_incident() {
    let server = sent(&Notice { title: "täglich 3x".to_owned(), ..notice(Purpose::Page) }).await;
    let expected = expect![[r"
        EHLO mainstay.example
        MAIL FROM:<alerts@mainstay.example>
        RCPT TO:<team@example.org>
        RCPT TO:<bob@example.org>
        DATA
        From: mainstay <alerts@mainstay.example>
        To: team@example.org, bob@example.org
        Subject: [SEV2] fraud: =?utf-8?b?dMOkZ2xpY2g=?= 3x
        Date: Sun, 01 Mar 2026 12:01:00 +0000
        Message-ID: <01JNB8-d=2e1@mainstay.example>
        In-Reply-To: <incident.i-42@mainstay.example>
        References: <incident.i-42@mainstay.example>
        Auto-Submitted: auto-generated
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: quoted-printable

        [SEV2] fraud: t=C3=A4glich 3x

        Service: fraud
        Environment: production
        Severity: sev2
        Status: detected
        Type: latency
        Route: score
        Detected: 2026-03-01T12:00:00Z
        Incident: i-42

        score answers in 600 ms
        since the release of 11:58

        Signals:
        - latency burns at 14.4
        - breaker of primary opened

        First steps:
        - pin score to level 2

        https://mainstay.example/incidents/i-42

        .
        QUIT
    "]];
    expected.assert_eq(&format!("{}\n", server.heard().join("\n")));
    // Another delivery of the same incident has another id and the same thread.
    let other = Server::saying(&[]).await;
    let resolved = notice(Purpose::Resolved);
    Sender::new().send(&channel(by(other.port)), "other/2", &resolved, NOW).await;
    let header = |server: &Server, name: &str| server.mail().into_iter().find(|it| it.starts_with(name)).unwrap();
    assert_eq!(header(&other, "Message-ID"), "Message-ID: <other=2f2@mainstay.example>");
    assert_eq!(header(&other, "References"), header(&server, "References"));
}

#[tokio::test]
async fn a_person_gets_it_first_and_once() {
    let server = sent(&Notice { email: Some("bob@example.org".to_owned()), ..notice(Purpose::Page) }).await;
    let recipients: Vec<_> = server.heard().into_iter().filter(|it| it.starts_with("RCPT")).collect();
    assert_eq!(recipients, ["RCPT TO:<bob@example.org>", "RCPT TO:<team@example.org>"]);
}

#[tokio::test]
async fn headers_hold_what_they_are_meant_to() {
    let plain = sent(&notice(Purpose::Page)).await.mail();
    let names = |mail: &[String]| -> Vec<String> {
        let head = mail.iter().take_while(|line| !line.is_empty());
        // A line that begins with a space goes on with the one before.
        head.filter(|line| !line.starts_with(' ')).map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    for text in HOSTILE {
        let mail = sent(&all(text)).await.mail();
        assert_eq!(names(&mail), names(&plain), "{text:?}");
        assert!(mail.iter().all(|line| !line.contains(is_banned) && line.len() <= 998), "{text:?}");
    }
}

#[tokio::test]
async fn codes_are_later_or_refused() {
    let cases = [
        (("HELLO", "421 busy"), true),
        (("HELLO", "554 go away"), false),
        (("EHLO", "500 what"), false),
        (("MAIL", "451 later"), true),
        (("MAIL", "550 no"), false),
        (("RCPT", "450 greylisted"), true),
        (("RCPT", "550 unknown"), false),
        (("DATA", "452 full"), true),
        (("END", "554 spam"), false),
        (("END", "451 later"), true),
        (("MAIL", "what is this"), true),
        // Answers to something else: what was said is not what is answered.
        (("DATA", "250 ok"), true),
        (("END", "354 go on"), true),
    ];
    for (says, later) in cases {
        let server = Server::saying(&[says]).await;
        let outcome = send(by(server.port), &notice(Purpose::Page)).await;
        assert_eq!(matches!(&outcome, Outcome::Later { after: None, .. }), later, "{says:?}: {outcome:?}");
        assert_eq!(matches!(&outcome, Outcome::Refused { .. }), !later, "{says:?}: {outcome:?}");
    }
    let Outcome::Later { why, .. } = send(by(1), &notice(Purpose::Page)).await else { panic!("not later") };
    assert!(why.starts_with("team: "), "{why}");
}

#[tokio::test]
async fn one_mailbox_that_is_gone_keeps_no_mail_from_the_others() {
    for answer in ["550 unknown", "450 greylisted"] {
        let server = Server::saying(&[("RCPT TO:<team@", answer)]).await;
        assert_eq!(send(by(server.port), &notice(Purpose::Page)).await, Outcome::Delivered { provider: None });
        // The person is who it is for.
        let server = Server::saying(&[("RCPT TO:<ann@", answer)]).await;
        let person = Notice { email: Some("ann@example.org".to_owned()), ..notice(Purpose::Page) };
        let outcome = send(by(server.port), &person).await;
        assert!(!matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
        assert!(server.heard().iter().all(|it| it != "DATA"));
    }
}

#[tokio::test]
async fn a_login_is_said_and_never_told() {
    let with = |port| match by(port) {
        ChannelBy::Email { host, port, tls, from, to, .. } => {
            ChannelBy::Email { host, port, tls, from, to, login: Some(("ann".to_owned(), secret("xyzzy"))) }
        }
        other => other,
    };
    let server = Server::saying(&[]).await;
    assert_eq!(send(with(server.port), &notice(Purpose::Page)).await, Outcome::Delivered { provider: None });
    // As RFC 4616 says: an empty name, the name, the password.
    assert!(server.heard().contains(&"AUTH PLAIN AGFubgB4eXp6eQ==".to_owned()), "{:?}", server.heard());
    for answer in ["535 wrong password xyzzy", "535 wrong eHl6enk="] {
        let server = Server::saying(&[("AUTH", answer)]).await;
        let why = "team: (it repeats a secret)".to_owned();
        assert_eq!(send(with(server.port), &notice(Purpose::Page)).await, Outcome::Refused { why });
    }
}

#[tokio::test]
async fn without_tls_where_it_is_wanted_nothing_is_said() {
    let server = Server::saying(&[]).await;
    let by = match by(server.port) {
        ChannelBy::Email { host, port, from, to, .. } => {
            let login = Some(("ann".to_owned(), secret("xyzzy")));
            ChannelBy::Email { host, port, tls: MailTls::Start, from, to, login }
        }
        other => other,
    };
    let outcome = send(by, &notice(Purpose::Page)).await;
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("STARTTLS")), "{outcome:?}");
    assert!(server.heard().iter().all(|it| !it.starts_with("AUTH") && !it.starts_with("MAIL")));
}

#[tokio::test]
async fn a_goodbye_is_not_waited_for_and_silence_ends() {
    let late = Outcome::Later { after: None, why: "team: no answer within 15 s".to_owned() };
    for (command, expected) in [("QUIT", Outcome::Delivered { provider: None }), ("MAIL", late)] {
        let server = Server::saying(&[(command, "")]).await;
        let by = by(server.port);
        let reached = async {
            while !server.heard().iter().any(|it| it.starts_with(command)) {
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(flying(async move { send(by, &notice(Purpose::Page)).await }, reached).await, expected);
    }
}

#[tokio::test]
async fn wrong_addresses_are_refused() {
    let with = |from: &str, to: &[&str]| match by(1) {
        ChannelBy::Email { host, port, tls, login, .. } => {
            let to = to.iter().map(|it| (*it).to_owned()).collect();
            ChannelBy::Email { host, port, tls, login, from: from.to_owned(), to }
        }
        other => other,
    };
    let cases = [
        (with("nobody", &["a@example.org"]), "the sender is no address"),
        (with("a@example.org", &["b"]), "a recipient is no address"),
        (with("a@example.org", &["b@example.org>\r\nRCPT TO:<c@example.org"]), "a recipient is no address"),
        (with("a@example.org", &[]), "nobody to send it to"),
    ];
    for (by, expected) in cases {
        let why = format!("team: {expected}");
        assert_eq!(send(by, &notice(Purpose::Page)).await, Outcome::Refused { why });
    }
}
