//! The dashboard over real connections: who gets in, what may be done, what a page may load.

use mainstay_control::{Admin, Site};
use mainstay_core::plan::{Role, Token};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Plane, Server, token};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn tokens() -> Vec<Token> {
    vec![token("eve", Role::Viewer, "looks"), token("olga", Role::Operator, "acts")]
}

fn keyed(admin: Admin) -> Admin {
    admin.with_key([7; 32])
}

async fn server(tokens: &[Token]) -> Server {
    let plane = std::sync::Arc::new(Plane::new());
    let site = Site::new(plane.clone());
    Server::start_admin(tokens, plane, site, keyed).await
}

/// The cookie of somebody who shows a token.
async fn log_in(server: &Server, token: &str) -> String {
    let answer = server.send("POST", "/login", &[FORM, HTML], &format!("token={token}&next=%2Fslos")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/slos")), "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part) && !cookie.contains("Secure"), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

/// The token of the forms on a page.
fn form_token(page: &Answer) -> String {
    let (_, rest) = page.body.split_once(r#"name="form" value=""#).expect("a form");
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_run_nothing_of_others() {
    let server = server(&[]).await;
    let page = server.send("GET", "/", &[HTML], "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "an address of elsewhere");
    assert!(!page.body.contains(" style=") && !page.body.contains("<script>") && !page.body.contains("<style"));
    for path in ["href=\"/assets/mainstay.css", "src=\"/assets/mainstay.js", "href=\"/assets/mainstay.svg"] {
        let (_, rest) = page.body.split_once(path).expect(path);
        let whole = format!("{}{}", path.split('"').nth(1).unwrap(), rest.split('"').next().unwrap());
        assert_eq!(server.get(&whole).await.status, 200, "{whole}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_browser_without_a_session_is_asked_for_a_token() {
    let server = server(&tokens()).await;
    let answer = server.send("GET", "/slos?q=a", &[HTML], "").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login?next=%2Fslos%3Fq%3Da")));
    // A program is told as before.
    assert_eq!(server.get("/").await.status, 401);
    let login = server.send("GET", "/login?next=%2Fslos", &[HTML], "").await;
    assert!(login.body.contains(r#"name="next" value="/slos""#), "{login:?}");
    let wrong = server.send("POST", "/login", &[FORM, HTML], "token=wrong").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("This token is not known.") && wrong.header("set-cookie").is_none());
    let foreign = server.send("POST", "/login", &[FORM, HTML, ("origin", "https://evil.example")], "token=acts").await;
    assert_eq!((foreign.status, foreign.header("set-cookie")), (403, None));
    let cookie = log_in(&server, "looks").await;
    let page = server.send("GET", "/", &[HTML, ("cookie", &cookie)], "").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("eve (viewer)"), "{page:?}");
    // A link on another site brings no strict cookie: the browser is made to ask again from here.
    let again = server.send("GET", "/slos", &[HTML, ("sec-fetch-site", "cross-site")], "").await;
    assert_eq!((again.status, again.header("refresh")), (200, Some("0; url=/slos")));
    server.stop().await;
}

#[tokio::test]
async fn a_session_reads_the_api_and_changes_nothing_there() {
    let server = server(&tokens()).await;
    let cookie = log_in(&server, "acts").await;
    assert_eq!(server.send("GET", "/api/v1/status", &[("cookie", &cookie)], "").await.status, 200);
    let pin = r#"{"level":3}"#;
    let json = ("content-type", "application/json");
    let answer = server.send("PUT", "/api/v1/levels/score", &[json, ("cookie", &cookie)], pin).await;
    assert_eq!((answer.status, server.plane.pinned()), (401, None));
    for forged in ["mainstay_session=", "mainstay_session=AAAA", &format!("{cookie}x"), &cookie.to_lowercase()] {
        assert_eq!(server.send("GET", "/api/v1/status", &[("cookie", forged)], "").await.status, 401, "{forged}");
    }
    // The session ends twelve hours after it began.
    server.plane.pass(std::time::Duration::from_hours(12));
    let answer = server.send("GET", "/", &[HTML, ("cookie", &cookie)], "").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login?next=%2F")));
    let answer = server.send("POST", "/logout", &[HTML, FORM, ("cookie", &cookie)], "").await;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("Your session has ended. Nothing was done"), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_form_holds_what_another_site_cannot_know() {
    let server = server(&tokens()).await;
    let cookie = log_in(&server, "acts").await;
    let other = log_in(&server, "looks").await;
    let page = server.send("GET", "/", &[HTML, ("cookie", &cookie)], "").await;
    let token = form_token(&page);
    let foreign = form_token(&server.send("GET", "/", &[HTML, ("cookie", &other)], "").await);
    for body in ["", "form=", &format!("form={foreign}")] {
        let answer = server.send("POST", "/logout", &[HTML, FORM, ("cookie", &cookie)], body).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{body}");
        assert!(answer.body.contains("nothing was done"), "{answer:?}");
    }
    let body = format!("form={token}");
    for elsewhere in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let answer = server.send("POST", "/logout", &[HTML, FORM, ("cookie", &cookie), elsewhere], &body).await;
        assert_eq!(answer.status, 403, "{elsewhere:?}");
    }
    let answer = server.send("POST", "/logout", &[HTML, FORM, ("cookie", &cookie)], &body).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login")));
    assert!(answer.header("set-cookie").unwrap().starts_with("mainstay_session=; "));
    server.stop().await;
}

#[tokio::test]
async fn a_failure_is_a_page_for_people() {
    let server = server(&[]).await;
    let answer = server.send("GET", "/nothing", &[HTML], "").await;
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("text/html; charset=utf-8")));
    assert!(answer.body.contains("There is nothing at this path"), "{answer:?}");
    let answer = server.send("GET", "/slos", &[HTML], "").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("this service runs without a store"), "{answer:?}");
    assert_eq!(server.get("/slos").await.header("content-type"), Some("application/problem+json"));
    server.stop().await;
}

/// Time is paused: it passes only while nothing else can happen.
#[tokio::test(start_paused = true)]
async fn what_changes_is_told_until_the_service_stops() {
    let server = server(&[]).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let ask = format!("GET /api/v1/live HTTP/1.1\r\nhost: {}\r\n\r\n", server.addr);
    stream.write_all(ask.as_bytes()).await.unwrap();
    let (mut heard, mut next) = (Vec::new(), async |heard: &mut Vec<u8>, words: &str| {
        heard.clear();
        while !String::from_utf8_lossy(heard).contains(words) {
            assert!(stream.read_buf(heard).await.unwrap() > 0, "{}", String::from_utf8_lossy(heard));
        }
    });
    next(
        &mut heard,
        r#"event: state
data: {"draining":false,"levels":[["score",0]],"incidents":[],"experiments":[],"halted":false}"#,
    )
    .await;
    next(&mut heard, "event: beat\n").await;
    server.plane.set_level(3);
    next(&mut heard, r#""levels":[["score",3]]"#).await;
    let begun = tokio::time::Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "the stream was waited for");
}
