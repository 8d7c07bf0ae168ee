//! The data plane: accepts calls, drives attempts, streams answers, keeps the account.

pub mod upstream;
