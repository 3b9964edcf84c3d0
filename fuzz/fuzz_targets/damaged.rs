//! A store whose file says anything: whoever opens, reads or writes it gets an error at worst, and the process lives.
//!
//! An input is what is done to the file of a sound store: bytes that are written where it says, and perhaps an end that comes early.
#![no_main]

use gundb_core::Clock;
use gundb_fuzz::{Memory, edge_on};
use gundb_node::{Edge, New, Options, Result};
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;

thread_local! {
    static SOUND: OnceCell<Vec<u8>> = const { OnceCell::new() };
}

fn sound() -> Vec<u8> {
    let memory = Memory::default();
    edge_on(memory.clone()).close().unwrap();
    memory.bytes().clone()
}

fn use_all(memory: Memory) -> Result<()> {
    let edge = Edge::on(memory, Options { cache_bytes: 1 << 20, ..Options::default() })?;
    edge.read_stream("s", &Clock::new(), usize::MAX)?;
    edge.verify()?;
    edge.view_rows("v", None)?;
    edge.check_view("v")?;
    edge.append_one(New { stream: "s".into(), kind: "A".into(), data: "{\"n\": 1}".into(), ..New::default() })?;
    edge.rebuild_view("v")?;
    edge.digest(None)?;
    edge.close()
}

fuzz_target!(
    init: {
        // libFuzzer's own ends the process with every panic. What counts here is that none comes as far as this target.
        std::panic::set_hook(Box::new(|_| ()));
    },
    |input: &[u8]| {
        let mut bytes = SOUND.with(|sound_| sound_.get_or_init(sound).clone());
        let mut input = input;
        while let [high, middle, low, count, rest @ ..] = input {
            let at = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            let at = at % bytes.len().max(1);
            if *count == 0 {
                bytes.truncate(at);
            }
            let (patch, rest) = rest.split_at(usize::from(*count).min(rest.len()));
            bytes[at..].iter_mut().zip(patch).for_each(|(byte, new)| *byte = *new);
            input = rest;
        }
        let memory = Memory::default();
        *memory.bytes() = bytes;
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| use_all(memory)));
        if done.is_err() {
            eprintln!("a panic");
            std::process::abort();
        }
    }
);
