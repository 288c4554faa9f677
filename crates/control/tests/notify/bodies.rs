//! What each channel is sent, to the byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::{Expect, expect};
use mainstay_control::notify::{Outcome, Sender};
use mainstay_core::incident::notice::{Notice, Purpose};
use mainstay_core::plan::ChannelBy;
use mainstay_core::time::Time;
use ring::hmac;

use crate::support::{Heard, ID, NOW, Receiver, by_http, channel, notice, secret};

async fn sent(by: impl Fn(&str) -> ChannelBy, notice: &Notice) -> Heard {
    let receiver = Receiver::status(202).await;
    let outcome = Sender::new().send(&channel(by(&receiver.url)), ID, notice, NOW).await;
    assert_eq!(outcome, Outcome::Delivered { provider: None });
    receiver.only()
}

async fn check(by: impl Fn(&str) -> ChannelBy, notice: &Notice, expected: Expect) {
    expected.assert_eq(&format!("{:#}\n", sent(by, notice).await.json()));
}

fn resolved() -> Notice {
    Notice { resolved: Some(Time::from_secs(1_772_366_430)), ..notice(Purpose::Resolved) }
}

fn pagerduty(url: &str) -> ChannelBy {
    ChannelBy::PagerDuty { url: url.to_owned(), key: secret("0123456789abcdef0123456789abcdef") }
}

