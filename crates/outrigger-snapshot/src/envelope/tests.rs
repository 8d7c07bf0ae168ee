use super::*;
use crate::{KeyReference, KeyState, testing::document};
use proptest::prelude::*;

fn mac() -> MacKey {
    MacKey::from_bytes(&[7; 32]).unwrap()
}

fn sealed() -> Sealed {
    seal(&document(&["main"]), 1_700_000_000_000, &mac()).unwrap()
}

/// What the controller itself would have signed.
fn signed(sealed: Sealed) -> Sealed {
    let tag = sealed.signed("shop", |parts| mac().sign(parts));
    Sealed { mac: tag, ..sealed }
}

fn reason(sealed: &Sealed) -> &'static str {
    open(sealed, "shop", &mac()).unwrap_err().reason()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn no_byte_of_the_document_and_no_field_can_be_changed() {
    let good = sealed();
    open(&good, "shop", &mac()).unwrap();
    for at in 0..good.table.len() {
        let mut bad = good.clone();
        bad.table[at] ^= 1;
        assert_eq!(open(&bad, "shop", &mac()), Err(Rejected::Mac), "byte {at}");
    }
    for at in 0..good.mac.len() {
        let mut bad = good.clone();
        bad.mac[at] ^= 0x80;
        assert_eq!(open(&bad, "shop", &mac()), Err(Rejected::Mac), "byte {at} of the MAC");
    }
    let fields = [
        Sealed { schema: 0, ..good.clone() },
        Sealed { schema: 2, ..good.clone() },
        Sealed {
            min_reader: 0,
            ..good.clone()
        },
        Sealed {
            generation: good.generation - 1,
            ..good.clone()
        },
        Sealed {
            generation: good.generation + 1,
            ..good.clone()
        },
        Sealed {
            generation: u64::MAX,
            ..good.clone()
        },
        Sealed {
            table: vec![],
            ..good.clone()
        },
        Sealed {
            table: [&good.table[..], b"\0"].concat(),
            ..good.clone()
        },
    ];
    for bad in fields {
        assert_eq!(open(&bad, "shop", &mac()), Err(Rejected::Mac), "{bad:?}");
    }
}

#[test]
fn a_document_counts_for_its_own_namespace_and_key_alone() {
    assert_eq!(open(&sealed(), "shop2", &mac()), Err(Rejected::Mac));
    assert_eq!(open(&sealed(), "", &mac()), Err(Rejected::Mac));
    let other = MacKey::from_bytes(&[8; 32]).unwrap();
    assert_eq!(open(&sealed(), "shop", &other), Err(Rejected::Mac));
    // Even the controller cannot deliver one to the wrong place by mistake.
    let mut strayed = document(&["main"]);
    strayed.table.namespace = "other".into();
    assert_eq!(reason(&seal(&strayed, 1, &mac()).unwrap()), "namespace");
    strayed.namespace = "other".into();
    assert_eq!(reason(&signed(seal(&strayed, 1, &mac()).unwrap())), "namespace");
}

#[test]
fn an_authentic_document_that_is_cut_short_or_no_document_is_malformed() {
    let good = sealed();
    for length in 0..good.table.len() {
        let cut = Sealed {
            table: good.table[..length].to_vec(),
            ..good.clone()
        };
        assert_eq!(open(&cut, "shop", &mac()), Err(Rejected::Mac), "{length} bytes");
        assert_eq!(reason(&signed(cut)), "malformed", "{length} bytes");
    }
    for content in [&b""[..], b"null", b"{}", b"{\"namespace\":\"shop\"}", b"\xff"] {
        assert_eq!(
            reason(&signed(Sealed {
                table: gzip(content),
                ..good.clone()
            })),
            "malformed"
        );
    }
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_refused_before_it_is_whole() {
    let spaces = |count: usize| {
        let document = serde_json::to_vec(&document(&["main"])).unwrap();
        gzip(&[document.clone(), vec![b' '; count - document.len()]].concat())
    };
    let of = |count| {
        signed(Sealed {
            table: spaces(count),
            ..sealed()
        })
    };
    assert!(of(MAX_INFLATED + 1).table.len() < MAX_COMPRESSED, "a bomb");
    assert_eq!(reason(&of(MAX_INFLATED + 1)), "too_large");
    open(&of(MAX_INFLATED), "shop", &mac()).unwrap();
    assert_eq!(
        reason(&signed(Sealed {
            table: vec![0; MAX_COMPRESSED + 1],
            ..sealed()
        })),
        "too_large"
    );
}

#[test]
fn what_no_sidecar_would_take_is_not_sealed() {
    let mut large = document(&["main"]);
    // Hardly compressible: digests of numbers.
    large.keys = (0..30_000u32)
        .map(|n| KeyReference {
            id: crate::hex::digest(&n.to_be_bytes(), 64),
            version: "v1".into(),
            state: KeyState::Active,
        })
        .collect();
    let too_large = seal(&large, 1, &mac()).unwrap_err();
    assert_eq!(too_large.limit, MAX_COMPRESSED);
    assert!(too_large.bytes > MAX_COMPRESSED);
    large.keys.truncate(1);
    large.keys[0].id = "x".repeat(MAX_INFLATED);
    assert_eq!(seal(&large, 1, &mac()).unwrap_err().limit, MAX_INFLATED);
}

#[test]
fn a_config_map_holds_what_may_be_sealed() {
    let largest = Sealed {
        table: vec![b'x'; MAX_COMPRESSED],
        generation: u64::MAX,
        ..sealed()
    };
    let data = largest.to_data();
    let bytes: usize = data.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes < 1 << 20, "{bytes}");
    assert_eq!(Sealed::from_data(&data), Ok(largest));
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    assert_eq!(sealed(), sealed());
    let table = sealed().table;
    assert_eq!(table[3..8], [0; 5], "no name and no time in the archive's head");
}

