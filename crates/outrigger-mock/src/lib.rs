//! Scripted LLM providers with fault injection, for demonstrations and tests.