#[tokio::test]
async fn pagerduty_is_triggered_acknowledged_and_resolved() {
    check(
        pagerduty,
        &notice(Purpose::Page),
        expect![[r#"
        {
          "client": "mainstay",
          "client_url": "https://mainstay.example/incidents/i-42",
          "dedup_key": "mainstay/fraud/i-42",
          "event_action": "trigger",
          "links": [
            {
              "href": "https://mainstay.example/incidents/i-42",
              "text": "The incident in mainstay"
            }
          ],
          "payload": {
            "class": "latency",
            "component": "score",
            "custom_details": {
              "actions": [
                "pin score to level 2"
              ],
              "detected": "2026-03-01T12:00:00Z",
              "environment": "production",
              "incident": "i-42",
              "purpose": "page",
              "route": "score",
              "service": "fraud",
              "severity": "sev2",
              "signals": [
                "latency burns at 14.4",
                "breaker of primary opened"
              ],
              "status": "detected",
              "summary": "score answers in 600 ms\nsince the release of 11:58",
              "type": "latency"
            },
            "group": "production",
            "severity": "error",
            "source": "fraud",
            "summary": "[SEV2] fraud: p99 is 3 times its target",
            "timestamp": "2026-03-01T12:00:00Z"
          },
          "routing_key": "0123456789abcdef0123456789abcdef"
        }
    "#]],
    )
    .await;
    check(
        pagerduty,
        &notice(Purpose::Acknowledged),
        expect![[r#"
        {
          "dedup_key": "mainstay/fraud/i-42",
          "event_action": "acknowledge",
          "routing_key": "0123456789abcdef0123456789abcdef"
        }
    "#]],
    )
    .await;
    check(
        pagerduty,
        &resolved(),
        expect![[r#"
        {
          "dedup_key": "mainstay/fraud/i-42",
          "event_action": "resolve",
          "routing_key": "0123456789abcdef0123456789abcdef"
        }
    "#]],
    )
    .await;
    for purpose in [Purpose::Notify, Purpose::Undelivered] {
        let body = sent(pagerduty, &notice(purpose)).await.json();
        assert_eq!((&body["event_action"], &body["dedup_key"]), (&"trigger".into(), &"mainstay/fraud/i-42".into()));
    }
    // A key that is too long is another short one, and the same each time.
    let long = Notice { service: "s".repeat(300), ..notice(Purpose::Page) };
    let key = sent(pagerduty, &long).await.json()["dedup_key"].as_str().unwrap().to_owned();
    assert!(key.len() <= 255 && key.starts_with("mainstay/"), "{key}");
    let resolved = Notice { service: long.service, ..resolved() };
    assert_eq!(sent(pagerduty, &resolved).await.json()["dedup_key"], key.as_str());
}

#[tokio::test]
async fn pagerduty_has_its_own_words_for_severities_and_says_its_key() {
    use mainstay_core::incident::kind::Severity;
    for (severity, word) in Severity::ALL.into_iter().zip(["critical", "error", "warning", "info"]) {
        let body = sent(pagerduty, &Notice { severity, ..notice(Purpose::Page) }).await.json();
        assert_eq!(body["payload"]["severity"], word);
    }
    let body = r#"{"status":"success","message":"Event processed","dedup_key":"mainstay/fraud/i-42"}"#;
    let receiver = Receiver::saying(crate::support::Says(202, Vec::new(), body.to_owned())).await;
    let outcome = crate::support::page(&channel(pagerduty(&receiver.url))).await;
    assert_eq!(outcome, Outcome::Delivered { provider: Some("mainstay/fraud/i-42".to_owned()) });
    assert_eq!(receiver.only().path, "/v2/enqueue");
    // The whole path may be written out.
    let receiver = Receiver::status(202).await;
    crate::support::page(&channel(pagerduty(&format!("{}/v2/enqueue", receiver.url)))).await;
    assert_eq!(receiver.only().path, "/v2/enqueue");
}

#[tokio::test]
async fn alertmanager_gets_an_alert_that_fires_until_it_is_resolved() {
    let by = |url: &str| ChannelBy::Alertmanager { url: format!("{url}/prefix/") };
    check(
        by,
        &notice(Purpose::Page),
        expect![[r#"
            [
              {
                "annotations": {
                  "actions": "pin score to level 2",
                  "description": "score answers in 600 ms\nsince the release of 11:58",
                  "environment": "production",
                  "signals": "latency burns at 14.4\nbreaker of primary opened",
                  "status": "detected",
                  "summary": "[SEV2] fraud: p99 is 3 times its target",
                  "type": "latency"
                },
                "endsAt": "2026-03-02T12:01:00Z",
                "generatorURL": "https://mainstay.example/incidents/i-42",
                "labels": {
                  "alertname": "MainstayIncident",
                  "incident": "i-42",
                  "route": "score",
                  "service": "fraud",
                  "severity": "sev2"
                },
                "startsAt": "2026-03-01T12:00:00Z"
              }
            ]
        "#]],
    )
    .await;
    check(
        by,
        &resolved(),
        expect![[r#"
            [
              {
                "annotations": {
                  "actions": "pin score to level 2",
                  "description": "score answers in 600 ms\nsince the release of 11:58",
                  "environment": "production",
                  "signals": "latency burns at 14.4\nbreaker of primary opened",
                  "status": "detected",
                  "summary": "Resolved: [SEV2] fraud: p99 is 3 times its target",
                  "type": "latency"
                },
                "endsAt": "2026-03-01T12:00:30Z",
                "generatorURL": "https://mainstay.example/incidents/i-42",
                "labels": {
                  "alertname": "MainstayIncident",
                  "incident": "i-42",
                  "route": "score",
                  "service": "fraud",
                  "severity": "sev1"
                },
                "startsAt": "2026-03-01T12:00:00Z"
              },
              {
                "annotations": {
                  "actions": "pin score to level 2",
                  "description": "score answers in 600 ms\nsince the release of 11:58",
                  "environment": "production",
                  "signals": "latency burns at 14.4\nbreaker of primary opened",
                  "status": "detected",
                  "summary": "Resolved: [SEV2] fraud: p99 is 3 times its target",
                  "type": "latency"
                },
                "endsAt": "2026-03-01T12:00:30Z",
                "generatorURL": "https://mainstay.example/incidents/i-42",
                "labels": {
                  "alertname": "MainstayIncident",
                  "incident": "i-42",
                  "route": "score",
                  "service": "fraud",
                  "severity": "sev2"
                },
                "startsAt": "2026-03-01T12:00:00Z"
              },
              {
                "annotations": {
                  "actions": "pin score to level 2",
                  "description": "score answers in 600 ms\nsince the release of 11:58",
                  "environment": "production",
                  "signals": "latency burns at 14.4\nbreaker of primary opened",
                  "status": "detected",
                  "summary": "Resolved: [SEV2] fraud: p99 is 3 times its target",
                  "type": "latency"
                },
                "endsAt": "2026-03-01T12:00:30Z",
                "generatorURL": "https://mainstay.example/incidents/i-42",
                "labels": {
                  "alertname": "MainstayIncident",
                  "incident": "i-42",
                  "route": "score",
                  "service": "fraud",
                  "severity": "sev3"
                },
                "startsAt": "2026-03-01T12:00:00Z"
              },
              {
                "annotations": {
                  "actions": "pin score to level 2",
                  "description": "score answers in 600 ms\nsince the release of 11:58",
                  "environment": "production",
                  "signals": "latency burns at 14.4\nbreaker of primary opened",
                  "status": "detected",
                  "summary": "Resolved: [SEV2] fraud: p99 is 3 times its target",
                  "type": "latency"
                },
                "endsAt": "2026-03-01T12:00:30Z",
                "generatorURL": "https://mainstay.example/incidents/i-42",
                "labels": {
                  "alertname": "MainstayIncident",
                  "incident": "i-42",
                  "route": "score",
                  "service": "fraud",
                  "severity": "sev4"
                },
                "startsAt": "2026-03-01T12:00:00Z"
              }
            ]
        "#]],
    )
    .await;
    assert_eq!(sent(by, &notice(Purpose::Page)).await.path, "/prefix/api/v2/alerts");
    // An end before the start would be refused.
    let odd = Notice { resolved: Some(Time::from_secs(1)), ..resolved() };
    assert_eq!(sent(by, &odd).await.json()[0]["endsAt"], "2026-03-01T12:00:00Z");
}

#[tokio::test]
async fn slack_gets_blocks() {
    check(
        |url| ChannelBy::Slack { url: secret(url) },
        &notice(Purpose::Page),
        expect![[r#"
        {
          "blocks": [
            {
              "text": {
                "emoji": false,
                "text": "[SEV2] fraud: p99 is 3 times its target",
                "type": "plain_text"
              },
              "type": "header"
            },
            {
              "fields": [
                {
                  "emoji": false,
                  "text": "Service: fraud",
                  "type": "plain_text"
                },
                {
                  "emoji": false,
                  "text": "Environment: production",
                  "type": "plain_text"
                },
                {
                  "emoji": false,
                  "text": "Severity: sev2",
                  "type": "plain_text"
                },
                {
                  "emoji": false,
                  "text": "Status: detected",
                  "type": "plain_text"
                },
                {
                  "emoji": false,
                  "text": "Type: latency",
                  "type": "plain_text"
                },
                {
                  "emoji": false,
                  "text": "Route: score",
                  "type": "plain_text"
                },
                {
                  "emoji": false,
                  "text": "Detected: 2026-03-01T12:00:00Z",
                  "type": "plain_text"
                },
                {
                  "emoji": false,
                  "text": "Incident: i-42",
                  "type": "plain_text"
                }
              ],
              "type": "section"
            },
            {
              "text": {
                "emoji": false,
                "text": "score answers in 600 ms\nsince the release of 11:58",
                "type": "plain_text"
              },
              "type": "section"
            },
            {
              "text": {
                "emoji": false,
                "text": "Signals\n• latency burns at 14.4\n• breaker of primary opened",
                "type": "plain_text"
              },
              "type": "section"
            },
            {
              "text": {
                "emoji": false,
                "text": "First steps\n• pin score to level 2",
                "type": "plain_text"
              },
              "type": "section"
            },
            {
              "elements": [
                {
                  "text": {
                    "emoji": false,
                    "text": "Open in mainstay",
                    "type": "plain_text"
                  },
                  "type": "button",
                  "url": "https://mainstay.example/incidents/i-42"
                }
              ],
              "type": "actions"
            }
          ],
          "mrkdwn": false,
          "text": "[SEV2] fraud: p99 is 3 times its target",
          "unfurl_links": false,
          "unfurl_media": false
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn teams_gets_a_card() {
    check(
        |url| ChannelBy::Teams { url: secret(url) },
        &notice(Purpose::Page),
        expect![[r#"
        {
          "attachments": [
            {
              "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "actions": [
                  {
                    "title": "Open in mainstay",
                    "type": "Action.OpenUrl",
                    "url": "https://mainstay.example/incidents/i-42"
                  }
                ],
                "body": [
                  {
                    "inlines": [
                      {
                        "color": "attention",
                        "size": "medium",
                        "text": "[SEV2] fraud: p99 is 3 times its target",
                        "type": "TextRun",
                        "weight": "bolder"
                      }
                    ],
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Service: ",
                        "type": "TextRun",
                        "weight": "bolder"
                      },
                      {
                        "text": "fraud",
                        "type": "TextRun"
                      }
                    ],
                    "spacing": "none",
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Environment: ",
                        "type": "TextRun",
                        "weight": "bolder"
                      },
                      {
                        "text": "production",
                        "type": "TextRun"
                      }
                    ],
                    "spacing": "none",
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Severity: ",
                        "type": "TextRun",
                        "weight": "bolder"
                      },
                      {
                        "text": "sev2",
                        "type": "TextRun"
                      }
                    ],
                    "spacing": "none",
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Status: ",
                        "type": "TextRun",
                        "weight": "bolder"
                      },
                      {
                        "text": "detected",
                        "type": "TextRun"
                      }
                    ],
                    "spacing": "none",
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Type: ",
                        "type": "TextRun",
                        "weight": "bolder"
                      },
                      {
                        "text": "latency",
                        "type": "TextRun"
                      }
                    ],
                    "spacing": "none",
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Route: ",
                        "type": "TextRun",
                        "weight": "bolder"
                      },
                      {
                        "text": "score",
                        "type": "TextRun"
                      }
                    ],
                    "spacing": "none",
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Detected: ",
                        "type": "TextRun",
                        "weight": "bolder"
                      },
                      {
                        "text": "2026-03-01T12:00:00Z",
                        "type": "TextRun"
                      }
                    ],
                    "spacing": "none",
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Incident: ",
                        "type": "TextRun",
                        "weight": "bolder"
                      },
                      {
                        "text": "i-42",
                        "type": "TextRun"
                      }
                    ],
                    "spacing": "none",
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "score answers in 600 ms",
                        "type": "TextRun"
                      }
                    ],
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "since the release of 11:58",
                        "type": "TextRun"
                      }
                    ],
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "Signals",
                        "type": "TextRun",
                        "weight": "bolder"
                      }
                    ],
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "• latency burns at 14.4",
                        "type": "TextRun"
                      }
                    ],
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "• breaker of primary opened",
                        "type": "TextRun"
                      }
                    ],
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "First steps",
                        "type": "TextRun",
                        "weight": "bolder"
                      }
                    ],
                    "type": "RichTextBlock"
                  },
                  {
                    "inlines": [
                      {
                        "text": "• pin score to level 2",
                        "type": "TextRun"
                      }
                    ],
                    "type": "RichTextBlock"
                  }
                ],
                "msteams": {
                  "width": "full"
                },
                "type": "AdaptiveCard",
                "version": "1.4"
              },
              "contentType": "application/vnd.microsoft.card.adaptive",
              "contentUrl": null
            }
          ],
          "type": "message"
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn discord_gets_an_embed() {
    check(
        |url| ChannelBy::Discord { url: secret(url) },
        &resolved(),
        expect![[r#"
        {
          "allowed_mentions": {
            "parse": []
          },
          "content": "Resolved\\: \\[SEV2\\] fraud\\: p99 is 3 times its target",
          "embeds": [
            {
              "color": 3055683,
              "description": "score answers in 600 ms\nsince the release of 11\\:58",
              "fields": [
                {
                  "inline": true,
                  "name": "Service",
                  "value": "fraud"
                },
                {
                  "inline": true,
                  "name": "Environment",
                  "value": "production"
                },
                {
                  "inline": true,
                  "name": "Severity",
                  "value": "sev2"
                },
                {
                  "inline": true,
                  "name": "Status",
                  "value": "detected"
                },
                {
                  "inline": true,
                  "name": "Type",
                  "value": "latency"
                },
                {
                  "inline": true,
                  "name": "Route",
                  "value": "score"
                },
                {
                  "inline": true,
                  "name": "Detected",
                  "value": "2026-03-01T12\\:00\\:00Z"
                },
                {
                  "inline": true,
                  "name": "Resolved",
                  "value": "2026-03-01T12\\:00\\:30Z"
                },
                {
                  "inline": true,
                  "name": "Incident",
                  "value": "i-42"
                },
                {
                  "name": "Signals",
                  "value": "• latency burns at 14.4\n• breaker of primary opened"
                },
                {
                  "name": "First steps",
                  "value": "• pin score to level 2"
                }
              ],
              "timestamp": "2026-03-01T12:00:00Z",
              "title": "Resolved\\: \\[SEV2\\] fraud\\: p99 is 3 times its target",
              "url": "https://mainstay.example/incidents/i-42"
            }
          ]
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_webhook_gets_the_notice() {
    let notice =
        Notice { person: Some("ann".to_owned()), email: Some("ann@example.org".to_owned()), ..notice(Purpose::Page) };
    check(
        |url| ChannelBy::Webhook { url: secret(url), secret: None },
        &notice,
        expect![[r#"
        {
          "actions": [
            "pin score to level 2"
          ],
          "detected": "2026-03-01T12:00:00Z",
          "email": "ann@example.org",
          "environment": "production",
          "id": "01JNB8-d.1",
          "incident": "i-42",
          "link": "https://mainstay.example/incidents/i-42",
          "person": "ann",
          "purpose": "page",
          "route": "score",
          "service": "fraud",
          "severity": "sev2",
          "signals": [
            "latency burns at 14.4",
            "breaker of primary opened"
          ],
          "status": "detected",
          "summary": "score answers in 600 ms\nsince the release of 11:58",
          "title": "p99 is 3 times its target",
          "type": "latency",
          "version": 1
        }
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_webhook_is_signed_as_the_specification_says() {
    for (given, key) in [("whsec_c2hhcmVkIHNlY3JldA==", "shared secret"), ("shared secret", "shared secret")] {
        let by = |url: &str| ChannelBy::Webhook { url: secret(url), secret: Some(secret(given)) };
        let heard = sent(by, &notice(Purpose::Page)).await;
        assert_eq!((heard.header("webhook-id"), heard.header("webhook-timestamp")), (ID, "1772366460"));
        let signed = [ID.as_bytes(), b".1772366460.", &heard.body].concat();
        let signature = STANDARD.decode(heard.header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        hmac::verify(&key, &signed, &signature).unwrap();
        hmac::verify(&key, &[&signed[..], b" "].concat(), &signature).unwrap_err();
    }
    let heard = sent(|url| ChannelBy::Webhook { url: secret(url), secret: None }, &notice(Purpose::Page)).await;
    assert!(!heard.headers.contains_key("webhook-signature") && heard.header("webhook-id") == ID);
}

#[tokio::test]
async fn every_try_of_a_delivery_has_its_id() {
    let receiver = Receiver::status(200).await;
    for by in by_http(&receiver.url) {
        let mut id = ID.to_owned();
        id.push_str("\r\nx: y\u{e9}");
        Sender::new().send(&channel(by), &id, &notice(Purpose::Page), NOW).await;
    }
    let heard = receiver.heard();
    assert_eq!(heard.len(), 6);
    for heard in heard {
        // What a header cannot hold is left out.
        assert_eq!(heard.header("idempotency-key"), format!("{ID}x:y"));
        assert_eq!(heard.header("content-type"), "application/json");
        assert_eq!(heard.method, "POST");
    }
}
