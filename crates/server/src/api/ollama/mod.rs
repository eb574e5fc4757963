//! Ollama's API under `/api/`.

mod messages;
mod time;
