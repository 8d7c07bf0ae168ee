//! LLM wire formats as pure translation: client dialects in, provider dialects out.
