//! `gundb status`, `clock`, `digest`, `verify`

use std::time::Duration;

use serde_json::json;

use crate::command::progress::Counted;
use crate::command::read::clock_json;
use crate::command::{Context, output};
use crate::error::{Error, Kind, Result};
use crate::site::Figures;

/// An empty screen, written from its top.
const CLEARED: &str = "\x1b[H\x1b[2J";

#[derive(Debug, clap::Args)]
pub struct Status {
    /// Tell it again and again, after so many seconds each time
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
    /// As Prometheus reads it, for a collector of text files
    #[arg(long)]
    prometheus: bool,
}

#[derive(Debug, clap::Args)]
pub struct Clock {
    /// What was held at this time, as in 2026-11-23T00:41:07.123Z
    #[arg(long)]
    at: Option<gundb_core::Hlc>,
}

#[derive(Debug, clap::Args)]
pub struct Digest {
    /// Of this stream; without one, of all
    stream: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Verify {}

impl Status {
    pub fn run(self, context: &mut Context) -> Result<()> {
        loop {
            if self.watch.is_some() && context.out.is_terminal() {
                context.out.line(CLEARED)?;
            }
            self.tell(context)?;
            let Some(seconds) = self.watch else { return Ok(()) };
            context.out.flush()?;
            std::thread::sleep(Duration::from_secs(seconds));
        }
    }

    fn tell(&self, context: &mut Context) -> Result<()> {
        // Anew each time: a store, or a server, may go and come back.
        let figures = context.read()?.figures()?;
        if self.prometheus {
            return context.out.bytes(prometheus(&figures).as_bytes());
        }
        let document = json!({
            "site": figures.site.to_string(),
            "name": figures.name,
            "streams": figures.streams,
            "views": figures.views,
            "events": figures.events,
            "lanes": figures.lanes,
            "runs": figures.runs,
            "sites": figures.sites,
            "last_hlc": figures.last_hlc.map(|last| last.to_string()),
            "pending": figures.pending,
            "early_bundles": figures.early_bundles,
            "refused": figures.refused,
            "file_bytes": figures.bytes,
        });
        if context.out.is_json() {
            return context.out.line(document);
        }
        let rows = document.as_object().into_iter().flatten();
        let rows = rows.map(|(name, value)| vec![json!(name), value.clone()]);
        context.out.table(&["what", "value"], &rows.collect::<Vec<_>>())
    }
}

/// Figures in the text format of Prometheus.
fn prometheus(figures: &Figures) -> String {
    let escaped = figures.name.replace('\\', "\\\\").replace('"', "\\\"");
    let labels = format!("{{site=\"{}\",name=\"{escaped}\"}}", figures.site);
    let last = figures.last_hlc.map_or(0, |last| last.millis());
    let gauges = [
        ("streams", "Streams that are kept here.", figures.streams),
        ("views", "Views.", figures.views),
        ("events", "Events that are held.", figures.events),
        ("lanes", "Lanes of which something is held.", figures.lanes),
        ("runs", "Runs of which something is held.", figures.runs),
        ("sites", "Sites of which something is held.", figures.sites),
        ("last_event_milliseconds", "The greatest stamp that is held, in milliseconds since 1970.", last),
        ("pending", "Transactions of others that wait.", figures.pending),
        ("early_bundles", "Bundles that came before what they build on.", figures.early_bundles),
        ("refused", "Transactions that were refused.", figures.refused),
        ("bytes", "Bytes of the file, or of the streams' tables.", figures.bytes),
    ];
    let gauge = |(name, help, value)| {
        format!("# HELP gundb_{name} {help}\n# TYPE gundb_{name} gauge\ngundb_{name}{labels} {value}\n")
    };
    gauges.into_iter().map(gauge).collect()
}

impl Clock {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let site = context.read()?;
        let clock = self.at.map_or_else(|| site.clock(), |at| site.clock_at(at.millis()))?;
        context.out.tell(json!({ "clock": clock_json(&clock) }), &clock)
    }
}

impl Digest {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let digest = output::digest(context.read()?.digest(self.stream.as_deref())?);
        context.out.tell(json!({ "stream": self.stream, "digest": digest }), &digest)
    }
}

impl Verify {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let edge = context.read()?;
        let problems = context.watched("verifying", Counted::Steps, |_, progress| edge.verify(progress))?;
        let Some(first) = problems.first() else {
            return context.out.tell(json!({ "problems": 0 }), "all chains are whole");
        };
        let rows: Vec<_> = problems.iter().map(|problem| vec![json!(problem)]).collect();
        context.out.table(&["problem"], &rows)?;
        context.out.flush()?;
        Err(Error::new(Kind::Damaged, format!("{} lanes are damaged: {first}", problems.len()))
            .hint("Look at the disk. Peers that hold the events can bring them to a new store."))
    }
}
