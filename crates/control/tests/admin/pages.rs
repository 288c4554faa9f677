//! The dashboard over real connections: who gets in, what may be done, what a page may load.

use std::fmt::Write as _;

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

/// Every form, with every role, without the token of a form and with that of another session: nothing is done but by whom the API would let.
#[tokio::test]
async fn every_form_needs_the_role_of_the_api_and_the_token_of_its_session() {
    let all = Role::ALL.map(|role| token(role.name(), role, &format!("{}-token", role.name())));
    let server = server(&all).await;
    let document = mainstay_control::openapi();
    let operations: Vec<_> =
        document["paths"].as_object().unwrap().values().flat_map(|it| it.as_object().unwrap()).collect();
    let mut sessions = Vec::new();
    for role in Role::ALL {
        let cookie = log_in(&server, &format!("{}-token", role.name())).await;
        let page = server.send("GET", "/", &[HTML, ("cookie", &cookie)], "").await;
        sessions.push((role, cookie, form_token(&page)));
    }
    let mut table = String::new();
    for (path, operation, least) in mainstay_control::forms() {
        writeln!(table, "{} {path} as {operation}", least.name()).unwrap();
        let (_, described) = operations.iter().find(|(_, it)| it["operationId"] == operation).expect(operation);
        assert_eq!(described["security"][0]["bearer"][0], least.name(), "{operation}");
        let concrete = path.replace(['{', '}'], "");
        let post = async |headers: &[(&str, &str)], body: &str| {
            let all: Vec<_> = [HTML, FORM].into_iter().chain(headers.iter().copied()).collect();
            server.send("POST", &concrete, &all, body).await
        };
        assert_eq!(post(&[], "route=score&level=2").await.status, 401, "{path}: nobody");
        for (n, (role, cookie, own)) in sessions.iter().enumerate() {
            let headers = [("cookie", cookie.as_str())];
            let foreign = &sessions[(n + 1) % sessions.len()].2;
            for bad in ["route=score&level=2".to_owned(), format!("route=score&level=2&form={foreign}")] {
                let answer = post(&headers, &bad).await;
                assert_eq!(answer.status, 403, "{} {path} {bad}: {answer:?}", role.name());
                let said = if *role < least { "this needs the role" } else { "the form is of another session" };
                assert!(answer.body.contains(said), "{} {path}: {answer:?}", role.name());
            }
            let elsewhere = [headers[0], ("origin", "https://evil.example")];
            let good = format!("form={own}");
            assert_eq!(post(&elsewhere, &good).await.status, 403, "{path}: from elsewhere");
            let answer = post(&headers, &good).await;
            // With nothing else in it, nothing is done either; what is said is about that.
            assert_eq!(answer.status == 403, *role < least, "{} {path}: {answer:?}", role.name());
            assert!(
                ![401, 404, 405].contains(&answer.status) || answer.body.contains("no route"),
                "{path}: {answer:?}"
            );
        }
    }
    assert_eq!(server.plane.pinned(), None);
    expect_test::expect_file!["../golden/forms.txt"].assert_eq(&table);
    server.stop().await;
}

#[tokio::test]
async fn a_route_is_held_by_hand_and_let_go() {
    let server = server(&tokens()).await;
    let cookie = log_in(&server, "acts").await;
    let page = server.send("GET", "/routes/score", &[HTML, ("cookie", &cookie)], "").await;
    for shown in ["2 cached", "breaker open: 4", "Hold it there", "/explore?route=score", r#"<option value="0">"#] {
        assert!(page.body.contains(shown), "{shown}: {page:?}");
    }
    assert_eq!(page.body.matches(r#"<option value="2">"#).count(), 1, "a level is offered once");
    assert!(!page.body.contains(r#"<option value="4">"#) && !page.body.contains("Let it follow"), "{page:?}");
    let token = form_token(&page);
    let post = async |path: &str, body: &str| {
        server.send("POST", path, &[HTML, FORM, ("cookie", &cookie)], &format!("form={token}&{body}")).await
    };
    for (body, status, said) in [
        ("route=score&level=x", 422, "a level is a number from 0 to 4"),
        ("route=score&level=9", 422, "a level is"),
        ("route=score&level=2&for=soon", 422, "`for` is a number"),
        ("route=score&level=4", 422, "nothing that answers at this level"),
        ("route=scroe&level=2", 404, "did you mean `score`?"),
    ] {
        let answer = post("/levels/pin", body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.body.contains(said), "{body}: {answer:?}");
    }
    assert_eq!(server.plane.pinned(), None);
    let answer = post("/levels/pin", "route=score&level=2&for=30m&reason=a+%3Cb%3E+disk").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/routes/score?done=held")));
    assert_eq!(server.plane.pinned().map(mainstay_core::route::Level::number), Some(2));
    let page = server.send("GET", "/routes/score?done=held", &[HTML, ("cookie", &cookie)], "").await;
    for shown in ["The route is held there", "held by hand until", "a &lt;b&gt; disk", "Let it follow its health"] {
        assert!(page.body.contains(shown), "{shown}: {page:?}");
    }
    let answer = post("/levels/auto", "route=score").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/routes/score?done=released")));
    assert_eq!(server.plane.pinned(), None);
    let page = server.send("GET", "/routes/scroe", &[HTML, ("cookie", &cookie)], "").await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("there is no route `scroe`: did you mean `score`?"), "{page:?}");
    server.stop().await;
}

#[tokio::test]
async fn what_the_overview_has_no_room_for_is_a_page_away() {
    let plane = std::sync::Arc::new(Plane::with_routes(120));
    let server = Server::start_admin(&[], plane.clone(), Site::new(plane), keyed).await;
    let get = async |path: &str| {
        let page = server.send("GET", path, &[HTML], "").await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        page.body
    };
    let overview = get("/").await;
    assert!(["Groups of backends", "1 of 2", "primary, small"].iter().all(|it| overview.contains(it)), "{overview}");
    for link in ["/routes", "/backends", "/features"] {
        assert!(overview.contains(&format!(r#"<a href="{link}">And 105 more</a>"#)), "{link}: {overview}");
    }
    assert!(overview.contains(r#"href="/routes?level=below""#), "{overview}");
    // What is not as it should be is among those that are shown.
    for shown in ["score-119", "primary-70<", "primary-71<", "account-72<"] {
        assert!(overview.contains(shown), "{shown}: {overview}");
    }
    for (path, has, lacks) in [
        ("/routes", "score-48<", "score-49<"),
        ("/routes?page=3", "score-118<", "score-119<"),
        ("/routes?level=below", "1 of 120 routes", "score-1<"),
        ("/routes?level=2&q=score-11", "score-119<", "score-118<"),
        ("/routes?held=yes", "0 of 120 routes", "score-119<"),
        ("/backends?page=2", "51 to 100 of 120", "primary-1<"),
        ("/backends?breaker=open", "primary-71<", "primary-70<"),
        ("/backends?health=unhealthy", "primary-70<", "primary-71<"),
        ("/features?breaker=half_open", "account-72<", "account-1<"),
        ("/features?q=nothing", "There are no such feature sets", "account"),
    ] {
        let page = get(path).await;
        let (_, main) = page.split_once("<h1").unwrap();
        assert!(main.contains(has) && !main.replace("feature sets", "").contains(lacks), "{path}: {page}");
    }
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