#[test]
fn two_thousand_routes_and_a_hundred_keys_stay_below_256_kib() {
    let word = |n: usize| crate::hex::digest(&n.to_be_bytes(), 10);
    let names: Vec<String> = (0..2_000).map(|n| format!("team-{}-{n}", word(n))).collect();
    let mut document = document(&names.iter().map(String::as_str).collect::<Vec<_>>());
    document.table.providers.truncate(100);
    document.keys.truncate(100);
    for (at, target) in document.table.targets.iter_mut().enumerate() {
        target.provider = at % 100;
    }
    let sealed = seal(&document, 1, &mac()).unwrap();
    assert!(sealed.table.len() <= 256 << 10, "{} bytes", sealed.table.len());
}

#[test]
fn data_that_is_no_snapshot_is_malformed_and_each_problem_has_its_words() {
    let good = sealed().to_data();
    let with = |name: &str, value: &str| {
        let mut data = good.clone();
        data.insert(name.into(), value.into());
        Sealed::from_data(&data)
    };
    for (name, value) in [
        ("schemaVersion", "one"),
        ("schemaVersion", "01"),
        ("schemaVersion", "4294967296"),
        ("minReader", ""),
        ("generation", "-1"),
        ("generation", "+1"),
        ("generation", "18446744073709551616"),
        ("mac", "00"),
        ("mac", &good["mac"].to_uppercase()),
        ("table", "%"),
        ("table", good["table"].get(1..).unwrap()),
    ] {
        let rejected = with(name, value).unwrap_err();
        assert_eq!(rejected.reason(), "malformed", "{name}={value}");
        assert!(rejected.to_string().contains(name), "{rejected}");
    }
    for name in ["schemaVersion", "generation", "mac", "table"] {
        let mut data = good.clone();
        data.remove(name);
        assert_eq!(Sealed::from_data(&data).unwrap_err().to_string(), format!("it has no {name}"));
    }
    let long = "A".repeat(MAX_COMPRESSED / 3 * 4 + 8);
    assert_eq!(with("table", &long).unwrap_err().reason(), "too_large");
    assert_eq!(with("somebodys-own", "note"), Ok(sealed()), "unknown entries are passed over");
}

/// Written by the version before (today: by the first one, in another language): it must be read for as long as it may lie in a mount.
#[test]
fn a_document_of_the_layout_before_is_read() {
    let data: BTreeMap<String, String> = serde_json::from_str(include_str!("fixtures/v1.json")).unwrap();
    let sealed = Sealed::from_data(&data).unwrap();
    assert_eq!((sealed.schema, sealed.generation), (1, 1_700_000_000_000));
    assert_eq!(open(&sealed, "shop", &mac()), Ok(document(&["main"])));
}

/// What the version after ours may do without leaving us behind: more fields everywhere, states that we do not know.
#[test]
fn a_newer_document_for_readers_of_our_version_is_read() {
    let data: BTreeMap<String, String> = serde_json::from_str(include_str!("fixtures/v2.json")).unwrap();
    let sealed = Sealed::from_data(&data).unwrap();
    assert_eq!((sealed.schema, sealed.min_reader), (2, 1));
    let mut expected = document(&["main"]);
    expected.keys.push(KeyReference {
        version: "v2".into(),
        state: KeyState::Draining,
        ..expected.keys[0].clone()
    });
    assert_eq!(open(&sealed, "shop", &mac()), Ok(expected));
}

#[test]
fn a_newer_document_for_newer_readers_is_refused_in_so_many_words() {
    let newer = signed(Sealed {
        schema: 3,
        min_reader: 2,
        table: b"something else entirely".to_vec(),
        ..sealed()
    });
    let rejected = open(&newer, "shop", &mac()).unwrap_err();
    assert_eq!(rejected.reason(), "schema");
    assert!(rejected.to_string().contains("update the sidecar"), "{rejected}");
    // Without a word on readers it is for those of its own version.
    let mut data = newer.to_data();
    data.remove("minReader");
    assert_eq!(Sealed::from_data(&data).unwrap().min_reader, 3);
}

fn documents() -> impl Strategy<Value = Document> {
    let state = prop::sample::select(vec![KeyState::Active, KeyState::Next, KeyState::Draining, KeyState::Revoked]);
    let key = (".{0,20}", "[0-9a-f]{8}", state).prop_map(|(id, version, state)| KeyReference { id, version, state });
    (prop::collection::vec(".{1,12}", 0..6), prop::collection::vec(key, 0..6)).prop_map(|(names, keys)| Document {
        keys,
        ..document(&names.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_it_was(document in documents(), generation: u64) {
        let sealed = seal(&document, generation, &mac()).unwrap();
        let read = Sealed::from_data(&sealed.to_data()).unwrap();
        prop_assert_eq!(read.generation, generation);
        prop_assert_eq!(open(&read, "shop", &mac()), Ok(document));
    }

    #[test]
    fn arbitrary_entries_are_refused_without_a_panic(data in prop::collection::btree_map("schemaVersion|minReader|generation|mac|table", ".{0,80}|[0-9]{1,20}|[0-9a-f]{64}", 0..6)) {
        if let Ok(sealed) = Sealed::from_data(&data) {
            prop_assert_eq!(open(&sealed, "shop", &mac()), Err(Rejected::Mac));
        }
    }
}
