//! Mail to a server, by SMTP.

use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Severity;
use lettre::transport::smtp::{Error, extension::MailBodyParameter, extension::MailParameter};
use mainstay_core::incident::notice::Notice;
use mainstay_core::plan::MailTls;
use mainstay_core::time::Time;
use rustls::pki_types::CertificateDer;

use super::hush::Hush;
use super::payload::mail::mail;
use super::{CONNECT_LIMIT, Outcome};

/// How long is waited for the server's goodbye: the mail is delivered then.
const QUIT_LIMIT: Duration = Duration::from_secs(1);
/// Most people that one mail goes to.
const RECIPIENTS_MAX: usize = 100;

/// A mail server, and how it is spoken to.
pub(super) struct Server<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) tls: MailTls,
    pub(super) login: Option<(&'a str, &'a str)>,
    pub(super) trusted: &'a [CertificateDer<'static>],
}

/// Who a mail is from and who gets it: the person, where there is one, and others.
pub(super) struct Envelope {
    from: Mailbox,
    person: Option<Address>,
    others: Vec<Address>,
}

impl Envelope {
    /// Reads the addresses; what is wrong in a line.
    pub(super) fn read(from: &str, to: &[String], person: Option<&str>) -> Result<Envelope, String> {
        let from: Mailbox = from.parse().map_err(|_| "the sender is no address".to_owned())?;
        let person = person.map(|it| it.parse().map_err(|_| "the person's address is none".to_owned())).transpose()?;
        let mut others: Vec<Address> = Vec::new();
        for text in to {
            let address: Mailbox = text.parse().map_err(|_| "a recipient is no address".to_owned())?;
            if !others.contains(&address.email) && person.as_ref() != Some(&address.email) {
                others.push(address.email);
            }
        }
        match others.len() + usize::from(person.is_some()) {
            0 => Err("nobody to send it to".to_owned()),
            1..=RECIPIENTS_MAX => Ok(Envelope { from, person, others }),
            _ => Err(format!("more than {RECIPIENTS_MAX} recipients")),
        }
    }

    fn all(&self) -> Vec<Address> {
        self.person.iter().chain(&self.others).cloned().collect()
    }
}

/// Sends the mail of a delivery.
pub(super) async fn send(
    server: &Server<'_>,
    envelope: &Envelope,
    hush: &Hush,
    (id, notice, now): (&str, &Notice, Time),
) -> Outcome {
    let written = mail(envelope.from.clone(), &envelope.all(), id, notice, now);
    let Ok(written) = written else { return Outcome::Refused { why: "the mail cannot be written".to_owned() } };
    match converse(server, envelope, &written.formatted()).await {
        Ok(()) => Outcome::Delivered { provider: None },
        Err(Trouble::Smtp(error)) => outcome(&error, hush),
        Err(Trouble::Order(what)) => Outcome::Later { after: None, why: what.to_owned() },
    }
}

/// Why a mail was not taken.
enum Trouble {
    /// The server says so, or is not to be understood.
    Smtp(Error),
    /// An answer to something else: who counts those of a conversation wrongly may take a mail for delivered.
    Order(&'static str),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Smtp(error)
    }
}

async fn converse(server: &Server<'_>, envelope: &Envelope, mail: &[u8]) -> Result<(), Trouble> {
    // As the sender's domain: mainstay may not know its machine's name.
    let hello = ClientId::Domain(envelope.from.email.domain().to_owned());
    let mut connection = connect(server, &hello).await?;
    if let Some((name, password)) = server.login {
        let credentials = Credentials::new(name.to_owned(), password.to_owned());
        connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
    }
    let eight_bit = (!mail.is_ascii()).then_some(MailParameter::Body(MailBodyParameter::EightBitMime));
    connection.command(Mail::new(Some(envelope.from.email.clone()), eight_bit.into_iter().collect())).await?;
    recipients(&mut connection, envelope).await?;
    if connection.command(Data).await?.code().severity != Severity::PositiveIntermediate {
        return Err(Trouble::Order("the server does not wait for the mail"));
    }
    if connection.message(mail).await?.code().severity != Severity::PositiveCompletion {
        return Err(Trouble::Order("the server does not say that it took the mail"));
    }
    let _ = tokio::time::timeout(QUIT_LIMIT, connection.quit()).await;
    Ok(())
}

async fn connect(server: &Server<'_>, hello: &ClientId) -> Result<AsyncSmtpConnection, Error> {
    let parameters = || {
        let builder = TlsParameters::builder(server.host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
        let trusted = server.trusted.iter().filter_map(|it| Certificate::from_der(it.to_vec()).ok());
        trusted
            .fold(builder, lettre::transport::smtp::client::TlsParametersBuilder::add_root_certificate)
            .build_rustls()
    };
    let implicit = match server.tls {
        MailTls::Implicit => Some(parameters()?),
        MailTls::Start | MailTls::None => None,
    };
    let to = (server.host, server.port);
    let mut connection = AsyncSmtpConnection::connect_tokio1(to, Some(CONNECT_LIMIT), hello, implicit, None).await?;
    if server.tls == MailTls::Start {
        connection.starttls(parameters()?, hello).await?;
    }
    Ok(connection)
}

/// The person must be taken. Without one, somebody must: one mailbox that is gone keeps no mail from the others.
async fn recipients(connection: &mut AsyncSmtpConnection, envelope: &Envelope) -> Result<(), Error> {
    if let Some(person) = &envelope.person {
        connection.command(Rcpt::new(person.clone(), Vec::new())).await?;
    }
    let (mut taken, mut fault) = (usize::from(envelope.person.is_some()), None::<Error>);
    for address in &envelope.others {
        match connection.command(Rcpt::new(address.clone(), Vec::new())).await {
            Ok(_) => taken += 1,
            Err(error) if error.is_permanent() => fault = fault.or(Some(error)),
            Err(error) if error.is_transient() => fault = Some(error),
            Err(error) => return Err(error),
        }
    }
    match fault {
        Some(fault) if taken == 0 => Err(fault),
        Some(_) => {
            tracing::warn!(taken, of = envelope.all().len(), "a mail server refused some recipients");
            Ok(())
        }
        None => Ok(()),
    }
}

fn outcome(error: &Error, hush: &Hush) -> Outcome {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        why = format!("{why}: {error}");
        source = error.source();
    }
    let why = hush.shown(&why);
    if error.is_permanent() || error.is_client() {
        Outcome::Refused { why }
    } else {
        Outcome::Later { after: None, why }
    }
}
