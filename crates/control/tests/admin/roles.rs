//! What each role may do, and what becomes of those who guess.

use mainstay_core::plan::Role;

use crate::support::{Server, token};
use crate::{assert_problem, problem};

async fn server() -> Server {
    let tokens = Role::ALL.map(|role| token(role.name(), role, &format!("{}-token", role.name())));
    Server::start_with(&tokens).await
}

/// Every operation of the description, with every role and with none: let in exactly where the description says so.
#[tokio::test]
async fn a_role_may_do_what_the_description_says_and_nothing_else() {
    let server = server().await;
    let document = mainstay_control::openapi();
    let mut least_of = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let concrete = path.replace(['{', '}'], "");
            let least = operation["security"][0]["bearer"][0].as_str();
            let of_role = least_of.entry(least.unwrap_or("anyone").to_owned()).or_default();
            of_role.push(format!("{method} {path}"));
            let nobody = server.send(&method, &concrete, &[], "").await;
            assert_eq!(nobody.status == 401, least.is_some(), "{method} {path}: {nobody:?}");
            for role in Role::ALL {
                let shown = format!("Bearer {}-token", role.name());
                let answer = server.send(&method, &concrete, &[("authorization", &shown)], "").await;
                let allowed = least.is_none_or(|least| Role::ALL.iter().any(|r| r.name() == least && role >= *r));
                let refused = answer.status == 403 && problem(&answer).1 == "forbidden";
                assert_eq!(refused, !allowed, "{} {method} {path}: {answer:?}", role.name());
                assert_ne!(answer.status, 401, "{} {method} {path}", role.name());
            }
        }
    }
    let table: Vec<String> =
        least_of.iter().map(|(role, operations)| format!("{role}\n  {}", operations.join("\n  "))).collect();
    expect_test::expect_file!["../golden/roles.txt"].assert_eq(&(table.join("\n") + "\n"));
    server.stop().await;
}

/// Time is paused: it passes only while nothing else can happen.
#[tokio::test(start_paused = true)]
async fn whoever_guesses_is_made_to_wait() {
    let server = server().await;
    let with = async |token: &str| {
        server.send("GET", "/api/v1/status", &[("authorization", &format!("Bearer {token}"))], "").await
    };
    for _ in 0..20 {
        assert_problem(&with("guess").await, 401, "unauthorized");
        assert_problem(&server.get("/api/v1/status").await, 401, "unauthorized");
    }
    for token in ["guess", "viewer-token"] {
        let answer = with(token).await;
        assert_problem(&answer, 429, "too-many-failures");
        assert_eq!(answer.header("retry-after"), Some("3"));
    }
    assert_eq!(server.get("/healthz").await.status, 200);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(with("viewer-token").await.status, 200);
    server.stop().await;
}
