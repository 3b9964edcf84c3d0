//! `gundb bundle`

use std::path::{Path, PathBuf};

use gundb_core::Clock;
use gundb_core::bundle::{From, decode_bundle, inspect};
use gundb_core::store::Counts;
use serde_json::json;

use crate::command::progress::Counted;
use crate::command::{Context, parse_clock};
use crate::error::{Error, Kind, Result};
use crate::store::Edge;

#[derive(Debug, clap::Subcommand)]
pub enum Bundle {
    /// Write what is held beyond a clock as bundles, a file each
    Export {
        /// The directory for the bundles
        directory: PathBuf,
        /// Only these streams, as patterns by commas; the system stream always flows
        #[arg(long, value_delimiter = ',', value_name = "PATTERNS")]
        streams: Option<Vec<String>>,
        /// What the receiver is known to hold
        #[arg(long, value_parser = parse_clock, value_name = "CLOCK")]
        since: Option<Clock>,
    },
    /// Take bundles in, whoever wrote what is in them
    Import {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// What a bundle, a hello or a receipt says; no store is needed
    Inspect {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Whether bundles are whole, and their chains fit; no store is needed
    Verify {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

impl Bundle {
    pub fn run(self, context: &mut Context) -> Result<()> {
        match self {
            Bundle::Export { directory, streams, since } => {
                export(context, &directory, streams, &since.unwrap_or_default())
            }
            Bundle::Import { files } => import(context, &files),
            Bundle::Inspect { files } => {
                for file in files {
                    let told = inspect(&bytes_of(&file)?, &Edge::limits()).map_err(|why| damaged(&file, &why))?;
                    let text = if context.out.is_json() { told.to_string() } else { format!("{told:#}") };
                    context.out.line(text)?;
                }
                Ok(())
            }
            Bundle::Verify { files } => files.iter().try_for_each(|file| verify(context, file)),
        }
    }
}

fn damaged(file: &Path, why: &impl std::fmt::Display) -> Error {
    Error::new(Kind::Damaged, format!("{}: {why}", file.display()))
        .hint("Have it sent again: what a bundle holds stays with its sender.")
}

fn bytes_of(file: &Path) -> Result<Vec<u8>> {
    let at_file = |why: std::io::Error| Error { message: format!("{}: {why}", file.display()), ..why.into() };
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).map_err(at_file)
}

fn export(context: &mut Context, directory: &Path, streams: Option<Vec<String>>, since: &Clock) -> Result<()> {
    let site = context.site()?;
    std::fs::create_dir_all(directory)?;
    let rows = context.watched("exporting", Counted::Steps, |_, progress| {
        let mut rows = Vec::new();
        site.export(streams.as_deref(), since, progress, &mut |(bundle, bytes)| {
            let part = bundle.part.map_or_else(String::new, |part| format!("-{}", part.index));
            let name = format!("{}-{:012}{part}.gundb", bundle.run, bundle.number);
            write_whole(&directory.join(&name), &bytes)?;
            let events: usize = bundle.transactions.iter().map(|transaction| transaction.events.len()).sum();
            progress.advance(events as u64);
            rows.push(vec![json!(name), json!(events), json!(bytes.len())]);
            Ok(())
        })?;
        Ok::<_, Error>(rows)
    })?;
    site.close()?;
    context.out.table(&["file", "events", "bytes"], &rows)
}

/// Writes a file that is there whole or not at all, and on the disk.
fn write_whole(file: &Path, bytes: &[u8]) -> Result<()> {
    let beginning = file.with_extension("partial");
    let mut partial = std::fs::File::create(&beginning)?;
    std::io::Write::write_all(&mut partial, bytes)?;
    partial.sync_all()?;
    std::fs::rename(&beginning, file)?;
    Ok(())
}

fn import(context: &mut Context, files: &[PathBuf]) -> Result<()> {
    let site = context.site()?;
    let (rows, refused) = context.watched("importing", Counted::Bytes, |_, progress| {
        let sizes = files.iter().filter_map(|file| std::fs::metadata(file).ok());
        progress.expect(sizes.map(|file| file.len()).sum());
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        for file in files {
            let bytes = bytes_of(file)?;
            let counts = site
                .import(&bytes)
                .map_err(|error| Error { message: format!("{}: {}", file.display(), error.message), ..error })?;
            progress.advance(bytes.len() as u64);
            let Counts { new, known, pending, refused: reasons } = counts;
            rows.push(vec![
                json!(file.display().to_string()),
                json!(new),
                json!(known),
                json!(pending),
                json!(reasons.len()),
            ]);
            refused.extend(reasons);
        }
        Ok::<_, Error>((rows, refused))
    })?;
    site.close()?;
    context.out.table(&["file", "new", "known", "pending", "refused"], &rows)?;
    match refused.first() {
        None => Ok(()),
        Some(first) => {
            context.out.flush()?;
            Err(Error::new(Kind::Differs, format!("{} transactions were refused: {first}", refused.len()))
                .hint("What was refused harms only itself and what depends on it."))
        }
    }
}

/// Checks that a bundle can be read and that within it each event's chain follows from the one before it in its lane.
fn verify(context: &mut Context, file: &Path) -> Result<()> {
    let bundle = decode_bundle(&bytes_of(file)?, &Edge::limits()).map_err(|why| damaged(file, &why))?;
    let mut lanes = std::collections::BTreeMap::new();
    let mut events = 0u64;
    let mut in_lanes: Vec<_> = bundle.transactions.iter().flat_map(|transaction| &transaction.events).collect();
    in_lanes.sort_by_key(|event| event.dot);
    for event in in_lanes {
        let dot = event.dot;
        let genesis = || gundb_core::Chain::genesis(dot.site, dot.stream, dot.lane);
        let before = lanes.insert((dot.site, dot.stream, dot.lane), (dot.seq, event.chain));
        let before = before.or_else(|| (dot.seq == 1).then(|| (0, genesis())));
        if let Some((seq, chain)) = before.filter(|(seq, _)| seq + 1 == dot.seq) {
            debug_assert!(seq < dot.seq);
            gundb_core::verify_chain(&chain, event).map_err(|why| damaged(file, &why))?;
        }
        events += 1;
    }
    let carried = matches!(bundle.from, From::Clock(_));
    let line = format!("{}: {events} events of {} lanes are whole", file.display(), lanes.len());
    context.out.tell(
        json!({ "file": file.display().to_string(), "events": events, "lanes": lanes.len(), "carried": carried }),
        line,
    )
}
