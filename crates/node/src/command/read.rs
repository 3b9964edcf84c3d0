//! `gundb read` and `gundb tail`

use std::collections::VecDeque;

use gundb_core::{Clock, Dot, StreamId};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::command::{Context, parse_clock};
use crate::error::{Error, Result};
use crate::site::{Found, Page, ReadEvent, Site};

/// Events that are read at once.
const PAGE_EVENTS: usize = 1_000;

#[derive(Debug, clap::Args)]
pub struct Read {
    stream: String,
    /// Only what this clock does not cover
    #[arg(long, value_parser = parse_clock, value_name = "CLOCK")]
    after: Option<Clock>,
    /// Only events of this key
    #[arg(long)]
    key: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub struct Tail {
    stream: String,
    /// How many of the last events
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    lines: usize,
    /// Go on with those to come, as another process appends them
    #[arg(short, long)]
    follow: bool,
}

impl Read {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let site = context.read()?;
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut page = Page { after: self.after.unwrap_or_default(), kind: self.kind, key: self.key };
        while left > 0 {
            let next = site.read(&self.stream, &page, PAGE_EVENTS, &mut |event| {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                tell(context, site.as_ref(), &event)
            })?;
            page.after = next.after;
            if !next.more {
                break;
            }
        }
        Ok(())
    }
}

impl Tail {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let site = context.read()?;
        let mut last = VecDeque::new();
        let mut page = Page { after: before_the_last(&site.clock()?, &self.stream, self.lines), ..Page::default() };
        read_all(site.as_ref(), &self.stream, &mut page, &mut |event| {
            last.push_back(event);
            if last.len() > self.lines {
                last.pop_front();
            }
            Ok(())
        })?;
        last.iter().try_for_each(|event| tell(context, site.as_ref(), event))?;
        if !self.follow {
            return Ok(());
        }
        loop {
            context.out.flush()?;
            site.await_news(&self.stream)?;
            read_all(site.as_ref(), &self.stream, &mut page, &mut |event| tell(context, site.as_ref(), &event))?;
        }
    }
}

/// Reads all that there is now, and moves the page behind it.
fn read_all(site: &dyn Site, stream: &str, page: &mut Page, found: Found<'_, ReadEvent>) -> Result<()> {
    loop {
        let next = site.read(stream, page, PAGE_EVENTS, found)?;
        page.after = next.after;
        if !next.more {
            return Ok(());
        }
    }
}

/// A clock from which on a stream's last events are read: each of them is among the last of its lane.
fn before_the_last(clock: &Clock, stream: &str, events: usize) -> Clock {
    let id = StreamId::of_name(stream);
    let before = clock.iter().filter(|dot| dot.stream == id);
    before.map(|dot| Dot { seq: dot.seq.saturating_sub(events as u64), ..dot }).collect()
}

/// Tells of an event.
pub fn tell(context: &mut Context, site: &dyn Site, event: &ReadEvent) -> Result<()> {
    if context.out.is_json() {
        return context.out.line(document(event)?);
    }
    let site = site.site_name(event.dot.site)?;
    let key = event.key.as_deref().unwrap_or("-");
    context.out.line(format!("{}  {site}  {}  {key}  {}", event.hlc, event.kind, event.data))
}

/// An event as JSON: its documents as they are, to the byte.
pub fn document(event: &ReadEvent) -> Result<String> {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        dot: String,
        id: String,
        hlc: String,
        #[serde(rename = "type")]
        kind: &'a str,
        key: Option<&'a str>,
        data: Box<RawValue>,
        meta: Box<RawValue>,
    }
    let raw = |text: &str| RawValue::from_string(text.to_owned()).map_err(Error::damaged);
    let document = Document {
        dot: event.dot.to_string(),
        id: event.id.to_string(),
        hlc: event.hlc.to_string(),
        kind: &event.kind,
        key: event.key.as_deref(),
        data: raw(&event.data)?,
        meta: raw(&event.meta)?,
    };
    serde_json::to_string(&document).map_err(Error::damaged)
}

/// A clock as JSON: the text that it is written as.
pub fn clock_json(clock: &Clock) -> Value {
    json!(clock.to_string())
}
