//! Bars for long work, for people at a terminal.
//!
//! What must always hold here: nothing is drawn but on a standard error that is a terminal, and nothing with `--json`; a bar is gone before anything else is told.

use std::io::{IsTerminal, Read, stderr};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::command::Context;
use crate::progress::Progress;

/// Work that is done sooner needs no bar.
const AFTER: Duration = Duration::from_millis(300);
const EVERY: Duration = Duration::from_millis(100);

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub enum Counted {
    Bytes,
    /// Events and rows: what a view is built from.
    Steps,
    /// Nobody knows how much there is to do.
    Unknown,
}

impl Context {
    /// Does work that may be long, with a bar beside it.
    pub fn watched<T>(
        &mut self,
        what: &'static str,
        counted: Counted,
        work: impl FnOnce(&mut Context, &Progress) -> T,
    ) -> T {
        let progress = Progress::default();
        if self.out.is_json() || !stderr().is_terminal() {
            return work(self, &progress);
        }
        std::thread::scope(|scope| {
            let (done, is_done) = channel::<()>();
            let looked_at = progress.clone();
            let drawing = scope.spawn(move || {
                let mut bar = None;
                let mut patience = AFTER;
                while is_done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                    draw(bar.get_or_insert_with(|| begin(what, counted)), &looked_at);
                    patience = EVERY;
                }
                bar.inspect(ProgressBar::finish_and_clear);
            });
            let value = work(self, &progress);
            drop(done);
            // What is told next finds the line empty.
            let _ = drawing.join();
            value
        })
    }
}

fn begin(what: &'static str, counted: Counted) -> ProgressBar {
    let template = match counted {
        Counted::Bytes => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        Counted::Steps => "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
        Counted::Unknown => "{msg} {spinner} {elapsed}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style).with_message(what)
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    let (done, total) = progress.look();
    if total > 0 {
        bar.set_length(total.max(done));
    }
    bar.set_position(done);
    bar.tick();
}

/// Bytes that are counted as they are read.
pub struct Counting<R> {
    pub input: R,
    pub progress: Progress,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        self.progress.advance(bytes as u64);
        Ok(bytes)
    }
}
