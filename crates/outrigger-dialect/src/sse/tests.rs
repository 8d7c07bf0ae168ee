use super::*;
use proptest::prelude::*;

type Owned = (Option<String>, String, bool);

fn events(chunks: &[&[u8]]) -> Vec<Owned> {
    let mut seen = Vec::new();
    let mut take = |event: Event<'_>| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        seen.push((event.name.map(text), text(event.data), event.comment));
    };
    let mut splitter = Splitter::new(1024);
    for chunk in chunks {
        splitter.push(chunk, &mut take).unwrap();
    }
    splitter.finish(&mut take);
    seen
}

fn event(name: Option<&str>, data: &str) -> Owned {
    (name.map(str::to_owned), data.to_owned(), false)
}

const STREAM: &str = "\u{feff}: hi\n\nevent: ping\r\ndata: {}\r\n\r\ndata:  two\ndata:lines\nid: 7\nretry: 1\n\ndata: ü\r\rdata\n\nevent: lonely\n\ndata: [DONE]\n\n";

fn expected() -> Vec<Owned> {
    vec![
        (None, "hi".to_owned(), true),
        event(Some("ping"), "{}"),
        event(None, " two\nlines"),
        event(None, "ü"),
        event(None, ""),
        event(None, "[DONE]"),
    ]
}

#[test]
fn all_line_ends_comments_and_fields_are_understood() {
    assert_eq!(events(&[STREAM.as_bytes()]), expected());
}

#[test]
fn a_split_at_any_two_bytes_changes_nothing() {
    let bytes = STREAM.as_bytes();
    for first in 0..bytes.len() {
        for second in first..bytes.len() {
            let chunks = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(events(&chunks), expected(), "split at {first} and {second}");
        }
    }
}

#[test]
fn an_event_over_the_limit_is_refused_while_it_grows() {
    let mut splitter = Splitter::new(8);
    assert_eq!(splitter.push(b"data: 12", &mut |_| {}), Ok(()));
    assert_eq!(splitter.push(b"345678901", &mut |_| {}), Err(TooLong { limit: 8 }));
    let mut many_lines = Splitter::new(8);
    assert_eq!(
        many_lines.push(b"data: 1234\ndata: 12345\n", &mut |_| {}),
        Err(TooLong { limit: 8 })
    );
}

#[test]
fn the_last_event_needs_no_blank_line() {
    assert_eq!(events(&[b"data: a\n\ndata: [DONE]"]), [event(None, "a"), event(None, "[DONE]")]);
    assert_eq!(events(&[b"data: a\n"]), [event(None, "a")]);
    assert_eq!(events(&[b"data: a\n\n"]), [event(None, "a")]);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(name in proptest::option::of("[a-z_]{1,12}"), data in "[ -~\n]{0,60}") {
        let mut bytes = Vec::new();
        write_event(&mut bytes, name.as_deref(), data.as_bytes());
        prop_assert_eq!(events(&[&bytes]), [event(name.as_deref(), &data)]);
    }

    #[test]
    fn any_bytes_are_survived(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let mut splitter = Splitter::new(64);
        for chunk in &chunks {
            if splitter.push(chunk, &mut |_| {}).is_err() {
                return Ok(());
            }
        }
        splitter.finish(&mut |_| {});
    }
}
