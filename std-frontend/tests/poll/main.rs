//! The `poll` engine against plain sockets.

mod busy;
#[path = "../engine/mod.rs"]
mod engine;
mod jobs;
mod late;
mod stopping;

const ENGINE: anywire_std::engine::Engine = anywire_std::engine::Engine::Poll;
