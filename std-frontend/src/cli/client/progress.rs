//! How far a body has been sent: a bar on standard error, if that is a terminal.

use std::time::Duration;

use anywire_core::event::Event;
use indicatif::{ProgressBar, ProgressStyle};

use crate::console::escape::Shown;

/// The bar of what is being sent. There is none before the first byte has gone, and none when the last has.
#[derive(Debug, Default)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Follows what happens to `name`.
    pub(super) fn observe(&mut self, name: &[u8], event: Event<'_>) {
        match event {
            Event::Moving { moved, of, .. } => {
                self.0.get_or_insert_with(|| bar(name, of.unwrap_or(0))).set_position(moved);
            }
            Event::Moved { .. } | Event::Ended { .. } => self.clear(),
            _ => {}
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(name: &[u8], len: u64) -> ProgressBar {
    const TEMPLATE: &str =
        "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left: {msg}";
    let bar = ProgressBar::new(len).with_message(Shown(name).to_string());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
