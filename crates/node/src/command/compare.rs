//! `gundb compare`

use std::collections::BTreeSet;
use std::path::PathBuf;

use gundb_core::{Clock, Dot};
use serde_json::json;

use crate::command::{Context, parse_clock};
use crate::error::{Error, Kind, Result};

#[derive(Debug, clap::Args)]
pub struct Compare {
    /// Another store: a directory, or a PostgreSQL site
    #[arg(required_unless_present = "clock")]
    other: Option<PathBuf>,
    /// The clock of another site, as it prints it
    #[arg(long, value_parser = parse_clock, conflicts_with = "other")]
    clock: Option<Clock>,
}

impl Compare {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let site = context.read()?;
        let ours = site.clock()?;
        let other = self.other.map(|store| context.read_other(&store)).transpose()?;
        let theirs = match (&other, self.clock) {
            (Some(other), _) => other.clock()?,
            (None, clock) => clock.unwrap_or_default(),
        };
        // The last events that both hold.
        let both: Vec<Dot> = ours.meet(&theirs).iter().collect();
        let forked: BTreeSet<Dot> = match &other {
            Some(other) => {
                let chains = site.chains(&both)?.into_iter().zip(other.chains(&both)?);
                both.into_iter().zip(chains).filter(|(_, (a, b))| a != b).map(|(dot, _)| dot).collect()
            }
            None => BTreeSet::new(),
        };
        let mut rows = Vec::new();
        for dot in ours.join(&theirs).iter() {
            let seq = |clock: &Clock| clock.get(dot.site, dot.stream, dot.lane);
            let (here, there) = (seq(&ours), seq(&theirs));
            let same_history = !forked.contains(&Dot { seq: here.min(there), ..dot });
            if here == there && same_history {
                continue;
            }
            let stream = site.stream_name(dot.stream)?.unwrap_or_else(|| dot.stream.to_string());
            let problem = if same_history { "" } else { "another history: a fork" };
            rows.push(vec![
                json!(stream),
                json!(site.site_name(dot.site)?),
                json!(dot.lane.to_string()),
                json!(here),
                json!(there),
                json!(problem),
            ]);
        }
        if rows.is_empty() {
            let events: u64 = ours.iter().map(|dot| dot.seq).sum();
            return context
                .out
                .tell(json!({ "differs": 0, "events": events }), format!("both hold the same {events} events"));
        }
        context.out.table(&["stream", "site", "lane", "here", "there", "problem"], &rows)?;
        context.out.flush()?;
        Err(Error::new(Kind::Differs, format!("{} lanes differ", rows.len())))
    }
}
