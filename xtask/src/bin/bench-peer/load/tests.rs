//! The load against relays of a few lines, each with one known habit.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::run;
use crate::spec::{Answer, Arrivals, Measured, Spec};

/// What a relay does with the bytes of an answer.
#[derive(Clone, Copy)]
enum Habit {
    Forward,
    /// Holds a stream back until it is complete.
    Gather,
    /// Closes the connection in the middle.
    Break,
    /// Answers by itself.
    Answer(&'static str),
}

fn relay(habit: Habit, upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            client.set_nodelay(true).unwrap();
            thread::spawn(move || serve(habit, client, upstream));
        }
    });
    address
}

fn serve(habit: Habit, mut client: TcpStream, upstream: SocketAddr) {
    if let Habit::Answer(bytes) = habit {
        let _ = client.read(&mut [0; 16_000]);
        let _ = client.write_all(bytes.as_bytes());
        return;
    }
    let mut server = TcpStream::connect(upstream).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut asking, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut asking, &mut asked));

    let (mut buffer, mut held) = ([0; 16_000], Vec::new());
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        match habit {
            Habit::Gather => {
                held.extend_from_slice(&buffer[..length]);
                if held.ends_with(b"0\r\n\r\n") {
                    let _ = client.write_all(&std::mem::take(&mut held));
                }
            }
            Habit::Break => {
                let _ = client.write_all(&buffer[..length / 2]);
                let _ = client.shutdown(std::net::Shutdown::Both);
                return;
            }
            Habit::Forward | Habit::Answer(_) => {
                let _ = client.write_all(&buffer[..length]);
            }
        }
    }
}

const STREAM: Answer = Answer::Stream {
    chunks: 5,
    pace_us: None,
    include_usage: false,
};
const UNARY: Answer = Answer::Unary { text_bytes: 300 };

/// Four connections, one request each.
fn measure(habit: Habit, prompt_bytes: usize, answer: Answer) -> Measured {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    run(&Spec {
        proxy: relay(habit, upstream),
        upstream,
        pid: std::process::id(),
        prompt_bytes,
        answer,
        arrivals: Arrivals::Once { per_second: 10_000.0 },
        connections: 4,
        warmup_ms: 0,
        window_ms: 10_000,
    })
    .unwrap()
}

#[test]
fn a_relay_that_forwards_fails_nothing() {
    for (prompt_bytes, answer) in [(100, UNARY), (1_000_000, UNARY), (100, STREAM)] {
        let found = measure(Habit::Forward, prompt_bytes, answer);
        assert_eq!(
            (found.answered, found.errors, found.coalesced),
            (4, 0, 0),
            "{:?}",
            found.first_error
        );
        assert_eq!(found.latency.count, 4);
    }
}

#[test]
fn a_relay_that_gathers_chunks_is_caught() {
    let paced = Answer::Stream {
        chunks: 5,
        pace_us: Some(100),
        include_usage: false,
    };
    let found = measure(Habit::Gather, 100, paced);
    assert_eq!((found.answered, found.errors), (4, 0), "{:?}", found.first_error);
    assert!(found.coalesced > 0);
}

#[test]
fn a_relay_that_changes_a_body_is_caught() {
    let found = measure(Habit::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), 100, UNARY);
    assert_eq!((found.answered, found.errors), (0, 4));
}

#[test]
fn a_relay_that_breaks_off_is_caught() {
    let found = measure(Habit::Break, 100, STREAM);
    assert_eq!((found.answered, found.errors), (0, 4));
    assert_eq!(found.first_error.as_deref(), Some("the proxy closed the connection"));
}

#[test]
fn a_refusal_is_told_in_its_own_words() {
    let found = measure(
        Habit::Answer("HTTP/1.1 503 Unavailable\r\ncontent-length: 4\r\n\r\nbusy"),
        100,
        UNARY,
    );
    assert_eq!((found.answered, found.errors), (0, 4));
    let first = found.first_error.unwrap();
    assert!(first.contains("503") && first.ends_with("busy"), "{first}");
}
