//! The `threads` engine against plain sockets.

#[path = "../engine/mod.rs"]
mod engine;
mod life;

const ENGINE: anywire_std::engine::Engine = anywire_std::engine::Engine::Threads;
