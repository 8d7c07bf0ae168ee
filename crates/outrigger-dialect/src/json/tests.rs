use super::*;
use proptest::prelude::*;

#[test]
fn a_string_ends_at_the_first_quote_that_no_backslash_escapes() {
    for (text, contents) in [
        (r#""a\"b" "#, r#"a\"b"#),
        (r#""a\\" "#, r"a\\"),
        (r#""\\\"" "#, r#"\\\""#),
        (r#""""#, ""),
        (
            r#""0123456789012345678901234567890123456789\"x""#,
            r#"0123456789012345678901234567890123456789\"x"#,
        ),
    ] {
        assert_eq!(Reader::new(text.as_bytes()).string(), Ok(contents.as_bytes()), "{text}");
    }
    for padding in (0..40).chain(BLOCK - 40..BLOCK) {
        // The ends of the blocks in which a long string is searched fall on every place of every escape.
        let contents = format!(r#"{}\"quoted\" and \\\" C:\\"#, "x".repeat(padding)).repeat(4);
        let text = format!(r#""{contents}" "behind""#);
        assert_eq!(Reader::new(text.as_bytes()).string(), Ok(contents.as_bytes()), "{text}");
        let open = text.split_at(contents.len() + 1).0.as_bytes();
        assert_eq!(Reader::new(open).string(), Err(Malformed), "{text}");
        assert_eq!(Reader::of_cut(open).string(), Ok(contents.as_bytes()), "{text}");
    }
    assert_eq!(Reader::new(br#""open\""#).string(), Err(Malformed));
    assert_eq!(Reader::of_cut(br#""open\""#).string(), Ok(&br#"open\""#[..]));
}

#[test]
fn brackets_must_match_and_may_not_nest_deeper_than_the_limit() {
    let why = |text: &[u8]| {
        let mut reader = Reader::new(text);
        assert_eq!(reader.skip(), Err(Malformed));
        reader.why()
    };
    assert_eq!(why(b"[{]}"), Why::Unexpected(2));
    assert_eq!(why(b"[{}"), Why::End);
    let nested = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
    assert_eq!(Reader::new(&nested(128)).skip(), Ok(0..256));
    assert_eq!(why(&nested(129)), Why::TooDeep);
}

#[test]
fn a_member_is_found_from_behind_only_at_the_top_level() {
    let found = |text: &str| {
        last_member(text.as_bytes(), &memchr::memmem::Finder::new("\"usage\""), |reader| {
            let value = reader.skip()?;
            Ok(String::from_utf8(reader.slice(value).to_vec()).unwrap())
        })
    };
    assert_eq!(found(r#"{"a":1,"usage": {"n":1} , "b":[{}]} "#).as_deref(), Some(r#"{"n":1}"#));
    assert_eq!(found(r#"f x\"usage\":7"},"usage":2}"#).as_deref(), Some("2"));
    assert_eq!(found(r#"{"usage":1,"b":"usage"}"#).as_deref(), Some("1"));
    assert_eq!(found(r#"{"usage":1,"b":{"usage":2}}"#).as_deref(), Some("1"));
    assert_eq!(found(r#"{"a":[{"usage":1}]}"#), None);
    assert_eq!(found(r#"{"a":{"usage":1},"b":2}"#), None);
    assert_eq!(found(r#"{"a":"\"usage\":1"}"#), None);
    assert_eq!(found(r#"{"usage":1"#), None);
}

proptest! {
    #[test]
    fn a_string_of_quotes_and_backslashes_ends_where_a_walk_over_its_bytes_says(body in r#"[\\"a]{0,20}(\\"|\\\\){0,9}(a{0,30}\\"|\\\\|a{400}){0,60}(\\\\?["\\a]|\\"){0,40}"#) {
        let (mut escaped, mut end) = (false, None);
        for (at, byte) in body.bytes().enumerate() {
            if byte == b'"' && !escaped {
                end = Some((&body.as_bytes()[..at], &body.as_bytes()[at + 1..]));
                break;
            }
            escaped = byte == b'\\' && !escaped;
        }
        prop_assert_eq!(string_end(body.as_bytes()), end);
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        Just(Value::from("\\\"}{][,:")),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_skipped_to_its_last_byte(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let padded = format!(" {text}\t,");
        prop_assert_eq!(Reader::new(padded.as_bytes()).skip(), Ok(1..1 + text.len()));
    }

    #[test]
    fn members_are_those_that_a_full_parse_finds(map in proptest::collection::btree_map(".{0,6}", json(), 0..5)) {
        let text = serde_json::to_vec(&map).unwrap();
        let mut found = std::collections::BTreeMap::new();
        let mut reader = Reader::new(&text);
        members(&mut reader, |reader, key| {
            let value = reader.skip()?;
            found.insert(unescape(key).unwrap().into_owned(), serde_json::from_slice(reader.slice(value)).unwrap());
            Ok(())
        }).unwrap();
        prop_assert_eq!(found, map);
        prop_assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn any_bytes_are_survived(text in r#"[\[\]{}":,\\a0 u]{0,60}"#) {
        let _ = Reader::new(text.as_bytes()).skip();
        let _ = members(&mut Reader::of_cut(text.as_bytes()), |reader, _| reader.pass());
    }
}
