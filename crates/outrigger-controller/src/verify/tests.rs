//! Questions over real sockets.

use super::*;
use crate::desired::{Question, Request};
use outrigger_core::{Auth, DataPolicy, Dialect, Origin, Provider, Quirks, Scheme, Secret};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

fn request(at: SocketAddr, dialect: Dialect) -> Request {
    let origin = Origin {
        scheme: Scheme::Http,
        host: at.ip().to_string(),
        port: at.port(),
    };
    Request {
        question: Question {
            id: "support/openai/a".to_owned(),
            version: "0a0b0c0d".to_owned(),
            origin: origin.clone(),
        },
        provider: Provider {
            label: "openai".to_owned(),
            provider: "openai".to_owned(),
            dialect,
            origin,
            path: "/v1".to_owned(),
            headers: vec![("openai-organization".to_owned(), "org-1".to_owned())],
            ca_pem: None,
            auth: Auth::ApiKey,
            ring: Vec::new(),
            passthrough: Vec::new(),
            quirks: Quirks::default(),
            regions: vec![],
            data_policy: DataPolicy::default(),
            health_check: None,
        },
        key: Secret::new("sk-canary".to_owned()),
    }
}

fn local() -> Guard {
    Guard {
        allowed: vec!["127.0.0.0/8".parse().unwrap()],
        api_server: Vec::new(),
    }
}

/// A provider that gives these answers, one a connection, and what it was asked.
async fn provider(answers: &[&str]) -> (SocketAddr, impl Future<Output = Vec<String>> + use<>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let serving = async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            heads.push(String::from_utf8(head).unwrap());
            // Whoever reads no body may be gone before it is written.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        heads
    };
    (at, serving)
}

async fn answer(text: &str) -> Answer {
    let (at, serving) = provider(&[text]).await;
    let (request, guard, roots) = (request(at, Dialect::OpenAi), local(), ask::Roots::default());
    let (answer, _) = tokio::join!(ask::ask(&request, &guard, &roots), serving);
    answer
}

#[tokio::test]
async fn a_status_says_what_a_provider_thinks_of_a_key() {
    for (status, meaning) in [
        ("200 OK", Answer::Accepted),
        ("401 Unauthorized", Answer::Refused),
        ("403 Forbidden", Answer::Refused),
        ("404 Not Found", Answer::Unclear),
        ("302 Found\r\nlocation: http://127.0.0.1:1/", Answer::Unclear),
        ("429 Too Many Requests", Answer::None),
        ("503 Service Unavailable", Answer::None),
    ] {
        assert_eq!(
            answer(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await,
            meaning,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    assert_eq!(
        answer("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n{").await,
        Answer::Accepted
    );
}

#[tokio::test]
async fn nonsense_is_no_answer() {
    assert_eq!(answer("SSH-2.0-OpenSSH_9.2\r\n").await, Answer::None);
    assert_eq!(answer("").await, Answer::None);
}

#[tokio::test]
async fn the_question_carries_the_key_in_the_dialect_s_own_header() {
    for (dialect, expected) in [
        (Dialect::OpenAi, ["authorization: Bearer sk-canary", "openai-organization: org-1"]),
        (Dialect::Anthropic, ["x-api-key: sk-canary", "anthropic-version: 2023-06-01"]),
    ] {
        let (at, serving) = provider(&["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]).await;
        let (request, guard, roots) = (request(at, dialect), local(), ask::Roots::default());
        let (_, heads) = tokio::join!(ask::ask(&request, &guard, &roots), serving);
        let head = heads[0].as_str();
        assert!(head.starts_with("GET /v1/models HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {at}\r\n")), "{head}");
        for line in expected {
            assert!(head.contains(&format!("{line}\r\n")), "{head}");
        }
    }
}

#[tokio::test]
async fn where_the_guard_lets_nobody_no_connection_is_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let api_server = Guard {
        api_server: vec![at],
        ..local()
    };
    let mut by_name = request(at, Dialect::OpenAi);
    by_name.provider.origin.host = "localhost".to_owned();
    for (request, guard) in [
        (request(at, Dialect::OpenAi), Guard::default()),
        (by_name, Guard::default()),
        (request(at, Dialect::OpenAi), api_server),
    ] {
        assert_eq!(ask::ask(&request, &guard, &ask::Roots::default()).await, Answer::Unclear);
    }
    let waiting = listener.accept();
    tokio::pin!(waiting);
    assert!(futures_util::poll!(waiting).is_pending(), "nobody has knocked");
}

#[tokio::test(start_paused = true)]
async fn a_question_is_asked_once_and_again_only_while_there_is_no_answer() {
    let (at, serving) = provider(&[
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ])
    .await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let tasks = Tasks::new();
    let verifier = Arc::new(Verifier::new(local(), Clock::start(), tasks.clone(), move |namespace| {
        tell.send(namespace.to_owned()).unwrap();
    }));
    let request = request(at, Dialect::OpenAi);
    let finding = |verifier: &Verifier| verifier.findings(|id| id == "support/openai/a").into_values().next();
    let asking = async {
        verifier.ask(vec![request.clone(), request.clone()], "support");
        verifier.ask(vec![request.clone()], "sales");
        assert_eq!(finding(&verifier), Some(Finding::Pending));
        let mut namespaces = [told.recv().await.unwrap(), told.recv().await.unwrap()];
        namespaces.sort();
        assert_eq!(namespaces, ["sales", "support"]);
        assert!(matches!(finding(&verifier), Some(Finding::Unreachable { .. })));
        told.recv().await.unwrap();
        assert_eq!(finding(&verifier), Some(Finding::Accepted));
        verifier.ask(vec![request.clone()], "support");
    };
    let (heads, ()) = tokio::join!(serving, asking);
    assert_eq!(heads.len(), 2, "two askers, one question, asked again once");
    tasks.shutdown(Duration::ZERO).await;
}
