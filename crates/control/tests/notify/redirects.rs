//! Redirects: few, only 307 and 308, never to plain text, and never inside.

use std::sync::Arc;

use mainstay_control::notify::{Outcome, Sender};
use mainstay_core::incident::notice::Purpose;
use mainstay_core::plan::Channel;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{ID, NOW, Receiver, Says, notice, page, request, webhook};

fn on(url: &str) -> Channel {
    Channel { private_redirects: true, ..webhook(url) }
}

async fn moved(status: u16, to: &str) -> Receiver {
    Receiver::saying(Says(status, vec![("location", to.to_owned())], String::new())).await
}

fn refused(why: &str) -> Outcome {
    Outcome::Refused { why: format!("team: {why}") }
}

#[tokio::test]
async fn nothing_is_sent_on_to_an_address_that_is_not_public() {
    let inside = Receiver::status(200).await;
    let port = inside.url.rsplit(':').next().unwrap();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f000001",
        "127.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00::1]",
        "224.0.0.1",
    ];
    for host in hosts {
        let from = moved(307, &format!("http://{host}:{port}/x")).await;
        let name = host.trim_matches(['[', ']']);
        let why = format!("redirected to what is not a public address: {name}");
        assert_eq!(page(&webhook(&from.url)).await, refused(&why), "{host}");
    }
    // Also where it is the server's own.
    let from = moved(308, "/x").await;
    assert!(matches!(page(&webhook(&from.url)).await, Outcome::Refused { .. }));
    assert_eq!(from.heard().len(), 1);
    assert_eq!(inside.heard().len(), 0);
}

#[tokio::test]
async fn where_it_is_wished_the_same_goes_on() {
    for status in [307, 308] {
        let inside = Receiver::status(200).await;
        let from = moved(status, &format!("{}/new?a=b#part", inside.url)).await;
        assert_eq!(page(&on(&from.url)).await, Outcome::Delivered { provider: None });
        let (first, second) = (from.only(), inside.only());
        assert_eq!((second.method.as_str(), second.path.as_str()), ("POST", "/new?a=b"));
        assert_eq!(second.body, first.body);
        assert_eq!(second.header("idempotency-key"), ID);
        assert_eq!(format!("http://{}", second.header("host")), inside.url);
    }
}

#[tokio::test]
async fn other_redirects_are_refused() {
    let inside = Receiver::status(200).await;
    for status in [300, 301, 302, 303, 304, 305] {
        let from = moved(status, &inside.url).await;
        let why = format!("redirected with {status}: only 307 and 308 are followed");
        assert_eq!(page(&on(&from.url)).await, refused(&why));
    }
    for to in ["ftp://example.org/", "http://user:pass@example.org/", "http://", "x"] {
        let from = moved(307, to).await;
        assert_eq!(page(&on(&from.url)).await, refused("redirected with 307 to no usable URL"), "{to}");
    }
    let from = Receiver::status(308).await;
    assert_eq!(page(&on(&from.url)).await, refused("redirected with 308 to nowhere"));
    // For ever.
    let from = moved(307, "/again").await;
    assert_eq!(page(&on(&from.url)).await, refused("redirected more than 3 times"));
    assert_eq!(from.heard().len(), 4);
    assert_eq!(inside.heard().len(), 0);
}

/// A server of TLS that answers every request with this; and what it is known by.
async fn tls(answer: String) -> (String, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
    });
    (url, certificate)
}

#[tokio::test]
async fn what_is_private_stays_so() {
    let inside = Receiver::status(200).await;
    let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", inside.url);
    let (url, certificate) = tls(answer).await;
    let sender = Sender::trusting(vec![certificate]).unwrap();
    let outcome = sender.send(&on(&url), ID, &notice(Purpose::Page), NOW).await;
    assert_eq!(outcome, refused("redirected from https to http"));
    assert_eq!(inside.heard().len(), 0);
    // Without trust there is no connection.
    let outcome = page(&on(&url)).await;
    assert!(matches!(&outcome, Outcome::Later { why, .. } if why.starts_with("team: no TLS: ")), "{outcome:?}");
    // To TLS is fine.
    let (url, certificate) = tls("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let from = moved(308, &url).await;
    let sender = Sender::trusting(vec![certificate]).unwrap();
    let outcome = sender.send(&on(&from.url), ID, &notice(Purpose::Page), NOW).await;
    assert_eq!(outcome, Outcome::Delivered { provider: None });
}
