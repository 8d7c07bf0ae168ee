#![expect(unused_imports, reason = "soon")]
use super::*;
