//! How far the estimate of a prompt's length is from a tokenizer's count, by kind of text. The texts below `fixtures/` were written for this
//! comparison; `counts.json` says how they were counted.

use crate::report::Report;
use anyhow::Context as _;
use outrigger_dialect::scan::Sketch;
use serde_json::Value;

const TEXTS: [(&str, &str); 4] = [
    ("English", include_str!("../fixtures/english.txt")),
    ("code", include_str!("../fixtures/code.txt")),
    ("JSON", include_str!("../fixtures/json.txt")),
    ("CJK", include_str!("../fixtures/cjk.txt")),
];
const COUNTS: &str = include_str!("../fixtures/counts.json");

/// Adds a line and a figure for each kind.
pub(crate) fn compare(report: &mut Report) -> anyhow::Result<()> {
    let counts: Value = serde_json::from_str(COUNTS)?;
    for (kind, text) in TEXTS {
        let exact = counts
            .get(kind)
            .and_then(Value::as_f64)
            .with_context(|| format!("no count for {kind}"))?;
        let sketch = Sketch {
            text_bytes: text.len() as u64,
            ..Sketch::default()
        };
        let estimate = f64::from(sketch.reference_tokens());
        let error = 100.0 * (estimate / exact - 1.0);
        report.row(&[
            &format!("estimate of {kind}, beside {exact} o200k tokens"),
            &"-",
            &format!("{estimate} ({error:+.1} %)"),
        ]);
        report.figure(
            format!("error of the estimate on {kind}"),
            format!("{error:+.1} %"),
            "stated, <= 30 %",
            error.abs() <= 30.0,
        );
    }
    Ok(())
}
