use super::*;
use proptest::prelude::*;
use serde_json::json;

fn config_map(version: &str, data: &[(&str, &str)]) -> serde_json::Value {
    let data: Data = data.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    json!({
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": { "name": CONFIG_MAP_NAME, "namespace": "shop", "resourceVersion": version, "managedFields": [] },
        "data": data,
    })
}

fn read(line: &serde_json::Value) -> Result<Said, Trouble> {
    Said::read(line.to_string().as_bytes())
}

#[test]
fn lines_of_a_watch_say_what_the_config_map_holds_now() {
    let object = config_map("7", &[("generation", "1")]);
    let data = Data::from([("generation".to_owned(), "1".to_owned())]);
    for kind in ["ADDED", "MODIFIED"] {
        let said = read(&json!({ "type": kind, "object": object })).unwrap();
        assert_eq!(said, Said::Now(Some(data.clone()), "7".to_owned()), "{kind}");
    }
    assert_eq!(
        read(&json!({ "type": "DELETED", "object": object })).unwrap(),
        Said::Now(None, "7".to_owned())
    );
    let bookmark = json!({ "type": "BOOKMARK", "object": { "kind": "ConfigMap", "metadata": { "resourceVersion": "12" } } });
    assert_eq!(read(&bookmark).unwrap(), Said::Bookmark("12".to_owned()));
    let status =
        json!({ "type": "ERROR", "object": { "kind": "Status", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410 } });
    assert_eq!(read(&status).unwrap(), Said::Trouble(StatusCode::GONE));
    let vague = json!({ "type": "ERROR", "object": {} });
    assert_eq!(read(&vague).unwrap(), Said::Trouble(StatusCode::INTERNAL_SERVER_ERROR));
}

#[test]
fn other_objects_and_other_events_are_not_ours() {
    let mut object = config_map("7", &[]);
    object["metadata"]["name"] = "kube-root-ca.crt".into();
    for kind in ["ADDED", "MODIFIED", "DELETED"] {
        assert_eq!(read(&json!({ "type": kind, "object": object })).unwrap(), Said::Other);
    }
    assert_eq!(
        read(&json!({ "type": "SYNCED", "object": config_map("7", &[]) })).unwrap(),
        Said::Other
    );
    for line in ["", "{}", "null", "<html>", r#"{"type":"ADDED"}"#] {
        assert!(matches!(Said::read(line.as_bytes()), Err(Trouble::Unexpected)), "{line}");
    }
}

#[test]
fn a_config_map_without_data_is_there_and_empty() {
    let object = json!({ "metadata": { "name": CONFIG_MAP_NAME, "resourceVersion": "1" } });
    assert_eq!(
        read(&json!({ "type": "ADDED", "object": object })).unwrap(),
        Said::Now(Some(Data::new()), "1".to_owned())
    );
}

#[test]
fn a_line_has_a_cap_and_so_has_a_body_without_one() {
    let mut lines = Lines::default();
    let half = vec![b'x'; MOST_BYTES / 2];
    lines.push(&half).unwrap();
    lines.push(&half).unwrap();
    assert_eq!(lines.next(), None);
    assert!(matches!(lines.push(b"x"), Err(Trouble::TooLarge(_))));
}

#[test]
fn pauses_grow_to_their_cap_and_longer_after_a_refusal() {
    let longest = |refused| {
        let mut pause = Pause::default();
        let mut last = Duration::ZERO;
        for time in 0..40 {
            let most = FIRST_PAUSE
                .saturating_mul(1 << time.min(10))
                .min(if refused { REFUSED_PAUSE } else { LONGEST_PAUSE });
            last = pause.next(refused);
            assert!(last <= most && last >= most / 2, "{last:?} of {most:?}");
        }
        last
    };
    assert!(longest(false) >= LONGEST_PAUSE / 2);
    assert!(longest(true) >= REFUSED_PAUSE / 2);
}

#[test]
fn only_what_a_server_has_refused_waits_longer() {
    let refusal = |status: u16| Trouble::Status(StatusCode::from_u16(status).unwrap()).is_refusal();
    assert!(refusal(401) && refusal(403) && refusal(404));
    assert!(!refusal(410) && !refusal(429) && !refusal(500) && !refusal(503));
    assert!(!Trouble::Closed.is_refusal());
}

proptest! {
    /// However the network cuts a body into pieces, the same lines come out.
    #[test]
    fn lines_do_not_depend_on_where_a_body_is_cut(lines in prop::collection::vec("[a-z]{0,8}", 0..8), cuts in prop::collection::vec(1..9usize, 1..40)) {
        let body: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let (mut rest, mut out, mut reader) = (&body[..], Vec::new(), Lines::default());
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            reader.push(piece).unwrap();
            while let Some(line) = reader.next() {
                out.push(String::from_utf8(line).unwrap());
            }
            rest = after;
        }
        prop_assert_eq!(out, lines);
    }
}
