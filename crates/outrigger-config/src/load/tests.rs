use super::*;

#[test]
fn probe() {
    for text in [
        "a: 1\nb:\n  - x: y\n    z: [1,\n  2]\n",
        "a: b: c\n",
        "a: 1\na: 2",
        "a: \"x",
        "- a\n b",
        "a: *x",
        "\t- a",
        "k: &a [*a]",
    ] {
        for d in document::split(text) {
            match document::parse(&d) {
                Ok(n) => println!("{:?}", n.map(|n| n.lines())),
                Err(e) => println!("{text:?} -> {} {}", e.line, e.why),
            }
        }
    }
}
